package oteltrace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// span is a [trace.Span] from Start on, for as long as somebody keeps it. It is not
// pooled. Its methods may be called by several goroutines at once, and after End,
// when they do nothing but SpanContext and TracerProvider.
//
// It has 64 bytes, a size class of the allocator to the byte. A [trace.SpanContext]
// alone has as many.
type span struct {
	*origin
	parent  context.Context   // that Start was given
	traceID trace.TraceID     // constant, as is the rest of the identity
	spanID  trace.SpanID      //
	state   *trace.TraceState // nil: empty
	record  slot              // empty after End, and if the sampler dropped the span
}

var _ trace.Span = (*span)(nil)

// SpanContext returns the span's identity, which never changes.
func (s *span) SpanContext() trace.SpanContext {
	cfg := trace.SpanContextConfig{TraceID: s.traceID, SpanID: s.spanID, TraceFlags: s.flags}
	if s.state != nil {
		cfg.TraceState = *s.state
	}
	return trace.NewSpanContext(cfg)
}

// TracerProvider returns the provider that the span comes from.
func (s *span) TracerProvider() trace.TracerProvider { return s.provider }

// IsRecording reports whether the span takes what it is given: until End, unless the
// sampler dropped it.
func (s *span) IsRecording() bool { return !s.record.empty() }

// SetAttributes sets attributes, over those of the same key. The slice is copied.
func (s *span) SetAttributes(kvs ...attribute.KeyValue) {
	if len(kvs) == 0 {
		return
	}
	if r := s.record.acquire(); r != nil {
		r.setAttributes(kvs, &s.provider.limits)
		s.record.release(r)
	}
}

// SetName replaces the name that Start was given. Samplers do not hear of it.
func (s *span) SetName(name string) {
	if r := s.record.acquire(); r != nil {
		r.out.Name = name
		s.record.release(r)
	}
}

// SetStatus sets the status: Unset is ignored, Ok is final, a later Error replaces
// an earlier one, and only Error has a description. (Trace API, "Set Status".)
func (s *span) SetStatus(code codes.Code, description string) {
	if r := s.record.acquire(); r != nil {
		r.setStatus(code, description)
		s.record.release(r)
	}
}

// AddEvent adds an event that happens now, unless an option says when.
func (s *span) AddEvent(name string, opts ...trace.EventOption) {
	if s.record.empty() {
		return
	}
	cfg := trace.NewEventConfig(opts...)
	s.addEvent(name, &cfg, cfg.Attributes())
}

// addEvent adds an event whose attributes nobody else has.
func (s *span) addEvent(name string, cfg *trace.EventConfig, attrs []attribute.KeyValue) {
	if r := s.record.acquire(); r != nil {
		r.addEvent(name, cfg.Timestamp(), attrs, &s.provider.limits)
		s.record.release(r)
	}
}

// AddLink adds a link, also one whose span context is not valid, if it has
// attributes or a tracestate. The attributes are copied.
func (s *span) AddLink(link trace.Link) {
	if r := s.record.acquire(); r != nil {
		r.addLink(link, &s.provider.limits)
		s.record.release(r)
	}
}

// RecordError adds an event for err, which may be nil: then nothing happens. It does
// not set the status.
func (s *span) RecordError(err error, opts ...trace.EventOption) {
	if err == nil || !s.IsRecording() {
		return
	}
	cfg := trace.NewEventConfig(opts...)
	// Outside of the lock: err.Error is anybody's code.
	s.addEvent(exceptionEvent, &cfg, exception(cfg.Attributes(), err, err.Error(), cfg.StackTrace()))
}

// End ends the span and submits it, if it is sampled, without ever waiting: where the
// collector has no room, the span is dropped and counted there. During a panic, End
// as a deferred call adds an event for it, and the panic goes on. The second End
// does nothing.
func (s *span) End(opts ...trace.SpanEndOption) {
	r := s.record.take()
	if r == nil {
		return
	}
	o := &r.out
	o.End = r.timeIs()
	p := s.provider
	stackTrace := false
	var panicked any
	if len(opts) > 0 {
		cfg := trace.NewSpanEndConfig(opts...)
		if at := cfg.Timestamp(); !at.IsZero() {
			o.End = at
		}
		stackTrace = cfg.StackTrace()
	}
	if !p.noPanics {
		// recover works only here, in what was deferred.
		if panicked = recover(); panicked != nil {
			r.addPanic(panicked, stackTrace, &p.limits)
		}
	}
	if r.task != nil {
		r.task.End()
	}
	if p.metrics != nil {
		p.metrics.shard(r.shard).ended[s.flags&trace.FlagsSampled].Add(1)
	}
	if r.lossy() {
		p.logLoss(s.scope, o, r.cut)
	}
	if p.collector != nil && s.flags.IsSampled() {
		o.Start = r.startTime()
		o.TraceID, o.SpanID, o.Flags = s.traceID, s.spanID, s.flags
		if s.state != nil {
			o.TraceState = *s.state
		}
		o.Scope = s.scope
		r.events.order()
		r.links.order()
		_ = p.collector.TrySubmit(o) // which counts what it refuses
	}
	r.release()
	if panicked != nil {
		panic(panicked)
	}
}
