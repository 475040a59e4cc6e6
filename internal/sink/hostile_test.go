package sink

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/ringtail-otel/ringtail/internal/load"
	"github.com/ringtail-otel/ringtail/internal/load/numbers"
	"github.com/ringtail-otel/ringtail/otlp"
)

// body is a request of one span with those ids.
func body(traceID [16]byte, spanID [8]byte) []byte {
	span := append(append([]byte{1<<3 | 2, 16}, traceID[:]...), 2<<3|2, 8)
	span = append(span, spanID[:]...)
	framed := append([]byte{2<<3 | 2, byte(len(span))}, span...)
	return otlp.AppendRequest(nil, nil, "", otlp.ScopeRun{Spans: framed})
}

func zipped(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(b)
	z.Close()
	return buf.Bytes()
}

// What is no request of ours is answered, counted, and harms nobody.
func TestHostileRequests(t *testing.T) {
	s, stop := start(t, Config{HTTP: "127.0.0.1:0", Validate: true})
	url := "http://" + s.HTTPAddr().String()
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	post := func(path, kind, encoding string, b []byte) (int, string) {
		t.Helper()
		req, err := http.NewRequest("POST", url+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Content-Encoding", encoding)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		return resp.StatusCode, string(said)
	}
	const pb, js = "application/x-protobuf", "application/json"
	own := body(numbers.TraceID(1, 1), numbers.SpanID(1))
	for _, test := range []struct {
		name, path, kind, encoding string
		body                       []byte
		want                       int
	}{
		{"a span", "/v1/traces", pb, "", own, 200},
		{"the same", "/v1/traces", pb, "gzip", zipped(own), 200},
		{"a number too large", "/v1/traces", pb, "", body(numbers.TraceID(1, 1), numbers.SpanID(1<<60)), 200},
		{"another's span", "/v1/traces", pb, "", body([16]byte{1}, [8]byte{1}), 200},
		{"nothing", "/v1/traces", pb, "", nil, 200},
		{"cut off", "/v1/traces", pb, "", own[:len(own)-3], 400},
		{"noise", "/v1/traces", pb, "", []byte("hello, sink"), 400},
		{"no JSON", "/v1/traces", js, "", []byte("{"), 400},
		{"no gzip", "/v1/traces", pb, "gzip", own, 400},
		{"half a gzip", "/v1/traces", pb, "gzip", zipped(own)[:20], 400},
		{"lz4", "/v1/traces", pb, "lz4", own, 400},
		{"a bomb", "/v1/traces", pb, "gzip", zipped(make([]byte, maxRequest+1<<20)), 400},
		{"elsewhere", "/v1/metrics", pb, "", own, 404},
	} {
		got, said := post(test.path, test.kind, test.encoding, test.body)
		if got != test.want || test.name == "a bomb" && !strings.Contains(said, "is too large") {
			t.Errorf("%s: %d, %q, want %d", test.name, got, said, test.want)
		}
	}
	resp, err := client.Get(url + "/report")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var told Report
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
		t.Fatal(err)
	}
	got := stop()
	if got.Spans != 4 || got.Unnumbered != 1 || got.Untracked != 1 || got.Exact || got.Seen() != 1 || got.Duplicates() != 1 || got.Malformed != 7 {
		t.Errorf("%+v", got)
	}
	if told.Spans != got.Spans || told.Runs[0].Duplicates != 1 || told.Malformed != got.Malformed {
		t.Errorf("/report: %+v", told)
	}
}

// Fields of a span in another order than encoders write them.
func TestIdentifyInAnyOrder(t *testing.T) {
	traceID, spanID := numbers.TraceID(9, 5), numbers.SpanID(77)
	span := append([]byte{5<<3 | 2, 1, 'x', 2<<3 | 2, 8}, spanID[:]...)
	span = append(append(span, 1<<3|2, 16), traceID[:]...)
	if run, number, ok := identify(span); run != 9 || number != 77 || !ok {
		t.Errorf("%v %d %v", run, number, ok)
	}
	for _, bad := range [][]byte{nil, {1<<3 | 2}, span[:len(span)-1]} {
		if _, _, ok := identify(bad); ok {
			t.Errorf("%x has a number", bad)
		}
	}
}

func TestStops(t *testing.T) {
	for name, cfg := range map[string]Config{
		"after enough": {GRPC: "127.0.0.1:0", Spans: 500}, "when idle": {GRPC: "127.0.0.1:0", Idle: 50 * time.Millisecond},
	} {
		s, err := Listen(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan Report, 1)
		go func() {
			r, err := s.Run(context.Background())
			if err != nil {
				t.Error(name, err)
			}
			ended <- r
		}()
		sent := send(t, func(c *load.Config) { c.Endpoint, c.Spans = s.GRPCAddr().String(), 500 })
		if r := <-ended; r.Seen() != 500 || sent.Acknowledged != 500 {
			t.Errorf("%s: %+v, %+v", name, r, sent)
		}
	}
}

func TestListenErrors(t *testing.T) {
	if _, err := Listen(Config{}); err == nil {
		t.Error("it listens nowhere")
	}
	path := "unix:" + filepath.Join(t.TempDir(), "s")
	s, stop := start(t, Config{GRPC: path})
	if _, err := Listen(Config{HTTP: path}); err == nil || !strings.Contains(err.Error(), "cannot listen for OTLP/HTTP on unix:") {
		t.Errorf("a second one on %s: %v", s.GRPCAddr(), err)
	}
	stop()
	if err := os.WriteFile(strings.TrimPrefix(path, "unix:"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Config{GRPC: path}); err == nil {
		t.Error("a file of somebody's is removed")
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: strings.TrimPrefix(path, "unix:") + "2"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close() // as a process leaves it that was killed
	_, stop = start(t, Config{GRPC: path + "2"})
	stop()
	bad := filepath.Join(t.TempDir(), "acked")
	os.WriteFile(bad, []byte("nonsense\n"), 0o600)
	s, err = Listen(Config{GRPC: "127.0.0.1:0", Acked: []string{bad}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.grpcAddr.Close()
	if _, err := s.Report(); err == nil || !strings.Contains(err.Error(), bad) {
		t.Error(err)
	}
}

// A run that was acknowledged and of which nothing came is lost, whole.
func TestAllIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acked")
	os.WriteFile(path, []byte("0000beef 1 100\n"), 0o600)
	_, stop := start(t, Config{GRPC: "127.0.0.1:0", Acked: []string{path, path}})
	if r := stop(); r.Lost() != 100 || len(r.Runs) != 1 || r.Runs[0].LostRanges[0] != (numbers.Range{First: 1, Last: 100}) {
		t.Errorf("%+v", r)
	}
}

// TLS and headers, to servers that want them.
func TestLoadWithTLS(t *testing.T) {
	s, stop := start(t, Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	var heard atomic.Value // by the last request, whose answer may be here before the handler has ended
	heard.Store("")
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		heard.Store(req.Header.Get("X-Key"))
		s.serveTraces(w, req)
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // the load's first look is no handshake
	front.StartTLS()
	defer front.Close()
	pool := x509.NewCertPool()
	pool.AddCert(front.Certificate())
	secure := func(c *load.Config) {
		c.TLS, c.Headers, c.Connections, c.InFlight, c.Spans = &tls.Config{RootCAs: pool}, map[string]string{"x-key": "secret"}, 1, 1, 300
	}
	sent := send(t, func(c *load.Config) { secure(c); c.Protocol, c.Endpoint = load.HTTPProtobuf, front.URL })
	if sent.Acknowledged != 300 || heard.Load() != "secret" {
		t.Errorf("HTTP: %+v, heard %q", sent, heard.Load())
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.Creds(credentials.NewServerTLSFromCert(&front.TLS.Certificates[0])))
	g.RegisterService(&grpc.ServiceDesc{ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: s.export}}}, s)
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	sent = send(t, func(c *load.Config) { secure(c); c.Endpoint = "https://" + l.Addr().String() })
	g.Stop()
	if err := <-served; err != nil || sent.Acknowledged != 300 {
		t.Errorf("gRPC: %v %+v", err, sent)
	}
	if got := stop(); got.Seen() != 600 || len(got.Runs) != 2 {
		t.Errorf("%+v", got)
	}
}
