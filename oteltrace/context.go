package oteltrace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// activeContext is a span as the context that carries it: the same memory, which
// saves the allocation of a context.WithValue. The two types keep the methods of
// one out of the other.
type activeContext span

var _ context.Context = (*activeContext)(nil)

func (c *activeContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }
func (c *activeContext) Done() <-chan struct{}       { return c.parent.Done() }
func (c *activeContext) Err() error                  { return c.parent.Err() }

func (c *activeContext) Value(key any) any {
	if key == spanKey {
		return (*span)(c)
	}
	// A loop, as in package context, since spans are nested deeply.
	for {
		outer, ok := c.parent.(*activeContext)
		if !ok {
			return c.parent.Value(key)
		}
		c = outer
	}
}

func (c *activeContext) String() string { return "oteltrace.Span(" + c.sc.SpanID().String() + ")" }

// spanKey is the key under which package trace looks for the span in a context. It
// is not exported, but a context that is searched gets to see it.
var spanKey, spanKeyKnown = learnSpanKey()

// notKnown is a key that nobody asks for.
type notKnown struct{}

func learnSpanKey() (key any, known bool) {
	p := &probe{Context: context.Background()}
	_ = trace.SpanFromContext(p)
	if len(p.asked) != 1 || p.asked[0] == nil {
		return notKnown{}, false
	}
	// What is learned is tried out: an answer must be taken for the span.
	p.answer = trace.SpanFromContext(trace.ContextWithSpanContext(p.Context,
		trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})))
	if !trace.SpanContextFromContext(p).Equal(p.answer.SpanContext()) {
		return notKnown{}, false
	}
	return p.asked[0], true
}

// probe is a context that notes what it is asked.
type probe struct {
	context.Context
	asked  []any
	answer trace.Span
}

func (p *probe) Value(key any) any {
	p.asked = append(p.asked, key)
	if p.answer == nil {
		return nil
	}
	return p.answer
}

// withSpan returns the context that carries s, which has s.parent as its parent.
func withSpan(s *span) context.Context {
	if !spanKeyKnown {
		return trace.ContextWithSpan(s.parent, s)
	}
	return (*activeContext)(s)
}

// noParent is the span context of nothing. It does not change.
var noParent trace.SpanContext

// parentOf returns the span context of the span that ctx carries. It is not to be
// changed, and may be in the room given.
func parentOf(ctx context.Context, room *trace.SpanContext) *trace.SpanContext {
	if c, ok := ctx.(*activeContext); ok {
		return &c.sc
	}
	if spanKeyKnown {
		switch s := ctx.Value(spanKey).(type) {
		case nil:
			return &noParent
		case *span:
			return &s.sc
		case trace.Span:
			*room = s.SpanContext()
			return room
		}
	}
	*room = trace.SpanContextFromContext(ctx)
	return room
}
