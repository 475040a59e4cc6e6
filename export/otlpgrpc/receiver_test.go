package otlpgrpc

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// receiver is a real gRPC server that takes spans and answers as told.
type receiver struct {
	// answer decides about a request, by its span ids. Nil takes everything. The answer is an
	// encoded ExportTraceServiceResponse.
	answer func(ctx context.Context, ids []int) ([]byte, error)

	t       *testing.T
	addr    string
	server  *grpc.Server
	mu      sync.Mutex
	taken   []int // span ids of requests that were answered without an error
	calls   int
	headers metadata.MD // of the last request
}

// bytesCodec hands messages to the receiver as they came.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (bytesCodec) Unmarshal(b mem.BufferSlice, v any) error {
	*v.(*[]byte) = b.Materialize()
	return nil
}

// start serves on a free port, or on r.addr if it is set.
func (r *receiver) start(t *testing.T, opts ...grpc.ServerOption) *receiver {
	t.Helper()
	r.t = t
	if r.addr == "" {
		r.addr = "127.0.0.1:0"
	}
	network := "tcp"
	if r.addr[0] == '/' {
		network = "unix"
	}
	lis, err := net.Listen(network, r.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = lis.Addr().String()
	r.server = grpc.NewServer(append([]grpc.ServerOption{grpc.ForceServerCodecV2(bytesCodec{})}, opts...)...)
	r.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: r.export}},
	}, nil)
	done := make(chan struct{})
	go func() { defer close(done); _ = r.server.Serve(lis) }()
	t.Cleanup(func() { r.server.Stop(); <-done })
	return r
}

func (r *receiver) export(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var req, resp []byte
	if err := dec(&req); err != nil {
		return nil, err
	}
	ids := otlptest.IDs(r.t, req)
	r.mu.Lock()
	r.calls++
	r.headers, _ = metadata.FromIncomingContext(ctx)
	r.mu.Unlock()
	if r.answer != nil {
		var err error
		if resp, err = r.answer(ctx, ids); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = append(r.taken, ids...)
	return &resp, nil
}

// reset forgets what has come.
func (r *receiver) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls, r.taken = 0, nil
}

// count returns how often a request has come.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// spans returns how many spans were taken.
func (r *receiver) spans() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.taken)
}

// wantTaken checks that exactly the spans first … last were taken, once each.
func (r *receiver) wantTaken(first, last int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.Sorted(slices.Values(r.taken))
	if len(got) != last-first+1 || len(got) > 0 && (got[0] != first || got[len(got)-1] != last || len(slices.Compact(got)) != len(r.taken)) {
		r.t.Errorf("%d spans were taken, want %d to %d once each: %v", len(got), first, last, got)
	}
}

// quick is for tests in which pauses are of no interest.
var quick = WithRetry(export.RetryConfig{InitialInterval: time.Millisecond, MaxInterval: 5 * time.Millisecond})

func newTestExporter(t *testing.T, endpoint string, opts ...Option) *Exporter {
	t.Helper()
	e, err := New(endpoint, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.Shutdown(context.Background()) // returns the error of the test's own, if it had one
	})
	return e
}
