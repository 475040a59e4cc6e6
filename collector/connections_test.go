package collector

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// eventually waits until a condition holds that nobody announces.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// allGivenBack waits until requests hold nothing of the budget: a client may have its answer a moment
// before that.
func allGivenBack(t testing.TB, s *Server) {
	t.Helper()
	eventually(t, "the budget to be given back", func() bool { return s.Stats().HeldBytes == 0 })
}

// idle opens a connection that speaks the protocol as far as its greeting, and then rests.
func idle(t testing.TB, addr net.Addr, protocol string) net.Conn {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if protocol == "grpc" {
		io.WriteString(conn, http2.ClientPreface)
		if err := http2.NewFramer(conn, conn).WriteSettings(); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

func TestConnectionsBeyondTheLimitAreClosed(t *testing.T) {
	s := start(t, &sink{}, func(c *Config) { c.MaxConnections = 4 })
	var open []net.Conn
	for range 2 {
		open = append(open, idle(t, s.GRPCAddr(), "grpc"), idle(t, s.HTTPAddr(), "http"))
	}
	eventually(t, "four connections", func() bool { return s.Stats().OpenConnections == 4 })
	for i, protocol := range []string{"grpc", "http"} {
		if err := send(t, s, protocol, 1); err == nil {
			t.Errorf("%s: a fifth connection is served", protocol)
		}
		if got := s.Stats(); got.RefusedConnections < uint64(i+1) || got.OpenConnections != 4 {
			t.Errorf("%+v", got)
		}
	}
	for i, protocol := range []string{"grpc", "http"} {
		open[i].Close()
		eventually(t, "a connection to end", func() bool { return s.Stats().OpenConnections == 3 })
		if err := send(t, s, protocol, 1); err != nil {
			t.Errorf("%s: there is room again: %v", protocol, err)
		}
		eventually(t, "a connection to end", func() bool { return s.Stats().OpenConnections == 3 })
		open[i] = idle(t, s.HTTPAddr(), "http")
		eventually(t, "a connection", func() bool { return s.Stats().OpenConnections == 4 })
	}
}

// A connection may be closed twice, and by somebody who does not know that it is.
func TestConnectionsAreCountedOnce(t *testing.T) {
	var c connections
	c.open.Add(2)
	client, server := net.Pipe()
	defer client.Close()
	conn := &countedConn{Conn: server, leave: c.leave}
	conn.Close()
	conn.Close()
	if n := c.open.Load(); n != 1 {
		t.Errorf("%d are open", n)
	}
}

// An oversized header is refused with a reason, by both protocols.
func TestOversizedHeaders(t *testing.T) {
	s := start(t, &sink{}, nil)
	big := make([]byte, 80<<10)
	for i := range big {
		big[i] = 'x'
	}
	r := connect(t, s, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nX-Big: "+string(big)+"\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v, %v", resp, err)
	}
	// The greeting of a gRPC server says what it takes, so that clients can tell their users.
	conn := idle(t, s.GRPCAddr(), "grpc")
	frame, err := http2.NewFramer(io.Discard, bufio.NewReader(conn)).ReadFrame()
	settings, ok := frame.(*http2.SettingsFrame)
	if err != nil || !ok {
		t.Fatalf("%v, %v", frame, err)
	}
	if v, ok := settings.Value(http2.SettingMaxHeaderListSize); !ok || v != maxHeader {
		t.Errorf("it says %d", v)
	}
}
