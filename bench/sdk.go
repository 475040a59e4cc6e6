package main

import (
	"context"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The official Go SDK, as the rows use it.

// sdkCounter is counter for the official SDK.
type sdkCounter struct{ spans atomic.Uint64 }

func (c *sdkCounter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	c.spans.Add(uint64(len(spans)))
	return nil
}

func (c *sdkCounter) Shutdown(context.Context) error { return nil }

func sdkTracer(p sdktrace.SpanProcessor) (*sdktrace.TracerProvider, trace.Tracer) {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	return provider, provider.Tracer("bench")
}

// sdkRecord records one span as instrumented code does.
func sdkRecord(ctx context.Context, tracer trace.Tracer, attrs bool) {
	_, span := tracer.Start(ctx, spanName, trace.WithSpanKind(trace.SpanKindServer))
	if attrs {
		span.SetAttributes(attributes()...)
	}
	span.End()
}

// sdkEnded returns a span that has ended, as a span processor gets it.
func sdkEnded(attrs bool) sdktrace.ReadOnlySpan {
	var c catcher
	provider, tracer := sdkTracer(&c)
	sdkRecord(context.Background(), tracer, attrs)
	_ = provider.Shutdown(context.Background()) // a catcher's cannot fail
	return c.span
}

type catcher struct{ span sdktrace.ReadOnlySpan }

func (c *catcher) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (c *catcher) OnEnd(s sdktrace.ReadOnlySpan)                   { c.span = s }
func (c *catcher) ForceFlush(context.Context) error                { return nil }
func (c *catcher) Shutdown(context.Context) error                  { return nil }
