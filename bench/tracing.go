package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// One API, and different providers behind it: what the rows tracer/… and service/…
// compare.

// tracing is a provider with what is behind it.
type tracing struct {
	trace.TracerProvider
	room     int           // how many spans wait at most until some are dropped
	nowhere  bool          // its spans go nowhere, and none may arrive
	arrived  func() uint64 // spans that the exporter has taken
	flush    func(context.Context) error
	shutdown func(context.Context) error
	ledger   func() ringtail.Stats // nil: it has none
}

// roomBits is the room of both, unless a row says that it is the default: a queue of
// 64 Ki spans, and rings of as many spans of 256 bytes, which is more than the
// spans of these rows have.
const roomBits = 16

// defaultBits are those of a collector without WithRingBits.
const defaultBits = 13

// unbounded is the room of a provider whose spans wait as they end.
const unbounded = math.MaxInt / 4

// oursTracing is our provider, with rings of that many spans.
func oursTracing(exporter ringtail.Exporter, bits int, of []oteltrace.Option, opts ...ringtail.Option) (*tracing, error) {
	tally := &oursTally{Exporter: exporter}
	c, err := ringtail.New(tally, append(opts, ringtail.WithRingBits(bits))...)
	if err != nil {
		return nil, err
	}
	p := oteltrace.NewTracerProvider(c, of...)
	return &tracing{
		TracerProvider: p,
		room:           1 << bits,
		arrived:        tally.spans.Load,
		flush:          p.ForceFlush,
		shutdown:       p.Shutdown,
		ledger:         c.Stats,
	}, nil
}

// sampling are the options of a provider with this sampler.
func sampling(s oteltrace.Sampler) []oteltrace.Option {
	return []oteltrace.Option{oteltrace.WithSampler(s)}
}

// oursTally counts what its exporter took.
type oursTally struct {
	ringtail.Exporter
	spans atomic.Uint64
}

func (t *oursTally) Export(ctx context.Context, b *ringtail.Batch) error {
	err := t.Exporter.Export(ctx, b)
	if err == nil {
		t.spans.Add(uint64(b.Len()))
	}
	return err
}

// newProcessor makes a batch processor: the SDK's, or otelsdk's.
type newProcessor func(sdktrace.SpanExporter, ...sdktrace.BatchSpanProcessorOption) sdktrace.SpanProcessor

// sdkTracing is the official provider. Its room is as good as known: that of
// WithMaxQueueSize, or unbounded with WithBlocking.
func sdkTracing(exporter sdktrace.SpanExporter, room int, sampler sdktrace.Sampler, processor newProcessor, opts ...sdktrace.BatchSpanProcessorOption) *tracing {
	tally := &sdkTally{SpanExporter: exporter}
	p := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(processor(tally, opts...)))
	return &tracing{
		TracerProvider: p,
		room:           room,
		arrived:        tally.spans.Load,
		flush:          p.ForceFlush,
		shutdown:       p.Shutdown,
	}
}

// sdkTally counts what its exporter took.
type sdkTally struct {
	sdktrace.SpanExporter
	spans atomic.Uint64
}

func (t *sdkTally) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := t.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		t.spans.Add(uint64(len(spans)))
	}
	return err
}

// noTracing is the API's own provider, which does nothing.
func noTracing() *tracing {
	nothing := func(context.Context) error { return nil }
	return &tracing{
		TracerProvider: noop.NewTracerProvider(),
		room:           unbounded,
		nowhere:        true,
		arrived:        func() uint64 { return 0 },
		flush:          nothing,
		shutdown:       nothing,
	}
}

// life is what instrumented code does with one span.
type life func(context.Context, trace.Tracer)

func bare(ctx context.Context, tracer trace.Tracer) {
	_, span := tracer.Start(ctx, spanName)
	span.End()
}

func five(ctx context.Context, tracer trace.Tracer) {
	_, span := tracer.Start(ctx, spanName)
	span.SetAttributes(attributes()...)
	span.End()
}

// record lets so many spans live, as fast as one goroutine can, with a pause as soon
// as the room is three quarters full, until it is half empty, and shuts down.
func (t *tracing) record(spans int, live life) error {
	const burst = burstBlocks * blockSpans
	ctx := context.Background()
	tracer := t.Tracer("bench")
	for recorded := 0; recorded < spans; {
		if recorded-int(t.arrived()) > t.room/4*3 {
			if err := t.pause(ctx, recorded); err != nil {
				return err
			}
		}
		n := min(burst, spans-recorded)
		for range n {
			live(ctx, tracer)
		}
		recorded += n
	}
	return t.shutdown(ctx)
}

// pause returns when no more than half of the room is used. It sleeps, which costs
// hardly any processor time; a flush has to find out what there is. What nothing
// wakes the consumer for, a batch that waits for more and rings half full, is flushed.
func (t *tracing) pause(ctx context.Context, recorded int) error {
	for arrived := t.arrived(); ; {
		time.Sleep(time.Millisecond)
		now := t.arrived()
		if recorded-int(now) <= t.room/2 {
			return nil
		}
		if now == arrived {
			return t.flush(ctx)
		}
		arrived = now
	}
}

// inProgram gives contenders what a program has on its heap besides: the garbage
// collector runs the more rarely, the larger a heap is, and the memory of rings must not
// look like speed. It has no pointers, so that the collector has nothing to do with it.
func inProgram(contenders ...Contender) []Contender {
	for i, c := range contenders {
		contenders[i].Run = func(j *Job) (Metrics, error) {
			heap := make([]byte, 64*mib)
			defer runtime.KeepAlive(heap)
			return c.Run(j)
		}
	}
	return contenders
}

// complete fails unless all spans have arrived.
func (t *tracing) complete(spans int) error {
	if got := t.arrived(); got != uint64(spans) {
		return fmt.Errorf("%d spans were recorded, and %d arrived", spans, got)
	}
	return nil
}

// oursDefault is our provider over OTLP/gRPC as it comes.
func oursDefault(to *sink) (*tracing, error) {
	e, err := ringtailGRPC(to)
	if err != nil {
		return nil, err
	}
	return oursTracing(e, defaultBits, sampling(oteltrace.AlwaysSample()))
}

// sdkDefault is the official provider over OTLP/gRPC as it comes, but for the options.
func sdkDefault(to *sink, opts ...sdktrace.BatchSpanProcessorOption) (*tracing, error) {
	e, err := sdkGRPC(to)
	if err != nil {
		return nil, err
	}
	return sdkTracing(e, unbounded, sdktrace.AlwaysSample(), sdktrace.NewBatchSpanProcessor, opts...), nil
}
