package unary

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// FuzzConn has a connection take any bytes behind the greeting, cut as the plan says, while the
// clock looks, calls are answered and the server wants to leave. It ends, each call comes to one end,
// and what it holds meanwhile is bounded.
func FuzzConn(f *testing.F) {
	everything, _ := conversationOf(rand.New(rand.NewPCG(1, 1)))
	windows := newTalk().raw(http2.FrameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00").call(1, "/later", "")
	for i := range uint32(30) {
		windows.open(3+2*i, "/refuse").raw(http2.FrameWindowUpdate, 0, 3+2*i, "\x00\x00\x00\x01")
	}
	behind := len(newTalk().Bytes())
	for _, w := range []*talk{
		everything, windows,
		newTalk().call(1, "/a", "x").call(3, "/later", "x").raw(http2.FrameRSTStream, 0, 3, "1234"),
		newTalk().open(1, "/data").data(1, false, "x").open(3, "/keep").data(3, true, "y").open(5, "/refuse"),
		newTalk().open(1, "/a").raw(http2.FrameData, http2.FlagDataPadded|http2.FlagDataEndStream, 1, "\x03abcxyz"),
		newTalk().raw(http2.FrameHeaders, 0, 1, "\x83\x86").raw(http2.FrameContinuation, 0, 1, "").raw(http2.FrameContinuation, 4, 1, "\x84"),
		newTalk().raw(http2.FrameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00").call(1, "/a", "").raw(http2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x05"),
		newTalk().call(1, "/later", "x").raw(http2.FramePing, 1, 0, string(leaving[:])).call(3, "/a", ""),
		newTalk().raw(http2.FramePing, 0, 0, "12345678").raw(http2.FrameGoAway, 0, 0, "12345678").raw(http2.FramePriority, 0, 1, "12345"),
		newTalk().open(1, "/a", "x", strings.Repeat("x", 1<<15)).data(1, true, strings.Repeat("y", 1<<15)),
	} {
		f.Add([]byte{}, w.Bytes()[behind:])
		f.Add([]byte{1, 9, 200, 220, 3, 100, 250, 220, 215, 1, 1, 251, 9}, w.Bytes()[behind:])
	}
	hello := newTalk().Bytes()
	f.Fuzz(func(t *testing.T, plan, wire []byte) {
		x := newExchange()
		cfg := config(x)
		cfg.HeaderTimeout, cfg.BodyTimeout, cfg.Patience, cfg.PingAfter, cfg.Idle = 10*time.Second, 20*time.Second, 10*time.Second, 40*time.Second, 200*time.Second
		s := New(cfg)
		check := func(c *conn) { bounded(t, c) }
		steps := []any{append([]byte{}, hello...)}
		for _, b := range plan {
			switch {
			case b < 200:
				n := min(int(b), len(wire))
				steps = append(steps, append([]byte{}, wire[:n]...))
				wire = wire[n:]
			case b < 220:
				steps = append(steps, pass(time.Duration(b-199)*time.Second))
			case b < 240:
				steps = append(steps, func(c *conn) {
					x.answerAll()
					c.flushing.Wait()
				})
			case b == 250:
				steps = append(steps, func(c *conn) {
					c.drain()
					c.flushing.Wait()
				})
			case b == 251:
				steps = append(steps, pass(cfg.Idle))
			}
			steps = append(steps, check)
		}
		steps = append(steps, append([]byte{}, wire...), check)
		nc := &script{steps: steps}
		nc.conn = newConn(s, nc)
		nc.conn.serve()
		x.answerAll()
		nc.conn.flushing.Wait()
		x.check(t)
		if nc.longest > 2*maxOutput {
			t.Errorf("%d bytes were kept to be sent", nc.longest)
		}
	})
}

// bounded says whether a connection holds no more than it may, and counts its calls right.
func bounded(t *testing.T, c *conn) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	coming, waiting := 0, 0
	for call := c.receiving.first; call != nil; call = call.next {
		coming++
	}
	for call := c.waiting.first; call != nil; call = call.next {
		waiting++
	}
	if coming != len(c.calls) || c.open != coming+waiting+len(c.held) {
		t.Errorf("%d calls are open: %d (%d) are coming, %d wait, %d are held", c.open, coming, len(c.calls), waiting, len(c.held))
	}
	most := c.server.cfg.MaxCalls
	if c.open > most || len(c.callWindows) > 2*most || len(c.touched) > 0 ||
		len(c.part) > MaxHeader || len(c.header.block) > MaxHeader || len(c.out) > 2*maxOutput {
		t.Errorf("%d calls, %d windows, %d touched, %d and %d bytes of a header, %d to be sent",
			c.open, len(c.callWindows), len(c.touched), len(c.part), len(c.header.block), len(c.out))
	}
}
