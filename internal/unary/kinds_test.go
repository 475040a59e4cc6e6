package unary

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// wrapped hides what a connection is, and remembers its deadlines.
type wrapped struct {
	net.Conn
	mu        sync.Mutex
	deadlines []time.Time
}

func (w *wrapped) SetDeadline(at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadlines = append(w.deadlines, at)
	return w.Conn.SetDeadline(at)
}

type wrapper struct {
	net.Listener
	conns chan *wrapped
}

func (w *wrapper) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &wrapped{Conn: conn}
	w.conns <- c
	return c, nil
}

func TestConnectionsOfOtherKinds(t *testing.T) {
	leaks(t)
	for _, secured := range []bool{false, true} {
		x := newExchange()
		cfg := config(x)
		var theirs *tls.Config
		if secured {
			cfg.TLS, theirs = secure(t)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, done, wrapper := New(cfg), make(chan error, 1), &wrapper{l, make(chan *wrapped, 1)}
		go func() { done <- s.Serve(wrapper) }()
		conn, err := net.Dial("tcp", l.Addr().String())
		if secured {
			conn = tls.Client(conn, theirs)
		}
		c := connect(t, conn, err)
		for i, n := range []int{1, 2000, 3000, 100_000, 10} {
			content := strings.Repeat("0123456789", n)[:n]
			c.call(uint32(1+2*i), fmt.Sprint("/a", n), content)
			c.send()
			c.hears(fmt.Sprintf("%d: OK", 1+2*i))
			if x.took[fmt.Sprint("/a", n)] != content {
				t.Errorf("%d bytes are not the same", n)
			}
		}
		server := <-wrapper.conns
		server.mu.Lock()
		if n := len(server.deadlines); secured && (n != 2 || !server.deadlines[1].IsZero()) || !secured && n > 0 {
			t.Errorf("TLS %v: deadlines %v", secured, server.deadlines)
		}
		server.mu.Unlock()
		s.Close()
		<-done
		x.check(t)
	}
}

func secure(t *testing.T) (server, client *tls.Config) {
	ready := httptest.NewTLSServer(nil)
	defer ready.Close()
	server = &tls.Config{Certificates: ready.TLS.Certificates, NextProtos: []string{"h2"}}
	client = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	return server, client
}

func TestTLS(t *testing.T) {
	leaks(t)
	x := newExchange()
	cfg := config(x)
	var theirs *tls.Config
	cfg.TLS, theirs = secure(t)
	cfg.BodyTimeout = 500 * time.Millisecond
	s, address := start(t, cfg)

	conn, err := tls.Dial("tcp", address, theirs)
	c := connect(t, conn, err)
	large := strings.Repeat("0123456789", 10_000)
	c.open(1, "/later a")
	for i := range 20 {
		c.data(1, i == 19, large[:10_000])
	}
	c.send()
	for range 1 {
		c.hears("WINDOW_UPDATE 1 140000")
	}
	c.hears("1: 200 14 unanswered")
	// A read that was interrupted goes on where it was.
	c.open(3, "/a").data(3, false, "half")
	c.send()
	c.hears("3: 200 4 late", "RST_STREAM 3 NO_ERROR")
	c.open(5, "/b").data(5, true, large)
	c.send()
	c.hears("5: OK")
	if x.took["/later a"] != strings.Repeat(large[:10_000], 20) || x.took["/b"] != large {
		t.Error("bytes are lost")
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	c.hears("GOAWAY 2147483647 NO_ERROR ", "PING leaving")
	c.raw(http2.FramePing, http2.FlagPingAck, 0, string(leaving[:]))
	c.send()
	c.hears("GOAWAY 5 NO_ERROR ")
	c.hearsNoMore()
	c.conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	x.answerAll()
	x.check(t)
}

func TestHandshake(t *testing.T) {
	leaks(t)
	cfg := config(newExchange())
	var theirs *tls.Config
	cfg.TLS, theirs = secure(t)
	cfg.HeaderTimeout = 100 * time.Millisecond
	_, address := start(t, cfg)

	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	silent.SetDeadline(time.Now().Add(patience))
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a handshake that does not begin: %v", err)
	}
	cfg.HeaderTimeout = time.Hour
	_, address = start(t, cfg)
	// Go's TLS lets clients in that offer HTTP/1.1 alone. They are told.
	theirs.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", address, theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write([]byte("POST /v1/traces HTTP/1.1\r\n\r\n"))
	if text, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 400 ") {
		t.Errorf("%q, %v", text, err)
	}
}

// Who begins without TLS is told, by either protocol.
func TestClientsWithoutTLS(t *testing.T) {
	leaks(t)
	cfg := config(newExchange())
	cfg.TLS, _ = secure(t)
	_, address := start(t, cfg)
	conn := func(words string) net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, words)
		return conn
	}
	f := http2.NewFramer(io.Discard, conn(http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	if frame, err := f.ReadFrame(); err != nil || frame.Header().Type != http2.FrameSettings {
		t.Fatalf("%v, %v", frame, err)
	}
	frame, err := f.ReadFrame()
	if g, ok := frame.(*http2.GoAwayFrame); !ok || g.ErrCode != http2.ErrCodeInadequateSecurity || !strings.Contains(string(g.DebugData()), "TLS") {
		t.Errorf("%v, %v", frame, err)
	}
	if text, err := io.ReadAll(conn("GET / HTTP/1.1\r\n\r\n")); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 400 ") {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := io.ReadAll(conn("\x15\x03\x01\x00\x02\x02\x46")); err != nil || strings.Contains(string(text), "HTTP") {
		t.Errorf("an alert of TLS: %q, %v", text, err)
	}
}
