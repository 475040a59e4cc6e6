package otelsdk

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// readOnlySpan is a finished span of ours as the SDK reads it. It does not change.
type readOnlySpan struct {
	// Embedded for its unexported method, and nil. Every other method is below,
	// which TestAllMethods checks for the release of the SDK that is in use.
	sdktrace.ReadOnlySpan

	span     *ringtail.Span
	sc       trace.SpanContext
	parent   trace.SpanContext
	events   []sdktrace.Event
	links    []sdktrace.Link
	children int
	resource *resource.Resource
	scope    instrumentation.Scope
}

// newReadOnlySpan keeps s.
func newReadOnlySpan(s *ringtail.Span, r *resource.Resource, scope instrumentation.Scope) *readOnlySpan {
	ro := &readOnlySpan{
		span: s, resource: r, scope: scope,
		sc: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: s.TraceID, SpanID: s.SpanID, TraceFlags: s.Flags, TraceState: s.TraceState,
		}),
		events: newEvents(s.Events),
		links:  newLinks(s.Links),
	}
	if s.ParentID.IsValid() {
		ro.parent = trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: s.TraceID, SpanID: s.ParentID, TraceFlags: s.Flags, Remote: s.ParentRemote,
		})
	}
	return ro
}

func newEvents(events []ringtail.Event) []sdktrace.Event {
	if len(events) == 0 {
		return nil
	}
	out := make([]sdktrace.Event, len(events))
	for i, e := range events {
		out[i] = sdktrace.Event{
			Name: e.Name, Time: e.Time, Attributes: e.Attributes, DroppedAttributeCount: int(e.DroppedAttributes),
		}
	}
	return out
}

func newLinks(links []ringtail.Link) []sdktrace.Link {
	if len(links) == 0 {
		return nil
	}
	out := make([]sdktrace.Link, len(links))
	for i, l := range links {
		out[i] = sdktrace.Link{
			SpanContext: l.SpanContext, Attributes: l.Attributes, DroppedAttributeCount: int(l.DroppedAttributes),
		}
	}
	return out
}

func newStatus(s ringtail.Status) sdktrace.Status {
	return sdktrace.Status{Code: s.Code, Description: s.Description}
}

func (s *readOnlySpan) Name() string                     { return s.span.Name }
func (s *readOnlySpan) SpanContext() trace.SpanContext   { return s.sc }
func (s *readOnlySpan) Parent() trace.SpanContext        { return s.parent }
func (s *readOnlySpan) SpanKind() trace.SpanKind         { return s.span.Kind }
func (s *readOnlySpan) StartTime() time.Time             { return s.span.Start }
func (s *readOnlySpan) EndTime() time.Time               { return s.span.End }
func (s *readOnlySpan) Attributes() []attribute.KeyValue { return s.span.Attributes }
func (s *readOnlySpan) Links() []sdktrace.Link           { return s.links }
func (s *readOnlySpan) Events() []sdktrace.Event         { return s.events }
func (s *readOnlySpan) Status() sdktrace.Status          { return newStatus(s.span.Status) }
func (s *readOnlySpan) DroppedAttributes() int           { return int(s.span.DroppedAttributes) }
func (s *readOnlySpan) DroppedLinks() int                { return int(s.span.DroppedLinks) }
func (s *readOnlySpan) DroppedEvents() int               { return int(s.span.DroppedEvents) }
func (s *readOnlySpan) ChildSpanCount() int              { return s.children }
func (s *readOnlySpan) Resource() *resource.Resource     { return s.resource }

func (s *readOnlySpan) InstrumentationScope() instrumentation.Scope { return s.scope }

// InstrumentationLibrary is InstrumentationScope by its old name; so is its type.
func (s *readOnlySpan) InstrumentationLibrary() instrumentation.Scope {
	return s.scope
}
