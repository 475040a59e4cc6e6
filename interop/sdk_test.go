package interop

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// sendBySDK makes spans by the official SDK as a program would, exports them by its
// exporter to this address, and returns them as a backend has to receive them.
func sendBySDK(t *testing.T, over, compression, address string) spans {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var exporter sdktrace.SpanExporter
	var err error
	switch over {
	case overGRPC:
		opts := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithInsecure()}
		if compression == "gzip" {
			opts = append(opts, otlptracegrpc.WithCompressor("gzip"))
		}
		exporter, err = otlptracegrpc.New(ctx, opts...)
	case overHTTP:
		opts := []otlptracehttp.Option{otlptracehttp.WithEndpoint(address), otlptracehttp.WithInsecure()}
		if compression == "gzip" {
			opts = append(opts, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		}
		exporter, err = otlptracehttp.New(ctx, opts...)
	}
	if err != nil {
		t.Fatal(err)
	}
	recorder := tracetest.NewSpanRecorder()
	limits := sdktrace.NewSpanLimits()
	limits.EventCountLimit, limits.LinkCountLimit = 3, 2 // so that some are dropped, and counted
	limits.AttributeCountLimit, limits.AttributePerEventCountLimit = len(everyType), len(everyType)-1
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(recorder),
		// With blocking, since without it the SDK may drop, and does not say how many.
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxExportBatchSize(100), sdktrace.WithBlocking()),
		sdktrace.WithResource(resource.NewWithAttributes("https://opentelemetry.io/schemas/1.40.0",
			attribute.String("service.name", "interop"), attribute.String("test", t.Name()))),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
	)
	const traces = 100
	for i := range traces {
		oneTrace(t, provider, i)
	}
	if err := provider.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	want := expectSDK(t, recorder.Ended())
	if want.len() != 4*traces {
		t.Fatalf("the SDK ended %d spans, want %d", want.len(), 4*traces)
	}
	return want
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
