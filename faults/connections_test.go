//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A silent client is one that has connected, has been heard, and says no more.
type silentClient struct {
	name string
	http bool
	open func(net.Conn) error
}

var silentClients = []silentClient{
	{"gRPC, idle", false, greet},
	{"gRPC, in a request", false, func(c net.Conn) error {
		var b bytes.Buffer
		enc := hpack.NewEncoder(&b)
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"},
			{":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
			if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				return err
			}
		}
		return errors.Join(greet(c), http2.NewFramer(c, nil).WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes(), EndHeaders: true}))
	}},
	{"HTTP, idle", true, func(c net.Conn) error {
		return ask(c, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusNotFound)
	}},
	{"HTTP, in a request", true, func(c net.Conn) error {
		err := ask(c, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", http.StatusContinue)
		_, err2 := c.Write([]byte{0x0a})
		return errors.Join(err, err2)
	}},
}

// greet begins HTTP/2 and hears the server do so.
func greet(c net.Conn) error {
	f := http2.NewFramer(c, c)
	_, err := io.WriteString(c, http2.ClientPreface)
	if err := errors.Join(err, f.WriteSettings()); err != nil {
		return err
	}
	_, err = f.ReadFrame()
	return err
}

func ask(c net.Conn, request string, status int) error {
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		return fmt.Errorf("status %d, want %d", resp.StatusCode, status)
	}
	return nil
}

// TestThousandsOfConnections opens as many as the daemon takes, 10 000 where the limit of open files is
// 20 000. Its memory stays bounded, clients who were there before are served as ever, one more
// is turned away, and may come when another has gone.
func TestThousandsOfConnections(t *testing.T) {
	const most, apiece = 10_000, 48 << 10 // apiece: bytes of the daemon for each
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	limit := int(min(most, files.Max/2)) // the daemon leaves the other half to its log and its exporters
	if limit < 200 {
		t.Skipf("the process may open %d files: too few to say anything", files.Max)
	}
	acked := []string{filepath.Join(t.TempDir(), "grpc"), filepath.Join(t.TempDir(), "http")}
	s := receive(t, "--acked", acked[0], "--acked", acked[1])
	d := &daemon{process: launch(t, "serve", "--grpc", ownHost()+":0", "--http", ownHost()+":0", "--data-dir", t.TempDir(),
		"--export", "otlp-grpc="+s.grpc, "--header-timeout", "10m", "--body-timeout", "10m", "--shutdown-timeout", patience.String())}
	d.plan.grpc, d.plan.http = d.await(`OTLP/gRPC +(\S+)`), d.await(`OTLP/HTTP +http://([^/\s]+)`)
	d.await("Ctrl-C ends it")
	flags := []string{"--duration", "0", "--rate", "1000", "--connections", "1", "--in-flight", "1", "--acked"}
	clients := []*loading{
		sendTo(t, d.plan.grpc, append(flags, acked[0])...),
		sendTo(t, d.plan.http, append(flags, acked[1], "--protocol", "http/protobuf")...),
	}
	for _, path := range acked {
		acknowledged(t, path)
	}
	before := peakMemory(t, d.cmd.Process.Pid)

	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			c.Close()
		}
	})
	connect := func(c silentClient) error {
		addr := d.plan.grpc
		if c.http {
			addr = d.plan.http
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		mu.Lock()
		conns = append(conns, conn)
		mu.Unlock()
		conn.SetDeadline(time.Now().Add(patience))
		return c.open(conn)
	}
	began := time.Now()
	var opening sync.WaitGroup
	const hands = 8
	for h := range hands {
		opening.Go(func() {
			for i := h; i < limit-len(clients); i += hands {
				c := silentClients[i%len(silentClients)]
				if err := connect(c); err != nil {
					t.Errorf("connection %d, %s: %v", i, c.name, err)
					return
				}
			}
		})
	}
	opening.Wait()
	if t.Failed() {
		return
	}
	took := time.Since(began)
	for _, c := range silentClients {
		if err := connect(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: one more than %d connections was let in: %v", c.name, limit, err)
		}
	}
	for _, path := range acked {
		acknowledged(t, path) // whoever was there before
	}
	peak := peakMemory(t, d.cmd.Process.Pid)
	t.Logf("%d connections in %v: %d MiB, %d KiB each", limit, took.Round(time.Millisecond), peak>>20, (peak-before)/int64(limit)>>10)
	if more := peak - before; more > int64(limit)*apiece && !*raceProgram {
		t.Errorf("the daemon took %d MiB for %d connections, want at most %d", more>>20, limit, limit*apiece>>20)
	}
	conns[0].Close()
	eventually(t, "there is room for another", func() bool { return connect(silentClients[0]) == nil })

	for _, c := range clients {
		if r := c.finish(); r.Acknowledged != r.Sent || r.Sent == 0 || r.Retries != 0 {
			t.Errorf("%d of %d spans acknowledged: %+v", r.Acknowledged, r.Sent, r)
		}
	}
	for _, c := range conns {
		c.Close()
	}
	delivered(t, d)
	if n := d.refusedConnections(); n < uint64(len(silentClients)) {
		t.Errorf("%d connections were refused", n)
	}
	if r := s.finish(); r.Lost() != 0 {
		t.Errorf("%d spans are lost", r.Lost())
	}
}

// refusedConnections is how many there were, by what it said at its end.
func (d *daemon) refusedConnections() uint64 {
	d.t.Helper()
	m := regexp.MustCompile(`(?m)^.* requests accepted.*, (\d+) connections? beyond the limit refused`).FindStringSubmatch(d.stderr.String())
	if m == nil {
		return 0
	}
	return d.number(m[1])
}
