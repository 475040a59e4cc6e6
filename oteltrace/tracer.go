package oteltrace

import (
	"context"
	rt "runtime/trace"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"

	"github.com/ringtail-otel/ringtail"
)

// tracer makes the spans of one instrumentation scope.
type tracer struct {
	embedded.Tracer
	origin
}

// origin is what the spans of one tracer have in common.
type origin struct {
	embedded.Span // here, and not in every span: it takes two words
	provider      *TracerProvider
	scope         *ringtail.Scope
}

// Start makes a span, and a context that carries it. A nil ctx counts as
// context.Background(). The sampler sees the final trace id, and the span id is a new
// one whatever it decides. (Trace SDK, "SDK Span creation".)
func (t *tracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if ctx == nil {
		ctx = context.Background()
	}
	var cfg trace.SpanConfig
	if len(opts) > 0 {
		cfg = trace.NewSpanStartConfig(opts...)
	}
	parent := &noParent
	if !cfg.NewRoot() {
		var room trace.SpanContext
		parent = parentOf(ctx, &room)
	}
	p := t.provider
	ids := trace.SpanContextConfig{TraceID: parent.TraceID(), TraceFlags: parent.TraceFlags()}
	hasParent := ids.TraceID.IsValid()
	switch {
	case p.ids == nil && hasParent:
		ids.SpanID = newSpanID()
	case p.ids == nil:
		ids.TraceID, ids.SpanID = newTraceID(), newSpanID()
	case hasParent:
		ids.SpanID = p.ids.NewSpanID(ctx, ids.TraceID)
	default:
		ids.TraceID, ids.SpanID = p.ids.NewIDs(ctx)
	}
	if !hasParent {
		ids.TraceFlags = trace.TraceFlags(0).WithRandom(p.randomIDs)
	}

	var decision SamplingDecision
	var attributes []attribute.KeyValue
	if p.decider != nil {
		decision = p.decider.decide(ids.TraceID, ancestryOf(parent))
		ids.TraceState = parent.TraceState()
	} else {
		result := p.askSampler(ctx, ids.TraceID, name, &cfg)
		decision, attributes, ids.TraceState = result.Decision, result.Attributes, result.Tracestate
	}
	ids.TraceFlags = ids.TraceFlags.WithSampled(decision == RecordAndSample)

	s := &span{origin: &t.origin, parent: ctx, sc: trace.NewSpanContext(ids)}
	if decision == Drop || decision > RecordAndSample {
		return withSpan(s), s
	}
	r := newRecord()
	r.begin(name, parent, &cfg)
	r.setAttributes(attributes, &p.limits)
	if len(opts) > 0 {
		r.setAttributes(cfg.Attributes(), &p.limits)
		for _, l := range cfg.Links() {
			r.addLink(l, &p.limits)
		}
	}
	s.record.put(r)
	ctx = withSpan(s)
	if rt.IsEnabled() {
		ctx, r.task = rt.NewTask(ctx, name)
	}
	return ctx, s
}

// askSampler is apart from Start because of what it costs there even unused.
//
//go:noinline
func (p *TracerProvider) askSampler(ctx context.Context, id trace.TraceID, name string, cfg *trace.SpanConfig) SamplingResult {
	if cfg.NewRoot() {
		ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	}
	return p.sampler.ShouldSample(SamplingParameters{
		ParentContext: ctx,
		TraceID:       id,
		Name:          name,
		Kind:          cfg.SpanKind(),
		Attributes:    cfg.Attributes(),
		Links:         cfg.Links(),
	})
}
