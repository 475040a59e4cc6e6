package collector

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

const (
	traceService = "opentelemetry.proto.collector.trace.v1.TraceService"

	// assumedBytes is what a gRPC request takes from the budget before it is
	// read. Its length is in its body, not in its header; this is what a client
	// may have sent anyway before it is granted more.
	assumedBytes = 64 << 10

	// maxStreams bounds the requests under way on one connection, and with that
	// the goroutines that a single client can start.
	maxStreams = 256
)

// receiverGRPC is OTLP's TraceService. (OTLP specification, "OTLP/gRPC".)
type receiverGRPC struct {
	server *Server
	sink   Sink
	full   error // for when the budget is used up
}

func newGRPCServer(s *Server, sink Sink) *grpc.Server {
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.MaxRecvMsgSize(s.cfg.MaxRequestBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(64<<10),
		grpc.ConnectionTimeout(s.cfg.HeaderTimeout),
		experimental.BufferPool(&buffers),
		// A goroutine's stack grows with the request's depth of calls, anew for each
		// request; workers keep theirs.
		grpc.NumStreamWorkers(uint32(4*runtime.GOMAXPROCS(0))),
		// Windows of a fixed size save the pings that measure how large they should be.
		grpc.StaticStreamWindowSize(1<<20),
		grpc.StaticConnWindowSize(4<<20),
		grpc.ReadBufferSize(64<<10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.InTapHandle(deadline(s.cfg.BodyTimeout)),
	)
	r := &receiverGRPC{server: s, sink: sink, full: unavailable(overBudget, s.cfg.RetryDelay)}
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: traceService,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: r.export}},
	}, r)
	return g
}

// export answers one request. recv reads it, and unpacks it if need be.
func (r *receiverGRPC) export(_ any, ctx context.Context, recv func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	s := r.server
	if !s.budget.take(assumedBytes) {
		s.counts.add(overloaded)
		return nil, r.full
	}
	held := assumedBytes
	defer func() { s.budget.give(held) }()

	m := messages.Get().(*message)
	defer m.free()
	if err := recv(m); err != nil {
		s.counts.add(receiveVerdict(err))
		return nil, err // gRPC has answered the client already
	}
	request := m.bytes()
	if more := len(request) - held; more > 0 {
		if !s.budget.take(more) {
			s.counts.add(overloaded)
			return nil, r.full
		}
		held += more
	}
	_, err := r.sink.TrySubmitRequest(request)
	switch s.counts.judge(err) {
	case accepted:
		return emptyResponse{}, nil
	case bad:
		return nil, status.Error(codes.InvalidArgument, err.Error())
	case overloaded:
		return nil, unavailable(overloadText(err), s.cfg.RetryDelay)
	default:
		return nil, status.Error(codes.Internal, err.Error())
	}
}

// receiveVerdict says why gRPC could not read a message.
func receiveVerdict(err error) verdict {
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return tooLarge
	case codes.DeadlineExceeded, codes.Canceled:
		return timedOut
	}
	return bad
}

// deadline ends requests that take too long, whose client sends its body slowly or
// never: gRPC itself waits for as long as the client likes.
func deadline(d time.Duration) tap.ServerInHandle {
	return func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		ctx, cancel := context.WithTimeout(ctx, d)
		return timed{ctx, cancel}, nil
	}
}

// timed is a context that keeps its cancel function, which nobody needs to call:
// gRPC ends the parent with the request.
type timed struct {
	context.Context
	cancel context.CancelFunc
}

// A message is a request's bytes, and who is to get them back.
type message struct {
	buffer mem.Buffer // nil when empty
}

var messages = sync.Pool{New: func() any { return new(message) }}

func (m *message) bytes() []byte {
	if m.buffer == nil {
		return nil
	}
	return m.buffer.ReadOnlyData()
}

func (m *message) free() {
	if m.buffer != nil {
		m.buffer.Free()
		m.buffer = nil
	}
	messages.Put(m)
}

// emptyResponse is an ExportTraceServiceResponse that says success: no bytes.
type emptyResponse struct{}

// rawCodec hands messages over as the bytes that they are. A request that came
// in one frame is not copied, a larger one is laid out in one piece for the walk.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if _, ok := v.(emptyResponse); !ok {
		return nil, fmt.Errorf("collector: cannot send a %T", v)
	}
	return nil, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("collector: cannot receive a %T", v)
	}
	if data.Len() > 0 {
		m.buffer = data.MaterializeToBuffer(&buffers)
	}
	return nil
}
