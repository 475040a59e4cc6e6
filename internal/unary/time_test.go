package unary

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// The clock of these tests goes on when they say so, in seconds.
func TestWhatTakesTooLong(t *testing.T) {
	const s = time.Second
	cfg := config(nil)
	cfg.HeaderTimeout, cfg.BodyTimeout, cfg.Patience, cfg.PingAfter, cfg.Idle = 10*s, 20*s, 10*s, 40*s, 200*s
	eager := cfg
	eager.PingAfter = 2 * s
	idle := cfg
	idle.PingAfter = time.Hour
	patient := idle
	patient.BodyTimeout = time.Hour

	hello := newTalk().Bytes()
	header := more().raw(http2.FrameHeaders, 0, 1, strings.Repeat("x", 9)).Bytes()
	slow := []string{"GOAWAY 0 ENHANCE_YOUR_CALM the client is too slow"}

	answer := func(c *conn) {
		c.server.cfg.Handler.(*exchange).answerAll()
		c.flushing.Wait()
	}

	trickle := []any{hello}
	for i := range header {
		trickle = append(trickle, header[i:i+1], pass(s))
	}
	parts := []any{hello, header} // each in time, the whole not
	for range 4 {
		parts = append(parts, pass(2*s), more().raw(http2.FrameContinuation, 0, 1, "x").Bytes())
	}
	var busy []any // never between two frames, nor ever slow
	pings := slices.Concat(hello, more().raw(http2.FramePing, 0, 0, "12345678").Bytes())
	for range 10 {
		busy = append(busy, pings[:len(pings)-3], pass(2*s))
		pings = slices.Concat(pings[len(pings)-3:], more().raw(http2.FramePing, 0, 0, "12345678").Bytes())
	}
	pong := more().raw(http2.FramePing, http2.FlagPingAck, 0, "\x00\x00\x00\x00\x00\x00\x00\x00").Bytes()
	call := func(id uint32, path string) []byte { return more().call(id, path, "x").Bytes() }
	begun := func(id uint32) []byte { return more().open(id, "/a").data(id, false, "x").Bytes() }

	for name, test := range map[string]struct {
		cfg   Config
		steps []any
		want  []string
	}{
		"no greeting":        {cfg, []any{pass(10 * s)}, slow},
		"no greeting to ask": {eager, []any{pass(5 * s), hello}, []string{"SETTINGS ACK"}},
		"half a greeting":    {cfg, []any{hello[:20], pass(10 * s)}, slow},
		"no SETTINGS":        {cfg, []any{hello[:24], pass(10 * s)}, slow},
		"half a header":      {cfg, []any{hello, header, pass(10 * s)}, append([]string{"SETTINGS ACK"}, slow...)},
		"half a frame":       {cfg, []any{hello, header[:12], pass(10 * s)}, append([]string{"SETTINGS ACK"}, slow...)},
		"a header in drops":  {cfg, trickle, append([]string{"SETTINGS ACK"}, slow...)},
		"a header in frames": {cfg, parts, append([]string{"SETTINGS ACK"}, slow...)},
		"a header, in time":  {cfg, []any{hello, pass(15 * s), header[:12], pass(6 * s), header[12:], pass(s)}, []string{"SETTINGS ACK"}},
		"frames, always cut": {cfg, busy, append([]string{"SETTINGS ACK"}, slices.Repeat([]string{"PING ACK 12345678"}, 9)...)},
		"half a body": {
			cfg, []any{hello, begun(1), pass(15 * s), begun(3), pass(5 * s), call(5, "/a")},
			[]string{"SETTINGS ACK", "1: 200 4 late", "RST_STREAM 1 NO_ERROR", "5: OK"},
		},
		"half a frame of a body": {
			cfg, []any{hello, begun(1)[:len(begun(1))-1], pass(20 * s)},
			[]string{"SETTINGS ACK", "1: 200 4 late", "RST_STREAM 1 NO_ERROR"},
		},
		"the last one of a connection": {
			cfg, []any{hello, begun(1), func(c *conn) { c.drain() }, pass(s), more().raw(http2.FramePing, 1, 0, string(leaving[:])).raw(http2.FramePing, 1, 0, string(leaving[:])).Bytes(), pass(20 * s), call(3, "/a")},
			[]string{"SETTINGS ACK", "GOAWAY 2147483647 NO_ERROR ", "PING leaving", "GOAWAY 1 NO_ERROR ", "1: 200 4 late", "RST_STREAM 1 NO_ERROR"},
		},
		"a farewell": {
			cfg, []any{hello, call(1, "/later"), func(c *conn) { c.drain() }, pass(deaf), call(3, "/a"), answer},
			[]string{"SETTINGS ACK", "GOAWAY 2147483647 NO_ERROR ", "PING leaving", "GOAWAY 1 NO_ERROR ", "1: OK"},
		},
		"an answer": {cfg, []any{hello, call(1, "/later"), pass(20 * s), answer, call(3, "/a")}, []string{"SETTINGS ACK", "1: 200 14 unanswered", "3: OK"}},
		"an answer to a slow body": {
			cfg, []any{hello, more().open(1, "/later").Bytes(), pass(15 * s), more().data(1, true, "x").Bytes(), pass(15 * s), answer},
			[]string{"SETTINGS ACK", "1: OK"},
		},
		"an answer, not awaited": {cfg, []any{hello, call(1, "/later"), more().raw(http2.FrameRSTStream, 0, 1, "1234").Bytes(), pass(20 * s)}, []string{"SETTINGS ACK"}},
		"a sign of life":         {cfg, []any{hello, pass(40 * s), pong, pass(40 * s), pass(10 * s), call(1, "/a")}, []string{"SETTINGS ACK", "PING ", "PING "}},
		"signs of life":          {cfg, []any{hello, pass(40 * s), pong, pass(35 * s), call(1, "/a")}, []string{"SETTINGS ACK", "PING ", "1: OK"}},
		"a call":                 {idle, []any{hello, pass(200 * s), call(1, "/a")}, []string{"SETTINGS ACK", "GOAWAY 0 NO_ERROR "}},
		"a call, not its answer": {patient, []any{hello, call(1, "/later"), pass(300 * s), answer}, []string{"SETTINGS ACK", "1: OK"}},
		"another call":           {idle, []any{hello, pass(150 * s), call(1, "/a"), pass(150 * s), call(3, "/a"), pass(200 * s)}, []string{"SETTINGS ACK", "1: OK", "3: OK", "GOAWAY 3 NO_ERROR "}},
	} {
		t.Run(name, func(t *testing.T) {
			x := newExchange()
			test.cfg.Handler = x
			server := New(test.cfg)
			if got := heard(t, converse(server, test.steps...)); !slices.Equal(got, test.want) {
				t.Errorf("heard %q\nwant  %q", got, test.want)
			}
			x.answerAll()
			x.check(t)
		})
	}
}

func TestClockHasSteps(t *testing.T) {
	cfg := config(nil)
	cfg.HeaderTimeout = 1
	s := New(cfg)
	if s.every <= 0 || s.ticks(1) != 1 || s.ticks(s.every) != 1 || s.ticks(s.every+1) != 2 {
		t.Errorf("steps of %v", s.every)
	}
}
