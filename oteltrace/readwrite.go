package oteltrace

import (
	"context"
	"fmt"
	rt "runtime/trace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// ReadWriteSpan is the [trace.Span] of a provider with processors: it can be read
// during its life and after End, and is not pooled. All methods may be called by
// several goroutines at once. (Trace SDK, "Additional Span Interfaces".)
type ReadWriteSpan struct {
	*origin
	self     trace.Span // what the tracer hands out
	sc       trace.SpanContext
	parent   trace.SpanContext
	children atomic.Int64

	mu     sync.Mutex
	record record // does not change after End
	ended  bool
}

var _ trace.Span = (*ReadWriteSpan)(nil)

// startReadWrite is what Start does for a provider with processors, after sampling.
// of is what the span would be without them.
func (of *span) startReadWrite(name string, up *parent, cfg *trace.SpanConfig, sampler []attribute.KeyValue) (context.Context, trace.Span) {
	ctx := of.parent
	if !cfg.NewRoot() {
		countChild(ctx)
	}
	pr, limits := of.provider.processing, &of.provider.limits
	s := &ReadWriteSpan{origin: of.origin, sc: of.SpanContext(), parent: up.spanContext()}
	s.record.begin(name, up, cfg)
	s.record.out.Start = s.record.startTime()
	s.record.setAttributes(sampler, limits)
	s.record.setAttributes(cfg.Attributes(), limits)
	for _, l := range cfg.Links() {
		s.record.addLink(l, limits)
	}
	if s.self = pr.wrap(s); s.self == nil {
		s.self = s
	}
	if !s.provider.stopped.Load() {
		pr.onStart(ctx, s)
	}
	ctx = trace.ContextWithSpan(ctx, s.self)
	if rt.IsEnabled() {
		var task *rt.Task
		ctx, task = rt.NewTask(ctx, name)
		s.mu.Lock()
		s.record.task = task
		s.mu.Unlock()
	}
	return ctx, s.self
}

// addChild is called for every child that a provider with processors starts. The
// parent is found by it also where WithSpanType's type embeds it.
func (s *ReadWriteSpan) addChild() { s.children.Add(1) }

// countChild tells the parent that it gets a child.
func countChild(ctx context.Context) {
	if s, ok := trace.SpanFromContext(ctx).(interface{ addChild() }); ok {
		s.addChild()
	}
}

// Span returns what the tracer handed out for this span: itself, or what
// [WithSpanType] made of it.
func (s *ReadWriteSpan) Span() trace.Span { return s.self }

// SpanContext returns the span's identity, which never changes.
func (s *ReadWriteSpan) SpanContext() trace.SpanContext { return s.sc }

// ParentContext returns the identity of the parent; it is not valid for a root span.
func (s *ReadWriteSpan) ParentContext() trace.SpanContext { return s.parent }

// ChildCount returns the number of children that were started in this process, by
// providers with processors.
func (s *ReadWriteSpan) ChildCount() int { return int(s.children.Load()) }

// TracerProvider returns the provider that the span comes from.
func (s *ReadWriteSpan) TracerProvider() trace.TracerProvider { return s.provider }

// Scope returns the instrumentation scope. It is shared, and must not be changed.
func (s *ReadWriteSpan) Scope() *ringtail.Scope { return s.scope }

// Resource returns what [WithResource] set, or else the collector's; a provider without
// a collector has [ringtail.DetectResource]. It is shared, and must not be changed.
func (s *ReadWriteSpan) Resource() *ringtail.Resource {
	if p := s.provider; p.resource == nil && p.collector != nil {
		return p.collector.Resource()
	}
	return s.provider.resource
}

// IsRecording reports whether the span takes what it is given: until End.
func (s *ReadWriteSpan) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended
}

// Name returns the name as it is now.
func (s *ReadWriteSpan) Name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record.out.Name
}

// SpanKind returns the kind, which never changes.
func (s *ReadWriteSpan) SpanKind() trace.SpanKind { return s.record.out.Kind }

// StartTime returns when the span started.
func (s *ReadWriteSpan) StartTime() time.Time { return s.record.out.Start }

// EndTime returns when the span ended; zero, if it has not.
func (s *ReadWriteSpan) EndTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record.out.End
}

// Status returns the status as it is now.
func (s *ReadWriteSpan) Status() ringtail.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record.out.Status
}

// Snapshot returns the span as it is now, and after End as it has ended. The caller
// may keep and change it, but for its Scope and Resource, which are shared. End is
// zero as long as the span lives.
func (s *ReadWriteSpan) Snapshot() ringtail.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.record.out
	out.Attributes = slices.Clone(out.Attributes)
	events, links := s.record.events, s.record.links
	events.items, links.items = slices.Clone(events.items), slices.Clone(links.items)
	events.order()
	links.order()
	for i := range events.items {
		events.items[i].Attributes = slices.Clone(events.items[i].Attributes)
	}
	for i := range links.items {
		links.items[i].Attributes = slices.Clone(links.items[i].Attributes)
	}
	out.Events, out.Links = events.items, links.items
	s.identify(&out)
	out.Resource = s.Resource()
	return out
}

// identify sets what is kept beside the record.
func (s *ReadWriteSpan) identify(out *ringtail.Span) {
	out.TraceID, out.SpanID = s.sc.TraceID(), s.sc.SpanID()
	out.TraceState, out.Flags = s.sc.TraceState(), s.sc.TraceFlags()
	out.Scope = s.scope
}

// change calls f with the record of a live span, and reports whether it is live.
func (s *ReadWriteSpan) change(f func(*record, *SpanLimits)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	f(&s.record, &s.provider.limits)
	return true
}

// SetAttributes sets attributes, over those of the same key. The slice is copied.
func (s *ReadWriteSpan) SetAttributes(kvs ...attribute.KeyValue) {
	s.change(func(r *record, l *SpanLimits) { r.setAttributes(kvs, l) })
}

// SetName replaces the name that Start was given. Samplers do not hear of it.
func (s *ReadWriteSpan) SetName(name string) {
	s.change(func(r *record, _ *SpanLimits) { r.out.Name = name })
}

// SetStatus sets the status: Unset is ignored, Ok is final, a later Error replaces
// an earlier one, and only Error has a description. (Trace API, "Set Status".)
func (s *ReadWriteSpan) SetStatus(code codes.Code, description string) {
	s.change(func(r *record, _ *SpanLimits) { r.setStatus(code, description) })
}

// AddEvent adds an event that happens now, unless an option says when.
func (s *ReadWriteSpan) AddEvent(name string, opts ...trace.EventOption) {
	if !s.IsRecording() {
		return
	}
	cfg := trace.NewEventConfig(opts...)
	s.addEvent(name, cfg.Timestamp(), cfg.Attributes())
}

// addEvent adds an event whose attributes nobody else has.
func (s *ReadWriteSpan) addEvent(name string, at time.Time, attrs []attribute.KeyValue) {
	s.change(func(r *record, l *SpanLimits) { r.addEvent(name, at, attrs, l) })
}

// AddLink adds a link, also one whose span context is not valid, if it has
// attributes or a tracestate. The attributes are copied.
func (s *ReadWriteSpan) AddLink(link trace.Link) {
	s.change(func(r *record, l *SpanLimits) { r.addLink(link, l) })
}

// RecordError adds an event for err, which may be nil: then nothing happens. It does
// not set the status.
func (s *ReadWriteSpan) RecordError(err error, opts ...trace.EventOption) {
	if err == nil || !s.IsRecording() {
		return
	}
	cfg := trace.NewEventConfig(opts...)
	s.addEvent(exceptionEvent, cfg.Timestamp(), exception(cfg.Attributes(), err, err.Error(), cfg.StackTrace()))
}

// End ends the span, hands it to the processors, and submits it to the collector, if
// there is one and the span is sampled, without waiting there. During a panic, End
// as a deferred call adds an event for it, and the panic goes on. The second End
// does nothing.
func (s *ReadWriteSpan) End(opts ...trace.SpanEndOption) {
	if !s.IsRecording() {
		return
	}
	end := s.record.timeIs()
	p := s.provider
	cfg := trace.NewSpanEndConfig(opts...)
	if at := cfg.Timestamp(); !at.IsZero() {
		end = at
	}
	if !p.noPanics {
		// recover works only here, in what was deferred.
		if v := recover(); v != nil {
			defer panic(v)
			s.addEvent(exceptionEvent, time.Now(), exception(nil, v, fmt.Sprint(v), cfg.StackTrace()))
		}
	}
	var task *rt.Task
	if !s.change(func(r *record, _ *SpanLimits) { s.finish(end); task = r.task }) {
		return // another End was first
	}
	if task != nil {
		task.End()
	}
	if p.metrics != nil {
		p.metrics.ended(s.flags)
	}
	if s.record.lossy() {
		p.logLoss(s.scope, &s.record.out, s.record.cut)
	}
	if !p.stopped.Load() {
		p.processing.onEnd(s)
	}
	if p.collector != nil && s.sc.IsSampled() {
		_ = p.collector.TrySubmit(&s.record.out) // which counts what it refuses
	}
}

// finish makes the record final. The lock is held.
func (s *ReadWriteSpan) finish(end time.Time) {
	s.ended = true
	s.record.events.order()
	s.record.links.order()
	s.record.out.End = end
	s.identify(&s.record.out)
}
