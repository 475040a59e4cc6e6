package unary

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func TestAnswersFromElsewhere(t *testing.T) {
	leaks(t)
	x := newExchange()
	_, address := start(t, config(x))
	c := dial(t, address)
	for i := range uint32(100) {
		c.call(1+2*i, "/later", "x").raw(http2.FramePing, 0, 0, "12345678")
		c.send()
		c.hears("PING ACK 12345678")
		x.answerAll()
		if line, err := c.next(); err != nil || !strings.HasSuffix(line, ": OK") {
			t.Fatal(line, err)
		}
	}
	x.check(t)
}

func TestClientThatDoesNotRead(t *testing.T) {
	leaks(t)
	x := newExchange()
	cfg := config(x)
	cfg.Patience = 200 * time.Millisecond
	cfg.PingAfter = time.Hour
	for name, frame := range map[string][]byte{
		"PING":     more().raw(http2.FramePing, 0, 0, "12345678").Bytes(),
		"SETTINGS": more().raw(http2.FrameSettings, 0, 0, "").Bytes(),
	} {
		_, address := start(t, cfg)
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		conn.Write(newTalk().Bytes())
		many := bytes.Repeat(frame, 1<<10)
		for err == nil {
			_, err = conn.Write(many)
		}
		if n, ok := err.(net.Error); ok && n.Timeout() {
			t.Errorf("%s: the connection was not closed: %v", name, err)
		}
	}
	x.check(t)
}

// A small frame can ask for a large answer. What a client is still to read is bounded all the same.
func TestOutputIsBounded(t *testing.T) {
	x := newExchange()
	text := strings.Repeat("x", 4*maxText)
	cfg := config(handler(func(*Call, Header) (Body, *Status) { return nil, NewStatus(12, text, nil) }))
	s := New(cfg)
	w := newTalk()
	for i := range uint32(3000) {
		w.open(1+2*i, "/nobody")
	}
	nc := &script{steps: []any{w.Bytes()}}
	newConn(s, nc).serve()
	if most := maxOutput + 4*maxText; nc.longest > most || nc.longest < maxOutput {
		t.Errorf("%d bytes were kept, of %d", nc.longest, len(nc.out))
	}
	if most := len(nc.out)/maxOutput + 2; nc.writes > most {
		t.Errorf("%d writes, want %d", nc.writes, most)
	}
	if got := heard(t, nc.out); len(got) != 1+2*3000 {
		t.Errorf("%d frames", len(got))
	}
	x.check(t)
}

// A connection that ends does not take back what it said last, whatever the client is sending.
func TestLastWordsArrive(t *testing.T) {
	leaks(t)
	x := newExchange()
	_, address := start(t, config(x))
	c := dial(t, address)
	c.call(1, "/a", "x").raw(http2.FramePing, 0, 1, "12345678")
	c.Write(make([]byte, connWindow/2))
	c.send()
	c.hears("1: OK", "GOAWAY 1 PROTOCOL_ERROR PING of a stream")
	c.hearsNoMore()
	x.check(t)
}

func TestOneWritesAtATime(t *testing.T) {
	deep, most, said := 0, 0, false
	nc := &script{steps: []any{newTalk().Bytes()}, during: func(c *conn) {
		deep++
		most = max(most, deep)
		if !said {
			said = true
			c.grant(0, 1) // another goroutine has something to say
			c.flush()
		}
		deep--
	}}
	nc.conn = newConn(New(config(newExchange())), nc)
	nc.conn.serve()
	if got := heard(t, nc.out); most != 1 || !slices.Equal(got, []string{"SETTINGS ACK", "WINDOW_UPDATE 0 1"}) {
		t.Errorf("%d writes at a time, of %q", most, got)
	}
}

func TestEndWaitsForWrites(t *testing.T) {
	x := newExchange()
	writing, wrote := make(chan bool), false
	nc := &script{steps: []any{newTalk().call(1, "/later", "x").Bytes()}}
	nc.steps = append(nc.steps, func(*conn) {
		nc.during = func(*conn) {
			writing <- true
			for closed := false; !closed; time.Sleep(time.Millisecond) {
				nc.mu.Lock()
				closed = nc.closed
				nc.mu.Unlock()
			}
			wrote = true
		}
		x.answerAll()
		<-writing
	})
	nc.conn = newConn(New(config(x)), nc)
	nc.conn.serve()
	if !wrote {
		t.Error("a goroutine is left that writes")
	}
}
