package autoconfigure

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
)

// received is what a receiver has been sent.
type received struct {
	mu       sync.Mutex
	names    []string
	services []string
	path     string
	header   map[string]string // of the last request, names in lower case
	arrived  chan struct{}     // of one element
}

func newReceived() *received { return &received{arrived: make(chan struct{}, 1)} }

func (r *received) take(t *testing.T, request []byte, path string, header map[string]string) {
	b, err := ringtail.NewBatch(request)
	if err != nil {
		t.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range b.Spans() {
		r.names = append(r.names, s.Name)
		r.services = append(r.services, s.Resource.ServiceName())
	}
	r.path, r.header = path, header
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

func (r *received) spans() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.names))
}

// httpReceiver is an OTLP/HTTP receiver.
func httpReceiver(t *testing.T, withTLS *tls.Config) (*received, *httptest.Server) {
	r := newReceived()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body := io.Reader(req.Body)
		if req.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		msg, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
			return
		}
		if req.Header.Get("Content-Type") == "application/json" {
			if msg, err = otlp.AppendFromJSON(nil, msg); err != nil {
				t.Error(err)
			}
		}
		r.take(t, msg, req.URL.Path, map[string]string{
			"api-key": req.Header.Get("api-key"), "content-type": req.Header.Get("content-type"), "content-encoding": req.Header.Get("content-encoding")})
		w.Header().Set("Content-Type", req.Header.Get("Content-Type"))
	}))
	if s.TLS = withTLS; withTLS != nil {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return r, s
}

// bytesCodec hands messages over as they came.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (bytesCodec) Unmarshal(b mem.BufferSlice, v any) error {
	*v.(*[]byte) = b.Materialize()
	return nil
}

// grpcReceiver is an OTLP/gRPC receiver.
func grpcReceiver(t *testing.T, withTLS *tls.Config) (r *received, addr string) {
	r = newReceived()
	opts := []grpc.ServerOption{grpc.ForceServerCodecV2(bytesCodec{})}
	if withTLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(withTLS)))
	}
	s := grpc.NewServer(opts...)
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var msg, answer []byte
			if err := dec(&msg); err != nil {
				return nil, err
			}
			md, _ := metadata.FromIncomingContext(ctx)
			header := map[string]string{}
			for name, values := range md {
				header[name] = values[0]
			}
			r.take(t, msg, "", header)
			return &answer, nil
		}}},
	}, nil)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(lis) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return r, lis.Addr().String()
}

// certificate returns a certificate for 127.0.0.1, which is its own authority and may
// be a server's and a client's, and its PEM files.
func certificate(t *testing.T) (cert tls.Certificate, certFile, keyFile string) {
	s := httptest.NewTLSServer(http.NotFoundHandler()) // which has one
	defer s.Close()
	cert = s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, certFile, keyFile
}

// nobody returns an address that nobody listens at.
func nobody(t *testing.T) string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

// setenv sets variables for the test, and empties those that the outside has set.
func setenv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "") // puts it back in the end
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
}

// logBuffer collects a log that may come from several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func withLog(l *logBuffer) Option { return WithLogger(slog.New(slog.NewTextHandler(l, nil))) }

// noLeaks fails the test when goroutines that it has started stay.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(5 * time.Second)
		for runtime.NumGoroutine() > before { // they need to be scheduled for their end
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}
