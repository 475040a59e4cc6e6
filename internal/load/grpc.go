package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail/otlp"
)

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// grpcSender is one connection that carries OTLP/gRPC. (OTLP specification, "OTLP/gRPC".)
type grpcSender struct {
	conn     *grpc.ClientConn
	header   metadata.MD
	compress compressor // nil: none
}

func (r *run) openGRPC() (sender, error) {
	compress, err := newCompressor(r.cfg.Compression)
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if r.endpoint.tls {
		creds = credentials.NewTLS(r.cfg.TLS)
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithAuthority(r.endpoint.name),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, r.endpoint.network, r.endpoint.address)
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallSendMsgSize(1<<31-1), grpc.StaticMethod()),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		// A receiver that comes back is to be noticed soon.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: r.cfg.ConnectTimeout,
		}),
		grpc.WithWriteBufferSize(64 << 10),
		grpc.WithReadBufferSize(4 << 10), // answers are a few bytes
		// Windows that stay as they are spare the pings that measure how large they should be.
		grpc.WithStaticStreamWindowSize(64 << 10),
		grpc.WithStaticConnWindowSize(1 << 20),
	}
	if compress != nil {
		//lint:ignore SA1019 the message is compressed already, and the registry would be the whole process's
		opts = append(opts, grpc.WithCompressor(announced(r.cfg.Compression)))
	}
	conn, err := grpc.NewClient("passthrough:///"+r.endpoint.address, opts...)
	if err != nil {
		return nil, err
	}
	return &grpcSender{conn: conn, header: metadata.New(r.cfg.Headers), compress: compress}, nil
}

func (g *grpcSender) close() { g.conn.Close() }

func (g *grpcSender) send(ctx context.Context, r *request) (outcome, int) {
	if len(g.header) > 0 {
		ctx = metadata.NewOutgoingContext(ctx, g.header)
	}
	var answer answerBytes
	if g.compress == nil {
		err := g.conn.Invoke(ctx, exportMethod, r, &answer)
		return judgeGRPC(answer, err), len(r.template.body)
	}
	body := r.pack(g.compress)
	defer packed.Put(body) // gRPC has made a copy
	n := len(*body)
	err := g.conn.Invoke(ctx, exportMethod, compressedBytes(*body), &answer)
	return judgeGRPC(answer, err), n
}

// judgeGRPC says what a call's end means. (OTLP specification, "OTLP/gRPC Response", "Failures" and
// "OTLP/gRPC Throttling".)
func judgeGRPC(answer []byte, err error) outcome {
	if err == nil {
		rejected, text, err := otlp.ParseTraceResponse(answer)
		if err != nil {
			return outcome{code: "garbage", text: "cannot read the answer: " + err.Error()}
		}
		return outcome{rejected: uint64(max(rejected, 0)), text: text}
	}
	st := status.Convert(err)
	o := outcome{verdict: refusedForNow, code: codeName(st.Code()), text: st.Message()}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			o.after, o.told = max(info.GetRetryDelay().AsDuration(), 0), true
		}
	}
	switch st.Code() {
	case codes.Aborted, codes.OutOfRange, codes.DataLoss:
	case codes.DeadlineExceeded, codes.Canceled:
		o.verdict, o.code = unanswered, "timeout"
	case codes.Unavailable:
		if !o.told && brokenConnection(o.text) {
			o.verdict, o.code = unanswered, "connection"
		}
	case codes.ResourceExhausted:
		if !o.told {
			o.verdict = refusedForGood
		}
	default:
		o.verdict = refusedForGood
	}
	return o
}

// brokenConnection tells grpc-go's own UNAVAILABLE from a receiver's, which only their texts do.
func brokenConnection(text string) bool {
	for _, own := range []string{"connection error", "error reading from server", "transport", "last connection error", "closing",
		"the connection is draining", "failed to write", "connection reset"} {
		if strings.Contains(text, own) {
			return true
		}
	}
	return false
}

// codeName is a code as the specification spells it.
func codeName(c codes.Code) string {
	names := [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("code %d", c)
}

type (
	compressedBytes []byte // of a request
	answerBytes     []byte // an ExportTraceServiceResponse
)

// codec renders requests straight into the memory that gRPC writes from, and that it gives back to the
// template once it is on the wire.
type codec struct{}

// Name makes the content type the usual one, application/grpc+proto.
func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *request:
		return mem.BufferSlice{mem.NewBuffer(v.render(), &v.template.free)}, nil
	case compressedBytes:
		return mem.BufferSlice{mem.SliceBuffer(v)}, nil
	}
	return nil, fmt.Errorf("load: cannot send a %T", v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	answer, ok := v.(*answerBytes)
	if !ok {
		return fmt.Errorf("load: cannot receive a %T", v)
	}
	if data.Len() > 0 {
		*answer = data.Materialize()
	}
	return nil
}

// announced makes messages that are compressed already be announced as such. What grpc-go takes for the
// compressor copies them.
type announced string

func (a announced) Type() string { return string(a) }

func (announced) Do(w io.Writer, msg []byte) error {
	_, err := w.Write(msg)
	return err
}
