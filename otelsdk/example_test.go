package otelsdk_test

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otelsdk"
	"github.com/ringtail-otel/ringtail/oteltrace"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// The official provider with our batch processor: one line differs.
func ExampleNewBatchSpanProcessor() {
	backend := &ringtailtest.Recorder{} // in a program: one of package export
	processor := otelsdk.NewBatchSpanProcessor(otelsdk.NewSpanExporter(backend), sdktrace.WithMaxQueueSize(10_000))
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor), sdktrace.WithResource(resource.Empty()))

	_, span := provider.Tracer("shop").Start(context.Background(), "GET /cart")
	span.End()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := provider.Shutdown(ctx); err != nil {
		fmt.Println(err) // says how many spans were not delivered
	}
	fmt.Println(backend.Spans()[0].Name)
	fmt.Println(processor.(*otelsdk.BatchSpanProcessor).Stats())
	// Output:
	// GET /cart
	// 1 submitted = 1 exported + 0 dropped + 0 in flight
}

// An exporter of the official SDK behind our provider.
func ExampleNewExporter() {
	backend := tracetest.NewInMemoryExporter()
	collector, err := ringtail.New(otelsdk.NewExporter(backend))
	if err != nil {
		panic(err)
	}
	provider := oteltrace.NewTracerProvider(collector)

	_, span := provider.Tracer("shop").Start(context.Background(), "GET /cart")
	span.End()
	if err := provider.ForceFlush(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(backend.GetSpans()[0].Name)
	_ = provider.Shutdown(context.Background())
	// Output: GET /cart
}

// Tests that use the SDK's recorder, and assert the SDK's types, keep working.
func ExampleWithSpanProcessor() {
	recorder := tracetest.NewSpanRecorder()
	provider := oteltrace.NewTracerProvider(nil, otelsdk.WithSpanProcessor(recorder))

	_, span := provider.Tracer("shop").Start(context.Background(), "GET /cart")
	fmt.Println(span.(sdktrace.ReadOnlySpan).Name())
	span.End()
	fmt.Println(len(recorder.Ended()))
	// Output:
	// GET /cart
	// 1
}

// A sampler and an id generator of the SDK. The generator needs no conversion.
func ExampleWithSampler() {
	var generator sdktrace.IDGenerator // for example that of X-Ray; nil is ignored
	provider := oteltrace.NewTracerProvider(nil,
		otelsdk.WithSampler(sdktrace.NeverSample()),
		oteltrace.WithIDGenerator(generator),
	)
	_, span := provider.Tracer("shop").Start(context.Background(), "GET /cart")
	fmt.Println(span.SpanContext().IsSampled())
	// Output: false
}
