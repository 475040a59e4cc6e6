package otelsdk

import (
	"context"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// WithSpanProcessor adds a processor of the SDK to a provider of package oteltrace,
// which shuts it down. Spans then are [sdktrace.ReadWriteSpan]s, also those that tracers
// hand out, and are not pooled. OnEnd gets a snapshot that does not change and
// may be kept. Nil is ignored.
//
// Spans tell the resource that the provider was given, by [WithResource] or
// [oteltrace.WithResource], or else what [ringtail.DetectResource] finds.
func WithSpanProcessor(p sdktrace.SpanProcessor) oteltrace.Option {
	if p == nil {
		return oteltrace.WithSpanProcessor(nil)
	}
	r := &resources{}
	return both(
		oteltrace.WithSpanType(r.newLiveSpan),
		oteltrace.WithSpanProcessor(&processor{p, r}),
	)
}

// WithReadableSpans makes the provider's spans [sdktrace.ReadWriteSpan]s, as
// [WithSpanProcessor] does, without a processor: for code that asserts it.
func WithReadableSpans() oteltrace.Option {
	r := &resources{}
	return oteltrace.WithSpanType(r.newLiveSpan)
}

// WithBatcher is WithSpanProcessor with the processor of [NewBatchSpanProcessor].
// Faster, for an exporter of the SDK, is a collector with [NewExporter]: its
// spans are pooled.
func WithBatcher(e sdktrace.SpanExporter, options ...sdktrace.BatchSpanProcessorOption) oteltrace.Option {
	return WithSpanProcessor(NewBatchSpanProcessor(e, options...))
}

// WithSyncer is WithSpanProcessor with the SDK's simple processor, which exports every
// span by itself as it ends. It is for tests.
func WithSyncer(e sdktrace.SpanExporter) oteltrace.Option {
	return WithSpanProcessor(sdktrace.NewSimpleSpanProcessor(e))
}

// WithSampler sets a sampler of the SDK. Nil is ignored.
func WithSampler(s sdktrace.Sampler) oteltrace.Option {
	if s == nil {
		return oteltrace.WithSampler(nil)
	}
	return oteltrace.WithSampler(NewSampler(s))
}

// WithResource sets the resource of the provider's spans. Nil is ignored.
func WithResource(r *resource.Resource) oteltrace.Option {
	if r == nil {
		return oteltrace.WithResource(nil)
	}
	return oteltrace.WithResource(NewResource(r))
}

// NewResource returns the SDK's resource as one of ours, for [ringtail.WithResource].
func NewResource(r *resource.Resource) *ringtail.Resource {
	return &ringtail.Resource{SchemaURL: r.SchemaURL(), Attributes: r.Attributes()}
}

// both applies two options. (An option's parameter is not exported; its name is not
// needed.)
func both[O ~func(C), C any](a, b O) O {
	return func(c C) {
		a(c)
		b(c)
	}
}

// processor is a processor of the SDK as one of package oteltrace.
type processor struct {
	sdk       sdktrace.SpanProcessor
	resources *resources
}

func (p *processor) OnStart(parent context.Context, s *oteltrace.ReadWriteSpan) {
	p.sdk.OnStart(parent, p.live(s))
}

func (p *processor) OnEnd(s *oteltrace.ReadWriteSpan) {
	if live, ok := p.live(s).(*liveSpan); ok {
		p.sdk.OnEnd(live.now())
		return
	}
	p.sdk.OnEnd(p.live(s)) // of a user's own type, which does not change any more either
}

func (p *processor) ForceFlush(ctx context.Context) error { return p.sdk.ForceFlush(ctx) }
func (p *processor) Shutdown(ctx context.Context) error   { return p.sdk.Shutdown(ctx) }

// live returns what the tracer handed out, if the SDK can read it. It can not if a
// user's own [oteltrace.WithSpanType] came last.
func (p *processor) live(s *oteltrace.ReadWriteSpan) sdktrace.ReadWriteSpan {
	if rw, ok := s.Span().(sdktrace.ReadWriteSpan); ok {
		return rw
	}
	return &liveSpan{ReadWriteSpan: s, resources: p.resources}
}
