package unary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// start serves on loopback until the test ends.
func start(t testing.TB, cfg Config) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != ErrClosed {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return s, l.Addr().String()
}

// client is one that says what a test wants to.
type client struct {
	*talk
	t    *testing.T
	conn net.Conn
	listener
}

// connect greets, and hears the greeting.
func connect(t *testing.T, conn net.Conn, err error) *client {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{talk: newTalk(), t: t, conn: conn}
	c.listener.framer = newFramer(nil, conn)
	c.send()
	c.hears("SETTINGS 3=8 4=262144 5=262144 6=65536", "WINDOW_UPDATE 0 4128769", "SETTINGS ACK")
	return c
}

func dial(t *testing.T, address string) *client {
	conn, err := net.Dial("tcp", address)
	return connect(t, conn, err)
}

func (c *client) send() {
	c.t.Helper()
	if _, err := c.conn.Write(c.Bytes()); err != nil {
		c.t.Fatal(err)
	}
	c.Reset()
}

func (c *client) hears(want ...string) {
	c.t.Helper()
	for _, line := range want {
		got, err := c.next()
		if err != nil || got != line {
			c.t.Fatalf("heard %q, %v; want %q", got, err, line)
		}
	}
}

func (c *client) hearsNoMore() {
	c.t.Helper()
	if got, err := c.next(); err != io.EOF {
		c.t.Fatalf("heard %q, %v; want the end", got, err)
	}
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	leaks(t)
	x := newExchange()
	s, address := start(t, config(x))
	c, quiet := dial(t, address), dial(t, address)
	c.call(1, "/later", "x").raw(http2.FramePing, 0, 0, "12345678")
	c.send()
	c.hears("PING ACK 12345678")
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	c.hears("GOAWAY 2147483647 NO_ERROR ", "PING leaving")
	c.call(3, "/a", "crossing").call(5, "/later", "too")
	c.raw(http2.FramePing, http2.FlagPingAck, 0, string(leaving[:]))
	c.call(7, "/a", "not seen")
	c.send()
	c.hears("3: OK", "GOAWAY 5 NO_ERROR ")
	if conn, err := net.Dial("tcp", address); err == nil {
		t.Error("the server still listens")
		conn.Close()
	}
	x.answerAll()
	c.hears("1: OK", "5: OK")
	c.hearsNoMore()
	quiet.hears("GOAWAY 2147483647 NO_ERROR ", "PING leaving")
	quiet.raw(http2.FramePing, http2.FlagPingAck, 0, string(leaving[:]))
	quiet.send()
	quiet.hears("GOAWAY 0 NO_ERROR ")
	quiet.hearsNoMore()
	c.conn.Close()
	quiet.conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	x.check(t)
	if x.count["begin"] != 3 {
		t.Errorf("calls: %v", x.count)
	}
}

func TestShutdownWhoseContextEnds(t *testing.T) {
	leaks(t)
	x := newExchange()
	s, address := start(t, config(x))
	c := dial(t, address)
	c.call(1, "/later", "x").open(3, "/a").data(3, false, "half")
	c.send()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	c.hears("GOAWAY 2147483647 NO_ERROR ", "PING leaving")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.next(); err == nil {
		t.Error("the connection is open")
	}
	x.answerAll() // too late, and no harm
	x.check(t)
}

func TestCloseBreaksOff(t *testing.T) {
	leaks(t)
	x := newExchange()
	s, address := start(t, config(x))
	c := dial(t, address)
	c.call(1, "/later", "x").open(3, "/a").data(3, false, "half").raw(http2.FramePing, 0, 0, "12345678")
	c.send()
	c.hears("PING ACK 12345678")
	s.Close()
	if _, err := c.next(); err == nil {
		t.Error("the connection is open")
	}
	x.answerAll()
	x.check(t)
	s.Close()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err != ErrClosed {
		t.Errorf("Serve of a closed server: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener that it was given: %v", err)
	}
}

// A call that is over may be another connection's next. What still comes for it is nobody's.
func TestCallsAreNotMixedUp(t *testing.T) {
	leaks(t)
	x := newExchange()
	_, address := start(t, config(x))
	a, b := dial(t, address), dial(t, address)
	for i := range uint32(100) {
		id := 1 + 2*i
		a.open(id, "/data").data(id, false, "x")
		a.send()
		a.hears(fmt.Sprintf("%d: 200 8 refused", id), fmt.Sprintf("RST_STREAM %d NO_ERROR", id))
		b.open(id, fmt.Sprint("/b", i)).data(id, false, "mine").raw(http2.FramePing, 0, 0, "12345678")
		b.send()
		b.hears("PING ACK 12345678")
		a.data(id, true, "stray").raw(http2.FramePing, 0, 0, "12345678")
		a.send()
		a.hears("PING ACK 12345678")
		b.data(id, true, ", too")
		b.send()
		b.hears(fmt.Sprintf("%d: OK", id))
		if got := x.took[fmt.Sprint("/b", i)]; got != "mine, too" {
			t.Errorf("it took %q", got)
		}
	}
	x.check(t)
}

func TestShutdownBeforeTheGreeting(t *testing.T) {
	hello := newTalk().Bytes()
	drain := func(c *conn) { c.drain() }
	if out := converse(New(config(newExchange())), hello[:9], drain, hello[9:]); len(out) > 0 {
		t.Errorf("it says %q", out)
	}
}

// flaky fails to accept, for the moment, before it does.
type flaky struct {
	net.Listener
	failures []error
}

type passing struct{ error }

func (passing) Temporary() bool { return true }

func (f *flaky) Accept() (net.Conn, error) {
	if len(f.failures) > 0 {
		err := f.failures[0]
		f.failures = f.failures[1:]
		return nil, err
	}
	return f.Listener.Accept()
}

func TestAcceptThatFails(t *testing.T) {
	leaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(config(newExchange()))
	forever := errors.New("forever")
	broken := &flaky{l, []error{passing{io.ErrNoProgress}, passing{io.ErrNoProgress}, forever}}
	if err := s.Serve(broken); err != forever {
		t.Error(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if len(broken.failures) != 0 || slices.Contains(broken.failures, forever) {
		t.Error("it did not go on")
	}
}
