package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

const (
	traceService = "opentelemetry.proto.collector.trace.v1.TraceService"

	// maxStreams bounds the requests under way on one connection, and with that
	// the goroutines that a single client can start.
	maxStreams = 256

	// maxHeader bounds a request's header, of both protocols.
	maxHeader = 64 << 10

	// A gRPC connection without a request is closed after idleGRPC, politely: its client
	// opens another when it needs one. A peer from which nothing has come for pingAfter
	// is asked for a sign of life, and has pingPatience for it.
	idleGRPC     = 10 * time.Minute
	pingAfter    = time.Minute
	pingPatience = 20 * time.Second
)

// receiverGRPC is OTLP's TraceService. (OTLP specification, "OTLP/gRPC".)
type receiverGRPC struct {
	server  *Server
	sink    Sink
	sweeper *sweeper
	full    error // for when the budget is used up
}

func newGRPCServer(s *Server, sink Sink, secure *tls.Config) *grpc.Server {
	r := &receiverGRPC{server: s, sink: sink, sweeper: s.sweeper, full: unavailable(overBudget, s.cfg.RetryDelay)}
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(emptyCodec{}),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(s.cfg.HeaderTimeout),
		experimental.BufferPool(&buffers),
		// A goroutine's stack grows with the request's depth of calls, anew for each
		// request; workers keep theirs.
		grpc.NumStreamWorkers(uint32(4 * runtime.GOMAXPROCS(0))),
		// Windows of a fixed size save the pings that measure how large they should be.
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(4 << 20),
		grpc.ReadBufferSize(64 << 10),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleGRPC, Time: pingAfter, Timeout: pingPatience}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.InTapHandle(r.admit),
	}
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	options = append(options, grpc.Creds(watchedCredentials{creds, &s.counts.tinyFrames}))
	g := grpc.NewServer(options...)
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: traceService,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: r.export}},
	}, r)
	return g
}

// admit turns requests away before gRPC has so much as a goroutine for them.
func (r *receiverGRPC) admit(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if !r.server.budget.fits(standingBytes) {
		r.server.counts.add(overloaded)
		return nil, r.full
	}
	return ctx, nil
}

// export answers one request. A bug of ours costs that request, and not the process, as
// net/http has it too.
func (r *receiverGRPC) export(_ any, ctx context.Context, _ func(any) error, _ grpc.UnaryServerInterceptor) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.server.counts.add(failed)
			slog.Error("ringtail: a request could not be taken: this is a bug, please report it", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			answer, err = nil, status.Error(codes.Internal, "ringtail could not take the request: this is a bug in it")
		}
	}()
	return r.take(ctx)
}

// take reads a request and hands it on. It reads from the stream itself: gRPC's way would
// read and unpack all of it, before it says how long it is.
func (r *receiverGRPC) take(ctx context.Context) (any, error) {
	s := r.server
	stream, ok := grpc.ServerTransportStreamFromContext(ctx).(transportStream)
	if !ok {
		s.counts.add(failed)
		return nil, status.Error(codes.Internal, "ringtail was built with a version of grpc-go that it cannot read from")
	}
	m := messages.Get().(*message)
	m.budget, m.max = s.budget, s.cfg.MaxRequestBytes
	defer m.free()
	if err := m.hold(standingBytes); err != nil {
		s.counts.add(overloaded)
		return nil, r.full
	}
	r.sweeper.watch(&m.watched, stream)
	err := m.read(stream)
	late := r.sweeper.came(&m.watched)
	if err != nil {
		return nil, r.unread(err, late)
	}
	waiting := patience(ctx, s.cfg.BodyTimeout)
	defer waiting.end()
	_, err = r.sink.Append(waiting, m.pieces())
	switch s.counts.judge(err) {
	case accepted:
		return emptyResponse{}, nil
	case bad:
		return nil, status.Error(codes.InvalidArgument, err.Error())
	case overloaded:
		return nil, unavailable(overloadText(err), s.cfg.RetryDelay)
	case tooLarge:
		return nil, status.Error(codes.ResourceExhausted, err.Error())
	default:
		return nil, status.Error(codes.Internal, err.Error())
	}
}

// unread is the answer to a request that was not read.
func (r *receiverGRPC) unread(err error, late bool) error {
	if late {
		r.server.counts.add(timedOut)
		return errLate.Err() // which the client has already
	}
	switch c := status.Code(err); c {
	case codes.Canceled, codes.DeadlineExceeded: // by the client
		r.server.counts.add(timedOut)
		return err
	}
	v, _, code := readVerdict(err)
	r.server.counts.add(v)
	switch {
	case v == overloaded:
		return r.full
	case errors.Is(err, errEncoding):
		code = codes.Unimplemented // as gRPC says it
	}
	return status.Error(code, err.Error())
}

// emptyResponse is an ExportTraceServiceResponse that says success: no bytes.
type emptyResponse struct{}

// emptyCodec knows the one message that is sent. What is received does not come by here.
type emptyCodec struct{}

func (emptyCodec) Name() string { return "proto" }

func (emptyCodec) Marshal(v any) (mem.BufferSlice, error) {
	if _, ok := v.(emptyResponse); !ok {
		return nil, fmt.Errorf("collector: cannot send a %T", v)
	}
	return nil, nil
}

func (emptyCodec) Unmarshal(mem.BufferSlice, any) error {
	return errors.New("collector: requests are not received like this")
}
