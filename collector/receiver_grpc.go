package collector

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ringtail-otel/ringtail/internal/unary"
)

const (
	traceService = "opentelemetry.proto.collector.trace.v1.TraceService"
	traceExport  = "/" + traceService + "/Export"

	// maxCalls bounds the requests under way on one connection.
	maxCalls = 256

	// maxHeader bounds a request's header, of both protocols.
	maxHeader = unary.MaxHeader

	// A gRPC connection without a request is closed after idleGRPC, politely: its client
	// opens another when it needs one. A peer from which nothing has come for pingAfter
	// is asked for a sign of life, and has pingPatience for it.
	idleGRPC     = 10 * time.Minute
	pingAfter    = time.Minute
	pingPatience = 20 * time.Second
)

// receiverGRPC is OTLP's TraceService. (OTLP specification, "OTLP/gRPC".)
type receiverGRPC struct {
	server *Server
	sink   Sink
	full   *unary.Status // for when the budget is used up
	late   *unary.Status // for slow clients
	slow   *unary.Status // for when the sink is slow
}

func newGRPCServer(s *Server, sink Sink, secure *tls.Config) *unary.Server {
	r := &receiverGRPC{
		server: s, sink: sink, full: unavailable(overBudget, s.cfg.RetryDelay),
		slow: unavailable(tooLate, s.cfg.RetryDelay),
		late: newStatus(codes.DeadlineExceeded, "the request did not come within --body-timeout"),
	}
	if secure != nil {
		secure = secure.Clone()
		secure.NextProtos = []string{"h2"}
	}
	return unary.New(unary.Config{
		Handler: r, TLS: secure, MaxCalls: maxCalls,
		HeaderTimeout: s.cfg.HeaderTimeout, BodyTimeout: s.cfg.BodyTimeout,
		Unanswered: r.unanswered,
		Idle:       idleGRPC, PingAfter: pingAfter, Patience: pingPatience,
		Misdirected: "ringtail receives OTLP/gRPC here, which is HTTP/2. OTLP/HTTP has a port of its own, 4318 by default.",
	})
}

// Begin turns requests away before anything of them is read.
func (r *receiverGRPC) Begin(call *unary.Call, header unary.Header) (unary.Body, *unary.Status) {
	if header.Path != traceExport {
		return nil, unserved(header.Path)
	}
	s := r.server
	if !s.budget.take(standingBytes, 0) {
		s.counts.add(overloaded)
		return nil, r.full
	}
	m := messages.Get().(*message)
	if m.done == nil {
		m.done = m.answer
	}
	m.receiver, m.call, m.encoding = r, call, header.Encoding
	m.held = standingBytes
	return m, nil
}

// unserved says it as gRPC's own servers do.
func unserved(path string) *unary.Status {
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if service == traceService {
		return newStatus(codes.Unimplemented, "unknown method "+method+" for service "+service)
	}
	return newStatus(codes.Unimplemented, "unknown service "+service+": ringtail receives traces, "+traceExport)
}

// unread counts a request that was not read, and says what its client is told.
func (r *receiverGRPC) unread(err error) *unary.Status {
	v, _, code := readVerdict(err)
	r.server.counts.add(v)
	if v == overloaded {
		return r.full
	}
	return newStatus(code, err.Error())
}

// kept says what the sink's answer means, and counts it. It does so before the client knows.
func (r *receiverGRPC) kept(err error) (verdict, *unary.Status) {
	s := r.server
	v := s.counts.judge(err)
	switch v {
	case accepted:
		return v, nil
	case bad:
		return v, newStatus(codes.InvalidArgument, err.Error())
	case overloaded:
		return v, unavailable(overloadText(err), s.cfg.RetryDelay)
	case tooLarge:
		return v, newStatus(codes.ResourceExhausted, err.Error())
	default:
		return v, newStatus(codes.Internal, err.Error())
	}
}

// unanswered is what a client is told whose request the sink has had for --body-timeout.
func (r *receiverGRPC) unanswered() *unary.Status {
	r.server.counts.add(overloaded)
	return r.slow
}

// broken is the answer to a request that met a bug of ours. It costs that request, and not the process,
// as net/http has it too.
func (r *receiverGRPC) broken(panicked any) *unary.Status {
	r.server.counts.add(failed)
	slog.Error("ringtail: a request could not be taken: this is a bug, please report it", slog.Any("panic", panicked), slog.String("stack", string(debug.Stack())))
	return newStatus(codes.Internal, "ringtail could not take the request: this is a bug in it")
}

func newStatus(code codes.Code, text string) *unary.Status {
	return unary.NewStatus(uint32(code), text, nil)
}

// unavailable is how gRPC says it: UNAVAILABLE, which every client retries, with
// RetryInfo, which a good one obeys. (OTLP specification, "OTLP/gRPC Throttling".)
func unavailable(text string, delay time.Duration) *unary.Status {
	s := &rpcstatus.Status{Code: int32(codes.Unavailable), Message: text}
	info, err := anypb.New(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	if err != nil {
		panic(fmt.Sprintf("collector: %v", err)) // there is nothing in it that can fail
	}
	s.Details = append(s.Details, info)
	details, err := proto.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("collector: %v", err))
	}
	return unary.NewStatus(uint32(s.Code), text, details)
}
