package collector

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ringtail-otel/ringtail"
)

const exportMethod = "/" + traceService + "/Export"

func TestGRPCTakesWhatTheOfficialClientSends(t *testing.T) {
	sink := &sink{}
	s := start(t, sink, nil)
	conn := dial(t, s)
	want := request(1000) // several HTTP/2 frames
	for _, compression := range []string{"", "gzip", "zstd"} {
		var opts []grpc.CallOption
		if compression != "" {
			opts = append(opts, grpc.UseCompressor(compression))
		}
		if err := sendGRPC(conn, want, opts...); err != nil {
			t.Fatalf("%q: %v", compression, err)
		}
	}
	if err := sendGRPC(conn, &tracepb.TracesData{}); err != nil {
		t.Errorf("an empty request: %v", err)
	}
	if len(sink.requests) != 4 {
		t.Fatalf("%d requests came", len(sink.requests))
	}
	for _, raw := range sink.requests[:3] {
		got := &tracepb.TracesData{}
		if err := proto.Unmarshal(raw, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("not what was sent: %v", err)
		}
	}
}

// rawClient sends bytes as they are.
type rawClient struct{}

func (rawClient) Name() string { return "proto" }
func (rawClient) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawClient) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func invoke(conn *grpc.ClientConn, method string, body []byte, opts ...grpc.CallOption) error {
	var reply []byte
	return conn.Invoke(context.Background(), method, body, &reply, append(opts, grpc.ForceCodecV2(rawClient{}))...)
}

func TestGRPCAnswers(t *testing.T) {
	var answer error
	s := start(t, &sink{answer: func([]byte) error { return answer }}, func(c *Config) { c.RetryDelay = 3 * time.Second })
	conn := dial(t, s)
	good := encoded(t, request(2))
	zeros := bytes.Repeat([]byte{0}, 8<<20)
	for _, test := range []struct {
		name   string
		method string
		body   []byte
		gzip   bool
		sink   error
		want   codes.Code
		text   string
		retry  time.Duration
	}{
		{name: "malformed", body: good[:len(good)-1], want: codes.InvalidArgument, text: "resource_spans[0]"},
		{name: "garbage", body: []byte("GET / HTTP/1.1"), want: codes.InvalidArgument, text: "otlp: cannot read"},
		{name: "too large", body: zeros[:1<<20+1], want: codes.ResourceExhausted, text: "of at most 1048576"},
		{name: "bomb", body: zeros, gzip: true, want: codes.ResourceExhausted, text: "more than 1048576 bytes"},
		{name: "full", body: good, sink: ringtail.ErrFull, want: codes.Unavailable, text: "queue is full", retry: 3 * time.Second},
		{name: "closed", body: good, sink: ringtail.ErrClosed, want: codes.Unavailable, text: "shutting down", retry: 3 * time.Second},
		{name: "broken sink", body: good, sink: io.ErrNoProgress, want: codes.Internal, text: io.ErrNoProgress.Error()},
		{name: "metrics", method: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", body: good, want: codes.Unimplemented, text: "unknown service"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer = test.sink
			var opts []grpc.CallOption
			if test.gzip {
				opts = append(opts, grpc.UseCompressor("gzip"))
			}
			if test.method == "" {
				test.method = exportMethod
			}
			st := status.Convert(invoke(conn, test.method, test.body, opts...))
			if st.Code() != test.want || !strings.Contains(st.Message(), test.text) {
				t.Errorf("%v: %s", st.Code(), st.Message())
			}
			var retry time.Duration
			for _, d := range st.Details() {
				if info, ok := d.(*errdetails.RetryInfo); ok {
					retry = info.RetryDelay.AsDuration()
				}
			}
			if retry != test.retry {
				t.Errorf("RetryInfo says %v, want %v", retry, test.retry)
			}
		})
	}
	got := s.Stats()
	got.HeldBytes, got.OpenConnections = 0, 0
	if want := (Stats{Bad: 2, TooLarge: 2, Overloaded: 2, Failed: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestGRPCRefusesBadCompression(t *testing.T) {
	s := start(t, &sink{}, nil)
	stream, err := dial(t, s).NewStream(context.Background(), &grpc.StreamDesc{ClientStreams: true}, exportMethod,
		grpc.ForceCodecV2(rawClient{}), grpc.UseCompressor("gzip"))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(encoded(t, request(3)))
	w.Close()
	// Announced as compressed and compressed twice: fine for gzip, garbage for us.
	if err := stream.SendMsg(buf.Bytes()); err != nil {
		t.Fatal(err)
	}
	stream.CloseSend()
	var reply []byte
	if err := stream.RecvMsg(&reply); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
}

func TestGRPCTurnsAwayBeyondTheBudget(t *testing.T) {
	inside, release := make(chan bool), make(chan bool)
	s := start(t, &sink{answer: func([]byte) error { inside <- true; <-release; return nil }}, func(c *Config) {
		c.MaxRequestBytes, c.MemoryLimit = 4<<10, 8<<10
	})
	conn := dial(t, s)
	first := make(chan error, 1)
	go func() { first <- invoke(conn, exportMethod, encoded(t, request(1))) }()
	<-inside
	err := invoke(conn, exportMethod, encoded(t, request(1)))
	if st := status.Convert(err); st.Code() != codes.Unavailable || !strings.Contains(st.Message(), "--memory-limit") || len(st.Details()) != 1 {
		t.Errorf("%v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
}

func TestGRPCEndsASlowSender(t *testing.T) {
	s := start(t, &sink{}, func(c *Config) { c.BodyTimeout = 20 * time.Millisecond })
	stream, err := dial(t, s).NewStream(context.Background(), &grpc.StreamDesc{ClientStreams: true}, exportMethod, grpc.ForceCodecV2(rawClient{}))
	if err != nil {
		t.Fatal(err)
	}
	var reply []byte // nothing is sent
	if err := stream.RecvMsg(&reply); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	// The client has its answer a moment before the handler has returned.
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if got := s.Stats(); got.TimedOut != 1 || got.HeldBytes != 0 {
		t.Errorf("%+v", got)
	}
}

func TestBufferPool(t *testing.T) {
	var p bufferPool
	for _, n := range []int{0, 1, 4096, 4097, 16384, 1<<22 - 1, 1 << 22, 1<<22 + 1} {
		b := p.Get(n)
		if len(*b) != n {
			t.Errorf("Get(%d) has %d bytes", n, len(*b))
		}
		p.Put(b)
	}
	foreign := make([]byte, 5000)
	p.Put(&foreign) // between two classes: must not be handed out for 8192
	for range 100 {
		if b := p.Get(8192); cap(*b) != 8192 {
			t.Fatalf("capacity %d", cap(*b))
		}
	}
}

// A bug costs the request that meets it, and nobody else.
func TestGRPCOutlivesPanics(t *testing.T) {
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	first := true
	s := start(t, &sink{answer: func([]byte) error {
		if first {
			first = false
			panic("a bug")
		}
		return nil
	}}, nil)
	conn := dial(t, s)
	if err := sendGRPC(conn, request(3)); status.Code(err) != codes.Internal {
		t.Errorf("%v", err)
	}
	if err := sendGRPC(conn, request(3)); err != nil {
		t.Errorf("the next request: %v", err)
	}
	if got := s.Stats(); got.Failed != 1 || got.Accepted != 1 {
		t.Errorf("%+v", got)
	}
	allGivenBack(t, s)
}
