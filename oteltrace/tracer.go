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
	origins [4]origin // by the trace flags that the specification knows
}

// origin is what many spans of one tracer have in common.
type origin struct {
	embedded.Span // here, and not in every span: it takes two words
	provider      *TracerProvider
	scope         *ringtail.Scope
	flags         trace.TraceFlags // here, since a span is 64 bytes without them
}

func newTracer(p *TracerProvider, scope *ringtail.Scope) *tracer {
	t := &tracer{}
	for i := range t.origins {
		t.origins[i] = origin{provider: p, scope: scope, flags: trace.TraceFlags(i)}
	}
	return t
}

// origin returns that of spans with these flags.
func (t *tracer) origin(flags trace.TraceFlags) *origin {
	if int(flags) < len(t.origins) {
		return &t.origins[flags]
	}
	o := t.origins[0]
	o.flags = flags
	return &o
}

// noConfig is that of a Start without options.
var noConfig trace.SpanConfig

// Start makes a span, and a context that carries it. A nil ctx counts as
// context.Background(). The sampler sees the final trace id, and the span id is a new
// one whatever it decides. (Trace SDK, "SDK Span creation".)
func (t *tracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if ctx == nil {
		ctx = context.Background()
	}
	cfg := &noConfig
	if len(opts) > 0 {
		c := trace.NewSpanStartConfig(opts...)
		cfg = &c
	}
	var up parent
	if !cfg.NewRoot() {
		up.find(ctx)
	}
	// The span is written where it stays: ids are copied slowly.
	s := &span{parent: ctx}
	p := t.origins[0].provider
	kin := up.kin()
	decision := p.verdicts[kin]
	var r *record
	if p.processing == nil && (decision == RecordAndSample || decision == RecordOnly) {
		r = newRecord()
	}
	flags := s.identify(p, &up, r)

	var attributes []attribute.KeyValue
	switch {
	case decision != ask:
		s.state = up.state
	case p.decider != nil:
		decision, s.state = p.decider.decide(s.traceID, kin), up.state
	default:
		var state trace.TraceState
		decision, attributes, state = p.askSampler(ctx, s.traceID, name, cfg)
		s.state = stateOf(state)
	}
	flags = flags.WithSampled(decision == RecordAndSample)
	s.origin = t.origin(flags)

	if p.metrics != nil && (decision == Drop || p.processing != nil) {
		p.metrics.started(kin, decision)
	}
	if decision == Drop {
		if p.processing != nil && !cfg.NewRoot() {
			countChild(ctx)
		}
		return withSpan(s), s
	}
	if p.processing != nil {
		return s.startReadWrite(name, &up, cfg, attributes)
	}
	if r == nil {
		r = newRecord()
	}
	if p.metrics != nil {
		p.metrics.shard(r.shard).started[kin][decision].Add(1)
	}
	r.begin(name, &up, cfg)
	if len(attributes) > 0 {
		r.setAttributes(attributes, &p.limits)
	}
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

// identify gives a span its ids, and returns its flags but for the sampled flag. r is the
// span's record, if it is known already that it gets one.
func (s *span) identify(p *TracerProvider, up *parent, r *record) trace.TraceFlags {
	if p.ids != nil {
		return s.identifyBy(p, up)
	}
	var ids *generator
	if r != nil {
		ids = &r.ids
	}
	ids.spanID(&s.spanID)
	if up.traceID.IsValid() {
		s.traceID = up.traceID
		return up.flags
	}
	ids.traceID(&s.traceID)
	return trace.FlagsRandom
}

// identifyBy is identify with a generator of the user's.
func (s *span) identifyBy(p *TracerProvider, up *parent) trace.TraceFlags {
	if up.traceID.IsValid() {
		s.traceID, s.spanID = up.traceID, p.ids.NewSpanID(s.parent, up.traceID)
		return up.flags
	}
	s.traceID, s.spanID = p.ids.NewIDs(s.parent)
	return trace.TraceFlags(0).WithRandom(p.randomIDs)
}

// askSampler is apart from Start because of what it costs there even unused.
//
//go:noinline
func (p *TracerProvider) askSampler(ctx context.Context, id trace.TraceID, name string, cfg *trace.SpanConfig) (SamplingDecision, []attribute.KeyValue, trace.TraceState) {
	if cfg.NewRoot() {
		ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	}
	result := p.sampler.ShouldSample(SamplingParameters{
		ParentContext: ctx,
		TraceID:       id,
		Name:          name,
		Kind:          cfg.SpanKind(),
		Attributes:    cfg.Attributes(),
		Links:         cfg.Links(),
	})
	if result.Decision > RecordAndSample { // there is no such decision
		result.Decision = Drop
	}
	return result.Decision, result.Attributes, result.Tracestate
}
