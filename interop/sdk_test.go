package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// sdkTraces is how many traces sendBySDK sends.
const sdkTraces = 100

// sendBySDK makes spans by the official SDK as a program would, exports them by its
// exporter to this address, and returns them as a backend has to receive them.
func sendBySDK(t *testing.T, over, compression, address string) spans {
	t.Helper()
	return startSDK(t, over, compression, address, sdkTraces, nil).sent(t)
}

// sdkSending is an SDK that sends.
type sdkSending struct {
	provider *sdktrace.TracerProvider
	recorder *tracetest.SpanRecorder
	traces   int
}

// startSDK makes so many traces, which the SDK exports meanwhile. It calls refused,
// unless that is nil, when a request is turned away for now.
func startSDK(t *testing.T, over, compression, address string, traces int, refused func()) *sdkSending {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	limits := sdktrace.NewSpanLimits()
	limits.EventCountLimit, limits.LinkCountLimit = 3, 2 // so that some are dropped, and counted
	limits.AttributeCountLimit, limits.AttributePerEventCountLimit = len(everyType), len(everyType)-1
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(recorder),
		// With blocking, since without it the SDK may drop, and does not say how many.
		sdktrace.WithBatcher(newSDKExporter(t, over, compression, address, refused), sdktrace.WithMaxExportBatchSize(100),
			sdktrace.WithBatchTimeout(100*time.Millisecond), sdktrace.WithExportTimeout(patience), sdktrace.WithBlocking()),
		sdktrace.WithResource(resource.NewWithAttributes("https://opentelemetry.io/schemas/1.40.0",
			attribute.String("service.name", "interop"), attribute.String("test", t.Name()))),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
	)
	for i := range traces {
		oneTrace(t, provider, i)
	}
	return &sdkSending{provider, recorder, traces}
}

// sent has the SDK export what is left, and returns all spans as a backend has to
// receive them.
func (s *sdkSending) sent(t *testing.T) spans {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.provider.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	want := expectSDK(t, s.recorder.Ended())
	if want.len() != 4*s.traces {
		t.Fatalf("the SDK ended %d spans, want %d", want.len(), 4*s.traces)
	}
	return want
}

func newSDKExporter(t *testing.T, over, compression, address string, refused func()) sdktrace.SpanExporter {
	t.Helper()
	var exporter sdktrace.SpanExporter
	var err error
	switch over {
	case overGRPC:
		opts := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithInsecure(), otlptracegrpc.WithTimeout(patience)}
		if compression == "gzip" {
			opts = append(opts, otlptracegrpc.WithCompressor("gzip"))
		}
		if refused != nil {
			opts = append(opts, otlptracegrpc.WithDialOption(grpc.WithUnaryInterceptor(
				func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
					err := invoke(ctx, method, req, reply, conn, opts...)
					if status.Code(err) == grpccodes.Unavailable {
						refused()
					}
					return err
				})))
		}
		exporter, err = otlptracegrpc.New(t.Context(), opts...)
	case overHTTP:
		opts := []otlptracehttp.Option{otlptracehttp.WithEndpoint(address), otlptracehttp.WithInsecure(), otlptracehttp.WithTimeout(patience)}
		if compression == "gzip" {
			opts = append(opts, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		}
		if refused != nil {
			opts = append(opts, otlptracehttp.WithHTTPClient(&http.Client{Transport: watchRefusals(refused)}))
		}
		exporter, err = otlptracehttp.New(t.Context(), opts...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return exporter
}

// watchRefusals is an http.RoundTripper that calls itself for each 503.
type watchRefusals func()

func (refused watchRefusals) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusServiceUnavailable {
		refused()
	}
	return resp, err
}

// oneTrace makes a trace of four spans.
func oneTrace(t *testing.T, provider trace.TracerProvider, i int) {
	web := provider.Tracer("interop/web", trace.WithInstrumentationVersion("1.2.3"), trace.WithSchemaURL("https://opentelemetry.io/schemas/1.39.0"),
		trace.WithInstrumentationAttributes(attribute.Bool("web", true)))
	store := provider.Tracer("interop/store")
	state, err := trace.ParseTraceState("vendor=a:b")
	if err != nil {
		t.Fatal(err)
	}
	caller := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 14: byte(i >> 8), 15: byte(i)}, SpanID: trace.SpanID{7: 1},
		TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})
	ctx, root := web.Start(trace.ContextWithSpanContext(context.Background(), caller), fmt.Sprintf("POST /order/%d", i),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(everyType...), trace.WithLinks(
			trace.Link{SpanContext: caller, Attributes: everyType[:5]}, trace.Link{SpanContext: caller}, trace.Link{SpanContext: caller}))
	root.SetAttributes(attribute.Int("too.many", 1))
	for n := range 5 {
		root.AddEvent(fmt.Sprint("event ", n), trace.WithAttributes(everyType...))
	}
	_, query := store.Start(ctx, "SELECT Grüße", trace.WithSpanKind(trace.SpanKindClient))
	query.RecordError(errors.New("it broke"))
	query.SetStatus(codes.Error, "it broke: ✗")
	query.End()
	_, send := store.Start(ctx, "orders send", trace.WithSpanKind(trace.SpanKindProducer))
	send.SetStatus(codes.Ok, "")
	send.End()
	_, empty := store.Start(ctx, "")
	empty.End()
	root.End()
}

// TestSDKToCollector has nothing of ours in it but the comparison: it shows that what
// the other tests expect of the SDK is what the Collector gets from it.
func TestSDKToCollector(t *testing.T) {
	skipIfShort(t)
	for _, over := range []string{overGRPC, overHTTP} {
		r := route{"Go SDK", over, "gzip", "Collector"}
		r.run(t, func(t *testing.T) string {
			backend := startCollector(t, "")
			sent := sendBySDK(t, over, r.compression, backend.address(over))
			if err := compare(sent, backend.spans(t), nil); err != nil {
				t.Fatal(err)
			}
			return exact(sent.len()) + " (without ringtail)"
		})
	}
}
