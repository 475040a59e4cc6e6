// Package otlpgrpc exports spans to an OpenTelemetry backend by OTLP over gRPC.
//
//	exporter, err := otlpgrpc.New("http://localhost:4317")
//	collector, err := ringtail.New(exporter)
//
// A batch is sent as the bytes that it is: no object is built for a span, and
// grpc-go never sees a protobuf message. Retries, partial success, splitting and
// what happens at the end are those of the OTLP specification, and described at
// [Exporter].
package otlpgrpc

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
	"github.com/ringtail-otel/ringtail/otlp"
)

const method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// Exporter sends batches to one OTLP/gRPC endpoint. Its methods may be called from
// several goroutines at once.
//
// Export makes attempts, each within WithTimeout, until the receiver has taken the
// spans, or refused them, or WithRetry or the context allows no more. Tried again is
// after CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE (which a
// backend that cannot be reached is, too) and DATA_LOSS, and after
// RESOURCE_EXHAUSTED if it comes with RetryInfo, whose delay is always waited for.
// Any other code means that the spans are lost, with [ringtail.ReasonRejected].
// (OTLP specification, "OTLP/gRPC Response", "Failures".)
//
// A partial success is never tried again: the spans that were rejected, at most
// those that were sent, are lost with ReasonRejected, the others are delivered. A
// warning without rejected spans, and an answer that cannot be read, count as
// success; both are logged.
//
// A batch larger than WithMaxRequestBytes goes in parts, each with its attempts;
// what is delivered is not sent again, and the error says for each part that was
// lost how many spans and why. A span that is larger alone goes alone.
//
// Shutdown ends the pauses between attempts, lets the attempts under way end, and
// closes the connection; when its context ends first they are broken off. An
// Export after Shutdown fails with [ringtail.ReasonClosed].
type Exporter struct {
	client *otlpclient.Client
	conn   *grpc.ClientConn
	target string // as grpc-go has it
	header metadata.MD
}

var (
	_ ringtail.Exporter  = (*Exporter)(nil)
	_ ringtail.Describer = (*Exporter)(nil)
)

// New returns an exporter to an endpoint, in one of the forms
//
//	host:port            with TLS, unless WithInsecure
//	https://host:port    with TLS
//	http://host:port     without
//	unix:path            without TLS, unless one of its options is given
//
// Without a port it is 4317. The backend need not be up: connections are made, and
// made again, when there is something to send. Errors name the option and the value.
func New(endpoint string, opts ...Option) (*Exporter, error) {
	cfg := config{Config: otlpclient.NewConfig()}
	for _, o := range opts {
		o(&cfg)
	}
	e, err := newExporter(endpoint, &cfg)
	if err != nil {
		return nil, fmt.Errorf("otlpgrpc: %w", err)
	}
	return e, nil
}

func newExporter(endpoint string, cfg *config) (*Exporter, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	to, err := parseEndpoint(endpoint, cfg)
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if to.tls {
		tlsConfig, err := cfg.TLS.Build()
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(tlsConfig)
	}
	compressor, err := otlpclient.NewCompressor(cfg.Compression)
	if err != nil {
		return nil, fmt.Errorf("WithCompressor: %w", err)
	}
	e := &Exporter{target: to.target, header: metadata.New(cfg.Headers)}
	transport := otlpclient.Transport{To: endpoint, Send: e.send, Close: e.close}
	if compressor != nil {
		transport.Encode = func(dst []byte, b *ringtail.Batch) ([]byte, error) {
			return compressor.Append(dst, b.Parts()...)
		}
	}
	e.conn, err = grpc.NewClient(to.target, append(dialOptions(cfg, creds, compressor), cfg.dial...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot use endpoint %q: %w", endpoint, err)
	}
	e.client = otlpclient.NewClient(cfg.Config, transport)
	return e, nil
}

func dialOptions(cfg *config, creds credentials.TransportCredentials, compressor *otlpclient.Compressor) []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent(cfg.FullUserAgent()),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(codec{}),
			grpc.MaxCallRecvMsgSize(otlpclient.MaxResponse),
			grpc.MaxCallSendMsgSize(1<<31-1), // the receiver says what is too large
		),
		grpc.WithDisableRetry(),         // ours retries, and this one would keep each message for it
		grpc.WithDisableServiceConfig(), // no look-up of TXT records
		// A fast failure is answered by our own pauses; the connection's must not be
		// much longer, or a backend that is back is not noticed.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
		// Receivers forbid pings more often than every five minutes by default. What
		// counts is Timeout: it is the TCP_USER_TIMEOUT of the connection, after which
		// the kernel gives up one whose other end has vanished, instead of in a
		// quarter of an hour.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 6 * time.Minute, Timeout: 20 * time.Second}),
		// A message of a MiB in few system calls.
		grpc.WithWriteBufferSize(writeBuffer),
		// Answers are a few bytes: windows that stay as they are spare the pings that
		// grpc-go measures the bandwidth with at every answer.
		grpc.WithStaticStreamWindowSize(64 << 10),
		grpc.WithStaticConnWindowSize(64 << 10),
	}
	if compressor != nil {
		opts = append(opts, compression(compressor)...)
	}
	return opts
}

const writeBuffer = 1 << 20

// Export sends a batch, without copying it. If grpc-go may go on reading it after the call,
// because the receiver answered early, or the time was over, or the connection was lost, the
// batch is kept ([ringtail.Batch.Keep]).
func (e *Exporter) Export(ctx context.Context, b *ringtail.Batch) error {
	return e.client.Export(ctx, b)
}

// Shutdown ends the exporter. Later calls wait for the first, or for their own ctx, and
// return its error.
func (e *Exporter) Shutdown(ctx context.Context) error { return e.client.Shutdown(ctx) }

// Describe returns the exporter's type and the address that it sends to.
func (e *Exporter) Describe() ringtail.ExporterInfo {
	info := ringtail.ExporterInfo{Type: "otlp_grpc_span_exporter"}
	if path, ok := strings.CutPrefix(e.target, "unix:"); ok {
		info.ServerAddress = path
		return info
	}
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(e.target, "dns:///"))
	info.ServerAddress = host
	info.ServerPort, _ = strconv.Atoi(port)
	return info
}

func (e *Exporter) close() error {
	_ = e.conn.Close() // fails only when it is closed already
	return nil
}

// send makes one attempt.
func (e *Exporter) send(ctx context.Context, msg [][]byte) (otlpclient.Answer, error) {
	if len(e.header) > 0 {
		ctx = metadata.NewOutgoingContext(ctx, e.header)
	}
	var resp response
	req := newRequest(msg)
	err := e.conn.Invoke(ctx, method, req, &resp)
	a := otlpclient.Answer{Kept: !req.end()}
	ringtail.ReportStatus(ctx, attribute.Int("rpc.grpc.status_code", int(status.Code(err))))
	if err != nil {
		return a, classify(err)
	}
	a.Rejected, a.Message, a.Err = otlp.ParseTraceResponse(resp)
	return a, nil
}
