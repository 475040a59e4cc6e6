package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
)

// sink validates and counts, and answers as it is told to.
type sink struct {
	spans  atomic.Int64
	answer func(request []byte) error // nil: take it

	mu       sync.Mutex
	requests [][]byte
}

func (s *sink) Append(_ context.Context, pieces [][]byte) (int, error) {
	request := bytes.Join(pieces, nil)
	counts, err := otlp.Validate(request)
	if err != nil {
		return 0, err
	}
	if s.answer != nil {
		if err := s.answer(request); err != nil {
			return counts.Spans, err
		}
	}
	s.spans.Add(int64(counts.Spans))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, bytes.Clone(request))
	return counts.Spans, nil
}

// start serves on free ports until the test ends, and looks for what it has left behind.
func start(t testing.TB, sink Sink, change func(*Config)) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.GRPCAddr, cfg.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0"
	cfg.MaxRequestBytes = 1 << 20
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		noGoroutines(t) // which waits for requests that were cut off
		if held := s.Stats().HeldBytes; held != 0 {
			t.Errorf("%d bytes of the budget were not given back", held)
		}
	})
	return s
}

// noGoroutines fails when a goroutine of this package's servers is left.
func noGoroutines(t testing.TB) {
	t.Helper()
	var left string
	for range 500 {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = ""
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(g, "ringtail/collector.") && !strings.Contains(g, "testing.") ||
				strings.Contains(g, "internal/unary.") || strings.Contains(g, "http.(*conn).serve") {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", left)
}

// request makes a request of so many spans with the official types: on the wire,
// TracesData is an ExportTraceServiceRequest. (The official package of the service itself
// would bring the gRPC gateway with it; the real SDK is tested against the daemon
// elsewhere.)
func request(spans int) *tracepb.TracesData {
	scope := &tracepb.ScopeSpans{Scope: &common.InstrumentationScope{Name: "test"}}
	for i := range spans {
		scope.Spans = append(scope.Spans, &tracepb.Span{
			TraceId: bytes.Repeat([]byte{1}, 16), SpanId: []byte{1, 2, 3, 4, 5, 6, byte(i >> 8), byte(i)}, Name: "work", Status: &tracepb.Status{},
			StartTimeUnixNano: 1, EndTimeUnixNano: 2,
			Attributes: []*common.KeyValue{{Key: "n", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(i)}}}},
		})
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{Resource: &resource.Resource{}, ScopeSpans: []*tracepb.ScopeSpans{scope}}}}
}

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dial(t testing.TB, s *Server) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(s.GRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestConfigErrorsNameTheField(t *testing.T) {
	for _, test := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.GRPCAddr, c.HTTPAddr = "", "" }, "GRPCAddr and HTTPAddr are both empty"},
		{func(c *Config) { c.MaxRequestBytes = 10 }, "MaxRequestBytes is 10: want 1 KiB to 1 GiB"},
		{func(c *Config) { c.MaxConnections = 0 }, "MaxConnections is 0: want 1 to 1 000 000"},
		{func(c *Config) { c.MemoryLimit = 5 }, "MemoryLimit is 5: want at least twice MaxRequestBytes, 67108864"},
		{func(c *Config) { c.HeaderTimeout = 0 }, "HeaderTimeout is 0s"},
		{func(c *Config) { c.BodyTimeout = 2 * time.Hour }, "BodyTimeout is 2h0m0s"},
		{func(c *Config) { c.RetryDelay = -1 }, "RetryDelay is -1ns"},
		{func(c *Config) { c.GRPCAddr = "127.0.0.1:99999" }, "cannot listen for OTLP/gRPC on 127.0.0.1:99999"},
		{func(c *Config) { c.GRPCAddr = "127.0.0.1:0"; c.HTTPAddr = "nonsense" }, "cannot listen for OTLP/HTTP on nonsense"},
	} {
		cfg := DefaultConfig()
		test.change(&cfg)
		if _, err := New(cfg, &sink{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	if _, err := New(DefaultConfig(), nil); err == nil {
		t.Error("a nil sink is taken")
	}
}

// One client's request is under way when the server is told to stop.
func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			inside, release := make(chan bool), make(chan bool)
			var others atomic.Bool
			sink := &sink{answer: func([]byte) error {
				if !others.Swap(true) {
					inside <- true
					<-release
				}
				return nil
			}}
			s := start(t, sink, nil)
			answered := make(chan error, 1)
			go func() { answered <- send(t, s, protocol, 3) }()
			<-inside
			down := make(chan error, 1)
			go func() { down <- s.Shutdown(context.Background()) }()
			// Listening ends first.
			want := int64(3)
			for send(t, s, protocol, 1) == nil {
				want++
			}
			select {
			case err := <-down:
				t.Fatalf("Shutdown did not wait: %v", err)
			default:
			}
			close(release)
			if err := <-answered; err != nil {
				t.Errorf("the request under way got %v", err)
			}
			if err := <-down; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if n := sink.spans.Load(); n != want {
				t.Errorf("%d spans, want %d", n, want)
			}
		})
	}
}

func TestShutdownCutsOffWhenItsTimeIsOver(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			inside, release := make(chan bool, 1), make(chan bool)
			s := start(t, &sink{answer: func([]byte) error { inside <- true; <-release; return nil }}, nil)
			answered := make(chan error, 1)
			go func() { answered <- send(t, s, protocol, 1) }()
			<-inside
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Shutdown: %v", err)
			}
			if err := <-answered; err == nil {
				t.Error("the client was told that its spans are taken")
			}
			close(release)
		})
	}
}

func TestShutdownWithoutServe(t *testing.T) {
	cfg := DefaultConfig()
	cfg.GRPCAddr, cfg.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0"
	s, err := New(cfg, &sink{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	noGoroutines(t)
}

func TestServeEndsWhenAListenerFails(t *testing.T) {
	cfg := DefaultConfig()
	cfg.GRPCAddr, cfg.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0"
	s, err := New(cfg, &sink{})
	if err != nil {
		t.Fatal(err)
	}
	s.httpListener.Close()
	if err := s.Serve(); err == nil || !strings.Contains(err.Error(), "OTLP/HTTP") {
		t.Errorf("Serve: %v", err)
	}
	noGoroutines(t)
}

// sendGRPC calls the service as an official client does.
func sendGRPC(conn *grpc.ClientConn, req *tracepb.TracesData, opts ...grpc.CallOption) error {
	resp := &emptypb.Empty{}
	if err := conn.Invoke(context.Background(), exportMethod, req, resp, opts...); err != nil {
		return err
	}
	if unknown := resp.ProtoReflect().GetUnknown(); len(unknown) != 0 {
		return fmt.Errorf("the answer is not plain success: %x", unknown)
	}
	return nil
}

// send sends spans by one connection of its own.
func send(t testing.TB, s *Server, protocol string, spans int) error {
	if protocol == "grpc" {
		conn, err := grpc.NewClient(s.GRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		return sendGRPC(conn, request(spans))
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+s.HTTPAddr().String()+tracesPath, protobufType, bytes.NewReader(encoded(t, request(spans))))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return errors.New(resp.Status + string(body))
	}
	return nil
}

// The sink that the daemon has, with clients of both protocols at once, one of them
// refused and sending again.
func TestConcurrentClientsAreCountedExactly(t *testing.T) {
	const clients, requests, spans = 8, 40, 7
	exporter := &countingExporter{}
	c, err := ringtail.New(exporter, ringtail.WithBatchBytes(1<<10), ringtail.WithQueueBytes(1<<10),
		ringtail.WithConcurrentExports(1), ringtail.WithInterval(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Memory(c), nil)
	var wg sync.WaitGroup
	var refused atomic.Int64
	for i := range clients {
		wg.Go(func() {
			for range requests {
				for send(t, s, []string{"grpc", "http"}[i%2], spans) != nil {
					refused.Add(1)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := c.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	st, requestsOK := c.Stats(), s.Stats().Accepted
	const want = clients * requests * spans
	if st.Exported != want || exporter.spans.Load() != want || requestsOK != clients*requests {
		t.Errorf("%v; the exporter saw %d and %d requests were accepted, want %d and %d", st, exporter.spans.Load(), requestsOK, want, clients*requests)
	}
	if refused.Load() == 0 {
		t.Error("nobody was refused: the test does not show what it should")
	}
	if got := st.Dropped.Of(ringtail.ReasonFull); got != uint64(refused.Load()*spans) || got != st.Dropped.Total() {
		t.Errorf("%v; clients were refused %d times", st, refused.Load())
	}
	t.Logf("%v, refused %d times", st, refused.Load())
}

type countingExporter struct{ spans atomic.Int64 }

func (e *countingExporter) Export(_ context.Context, b *ringtail.Batch) error {
	time.Sleep(time.Millisecond) // so that the queue fills at times
	e.spans.Add(int64(otlp.Count(b.Bytes())))
	return nil
}

func (*countingExporter) Shutdown(context.Context) error { return nil }
