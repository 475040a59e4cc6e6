package sink

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ringtail-otel/ringtail/otlp"
)

// maxRequest is the largest request that is read, decompressed: what the OTLP specification allows, and
// a little for those who test what happens beyond it.
const maxRequest = 80 << 20

func (s *Sink) newGRPC() *grpc.Server {
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.WaitForHandlers(true), // what they count belongs into the last report
		experimental.BufferPool(&buffers),
		grpc.NumStreamWorkers(uint32(4*runtime.GOMAXPROCS(0))), // a stack grown once serves many requests
		grpc.StaticStreamWindowSize(1<<20),
		grpc.StaticConnWindowSize(4<<20),
		grpc.ReadBufferSize(32<<10),
		grpc.WriteBufferSize(4<<10), // answers are a few bytes
	)
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: s.export}},
	}, s)
	return g
}

func (s *Sink) export(_ any, ctx context.Context, recv func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	m := messages.Get().(*message)
	defer m.free()
	if err := recv(m); err != nil {
		s.count(func(c *Counts) { c.Malformed++ })
		return nil, err
	}
	r := s.take(ctx, m.bytes())
	switch {
	case r.silent:
		return nil, status.FromContextError(ctx.Err()).Err()
	case r.garbage:
		return answer(garbage), nil
	case r.code != codes.OK:
		return nil, r.status()
	case r.rejected > 0:
		return answer(otlp.AppendTraceResponse(nil, int64(r.rejected), r.text)), nil
	}
	return answer(nil), nil
}

// garbage is no message of any kind.
const garbage = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

func (r *reply) status() error {
	st := status.New(r.code, r.text)
	if r.retry > 0 {
		if with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(r.retry)}); err == nil {
			st = with
		}
	}
	return st.Err()
}

// A message is a request's bytes in one piece.
type message struct{ buffer mem.Buffer }

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

type answer []byte // an ExportTraceServiceResponse

// codec hands messages over as the bytes that they are.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	a, ok := v.(answer)
	if !ok {
		return nil, fmt.Errorf("sink: cannot send a %T", v)
	}
	if len(a) == 0 {
		return nil, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(a)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("sink: cannot receive a %T", v)
	}
	if data.Len() > 0 {
		m.buffer = data.MaterializeToBuffer(&buffers)
	}
	return nil
}
