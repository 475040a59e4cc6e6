package ringtail

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Span is one finished span, as OTLP has it (opentelemetry/proto/trace/v1: Span).
// The zero value of every field but TraceID and SpanID is a sensible default.
//
// A Span that is submitted is encoded before the call returns: its owner may
// reuse or change it, with all slices, at once.
//
// What cannot be sent as it is, is mended and counted ([Stats].Mended), since
// one bad field must not cost the span, nor the batch it travels in:
//   - bytes that are not UTF-8 in a string become U+FFFD;
//   - a time before 1970 or after 2262 becomes 0, which OTLP reads as unknown;
//   - an End that is set and lies before Start, also by becoming 0, becomes Start;
//   - an attribute without a key is left out and counted in DroppedAttributes.
type Span struct {
	TraceID  trace.TraceID
	SpanID   trace.SpanID
	ParentID trace.SpanID // zero: a root span
	// ParentRemote says that the parent lives in another process.
	ParentRemote bool
	TraceState   trace.TraceState
	Flags        trace.TraceFlags

	Name       string
	Kind       trace.SpanKind
	Start, End time.Time

	// Attributes, and those of events and links, are sent as they are. OTLP wants
	// each key once: whoever makes the span sees to that.
	Attributes []attribute.KeyValue
	Events     []Event
	Links      []Link
	Status     Status

	// What limits cut off before the span came here.
	DroppedAttributes uint32
	DroppedEvents     uint32
	DroppedLinks      uint32

	// Scope is the instrumentation that made the span; nil is the empty scope.
	// It is compared by address first: share one Scope between spans, and do not
	// change it once a span with it has been submitted.
	Scope *Scope

	// Resource is set on spans that [Batch.Spans] decodes, and shared by them.
	// A submitted span has the resource of its Scope, or else its collector's,
	// whatever stands here.
	Resource *Resource
}

// Event is something that happened at one moment within a span.
type Event struct {
	Name              string
	Time              time.Time
	Attributes        []attribute.KeyValue
	DroppedAttributes uint32
}

// Link points from a span to another one, in any trace.
type Link struct {
	SpanContext       trace.SpanContext
	Attributes        []attribute.KeyValue
	DroppedAttributes uint32
}

// Status is a span's outcome. A description belongs to [codes.Error] only.
type Status struct {
	Code        codes.Code
	Description string
}

// Scope is an instrumentation scope: the library, or the part of a program,
// that made a span.
type Scope struct {
	Name, Version     string
	SchemaURL         string
	Attributes        []attribute.KeyValue
	DroppedAttributes uint32

	// Resource is what the scope's spans come from; nil is the collector's resource.
	// It is part of the scope's identity: equal scopes with different resources
	// are different, and count on their own towards the limit of [ErrTooManyScopes].
	// It may be shared, and must not be changed once a span with it has been submitted.
	// A scope that [Batch.Spans] decodes leaves it nil: there, Span.Resource has it.
	Resource *Resource
}

// Resource describes the process that spans come from.
type Resource struct {
	SchemaURL         string
	Attributes        []attribute.KeyValue
	DroppedAttributes uint32
}
