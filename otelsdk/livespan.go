package otelsdk

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// liveSpan is a span of package oteltrace that is a ReadWriteSpan of the SDK as
// well. What writes is oteltrace's, and of what reads all that has the same form;
// the rest is below.
type liveSpan struct {
	*oteltrace.ReadWriteSpan
	unimplemented
	resources *resources

	once  sync.Once
	ended *readOnlySpan // set by once, after End
}

// unimplemented has the SDK's unexported method. Its other methods, which would panic,
// are hidden by those of liveSpan and ReadWriteSpan; see [readOnlySpan].
type unimplemented struct{ sdktrace.ReadOnlySpan }

var _ sdktrace.ReadWriteSpan = (*liveSpan)(nil)

// newLiveSpan wraps s, for [oteltrace.WithSpanType].
func (r *resources) newLiveSpan(s *oteltrace.ReadWriteSpan) trace.Span {
	return &liveSpan{ReadWriteSpan: s, resources: r}
}

// now returns the span as it is, and after End always the same one.
func (s *liveSpan) now() *readOnlySpan {
	if s.IsRecording() {
		return s.snapshot()
	}
	s.once.Do(func() { s.ended = s.snapshot() })
	return s.ended
}

func (s *liveSpan) snapshot() *readOnlySpan {
	span := s.Snapshot()
	ro := newReadOnlySpan(&span, s.Resource(), s.InstrumentationScope())
	ro.sc, ro.parent, ro.children = s.SpanContext(), s.Parent(), s.ChildSpanCount()
	return ro
}

func (s *liveSpan) Parent() trace.SpanContext        { return s.ParentContext() }
func (s *liveSpan) Attributes() []attribute.KeyValue { return s.now().Attributes() }
func (s *liveSpan) Links() []sdktrace.Link           { return s.now().Links() }
func (s *liveSpan) Events() []sdktrace.Event         { return s.now().Events() }
func (s *liveSpan) Status() sdktrace.Status          { return newStatus(s.ReadWriteSpan.Status()) }
func (s *liveSpan) DroppedAttributes() int           { return s.now().DroppedAttributes() }
func (s *liveSpan) DroppedLinks() int                { return s.now().DroppedLinks() }
func (s *liveSpan) DroppedEvents() int               { return s.now().DroppedEvents() }
func (s *liveSpan) ChildSpanCount() int              { return s.ChildCount() }
func (s *liveSpan) Resource() *resource.Resource     { return s.resources.of(s.ReadWriteSpan.Resource()) }

func (s *liveSpan) InstrumentationScope() instrumentation.Scope { return newScope(s.Scope()) }

// InstrumentationLibrary is InstrumentationScope by its old name; so is its type.
func (s *liveSpan) InstrumentationLibrary() instrumentation.Scope {
	return newScope(s.Scope())
}

// resources gives a provider's resource the SDK's form, once.
type resources struct {
	mu   sync.RWMutex
	from *ringtail.Resource
	made *resource.Resource
}

// of converts r. Nil is the collector's resource, of which nothing is known
// here but its default.
func (c *resources) of(r *ringtail.Resource) *resource.Resource {
	c.mu.RLock()
	from, made := c.from, c.made
	c.mu.RUnlock()
	if made != nil && from == r {
		return made
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil || c.from != r {
		c.from = r
		if r == nil {
			r, _ = ringtail.DetectResource() // the collector has logged the error
		}
		c.made = newResource(r)
	}
	return c.made
}
