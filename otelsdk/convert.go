package otelsdk

import (
	"math"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// converter turns a span of the SDK into one of ours, without an allocation once its
// slices have grown. The result shares the attributes' slices with the SDK's span, and
// is valid until clear. One goroutine may use it at a time.
type converter struct {
	scopes *scopes
	span   ringtail.Span
	events []ringtail.Event
	links  []ringtail.Link

	// The scope of the last span: most often that of the next one.
	key   scopeKey
	scope *ringtail.Scope
}

// mostKept is the number of events or links up to which a converter keeps their room.
const mostKept = 256

// convert sets c.span. sc is the span's own context.
func (c *converter) convert(s sdktrace.ReadOnlySpan, sc trace.SpanContext) {
	parent, status := s.Parent(), s.Status()
	out := &c.span // field by field: a literal would be made elsewhere and copied
	out.TraceID, out.SpanID, out.TraceState, out.Flags = sc.TraceID(), sc.SpanID(), sc.TraceState(), sc.TraceFlags()
	out.ParentID, out.ParentRemote = parent.SpanID(), parent.IsRemote()
	out.Name, out.Kind = s.Name(), s.SpanKind()
	out.Start, out.End = s.StartTime(), s.EndTime()
	out.Attributes = s.Attributes()
	out.Status = ringtail.Status{Code: status.Code, Description: status.Description}
	out.DroppedAttributes = count(s.DroppedAttributes())
	out.DroppedEvents = count(s.DroppedEvents())
	out.DroppedLinks = count(s.DroppedLinks())
	out.Scope = c.scopeOf(s)
	for _, e := range s.Events() {
		c.events = append(c.events, ringtail.Event{
			Name: e.Name, Time: e.Time, Attributes: e.Attributes, DroppedAttributes: count(e.DroppedAttributeCount),
		})
	}
	for _, l := range s.Links() {
		c.links = append(c.links, ringtail.Link{
			SpanContext: l.SpanContext, Attributes: l.Attributes, DroppedAttributes: count(l.DroppedAttributeCount),
		})
	}
	out.Events, out.Links = c.events, c.links
}

func (c *converter) scopeOf(s sdktrace.ReadOnlySpan) *ringtail.Scope {
	scope := s.InstrumentationScope()
	key := scopeKey{s.Resource(), scope.Name, scope.Version, scope.SchemaURL, scope.Attributes.Equivalent()}
	if c.scope == nil || c.key != key {
		c.key, c.scope = key, c.scopes.intern(key, &scope.Attributes)
	}
	return c.scope
}

// clear lets go of the span.
func (c *converter) clear() {
	c.span = ringtail.Span{}
	clear(c.events)
	clear(c.links)
	c.events, c.links = c.events[:0], c.links[:0]
	if cap(c.events) > mostKept {
		c.events = nil
	}
	if cap(c.links) > mostKept {
		c.links = nil
	}
}

// count is a number of dropped things as OTLP has it.
func count(n int) uint32 { return uint32(min(max(n, 0), math.MaxInt32)) }
