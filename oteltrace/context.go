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

func (c *activeContext) String() string { return "oteltrace.Span(" + c.spanID.String() + ")" }

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

// parent is what a span has from the span that its context carries; zero if there is
// none.
type parent struct {
	traceID trace.TraceID
	spanID  trace.SpanID
	flags   trace.TraceFlags
	remote  bool
	state   *trace.TraceState // nil: empty
}

// find looks for the parent in ctx.
func (p *parent) find(ctx context.Context) {
	if c, ok := ctx.(*activeContext); ok {
		p.set((*span)(c))
		return
	}
	if spanKeyKnown {
		switch s := ctx.Value(spanKey).(type) {
		case nil:
			return
		case *span:
			p.set(s)
			return
		case trace.Span:
			p.setContext(s.SpanContext())
			return
		}
	}
	p.setContext(trace.SpanContextFromContext(ctx))
}

func (p *parent) set(s *span) {
	p.traceID, p.spanID, p.flags, p.state = s.traceID, s.spanID, s.flags, s.state
}

func (p *parent) setContext(sc trace.SpanContext) {
	*p = parent{sc.TraceID(), sc.SpanID(), sc.TraceFlags(), sc.IsRemote(), stateOf(sc.TraceState())}
}

// valid reports whether there is a parent.
func (p *parent) valid() bool { return p.traceID.IsValid() && p.spanID.IsValid() }

// spanContext returns the parent's identity.
func (p *parent) spanContext() trace.SpanContext {
	cfg := trace.SpanContextConfig{TraceID: p.traceID, SpanID: p.spanID, TraceFlags: p.flags, Remote: p.remote}
	if p.state != nil {
		cfg.TraceState = *p.state
	}
	return trace.NewSpanContext(cfg)
}

// stateOf returns a state as spans keep it.
func stateOf(state trace.TraceState) *trace.TraceState {
	if state.Len() == 0 {
		return nil
	}
	kept := state // the parameter would be on the heap in the other case, too
	return &kept
}
