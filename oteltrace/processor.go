package oteltrace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A SpanProcessor is told of every recording span as it begins and ends, in the
// order of registration, by the goroutine that starts or ends the span. It is called
// by any number of goroutines at once, and after its Shutdown not any more, but for
// calls that have begun by then. (Trace SDK, "Span processor".)
//
// A provider with processors, or with [WithSpanType], makes its spans as
// [ReadWriteSpan]: they are not pooled, and cost more.
type SpanProcessor interface {
	// OnStart is called with the context that Start was given. The span is live:
	// it may be read and changed, now and later.
	OnStart(parent context.Context, s *ReadWriteSpan)
	// OnEnd is called with a span that does not change any more, and may be kept.
	OnEnd(s *ReadWriteSpan)
	// ForceFlush returns when the spans that ended before have been dealt with, or
	// when ctx ends.
	ForceFlush(ctx context.Context) error
	// Shutdown is called once, and returns when ctx ends at the latest.
	Shutdown(ctx context.Context) error
}

// WithSpanProcessor adds a processor. It may be given several times, and a provider
// may have processors, a collector, or both. Spans that are recorded and not
// sampled reach processors only. Nil is ignored.
func WithSpanProcessor(p SpanProcessor) Option {
	return func(c *config) {
		if p != nil {
			c.processors = append(c.processors, p)
		}
	}
}

// WithSpanType sets what tracers hand out, and contexts carry, in place of the
// [ReadWriteSpan] itself: adapters give spans further methods. wrap is called once for
// every recording span, before any processor is. What it returns must embed the span
// that it is given. Nil, from wrap or in its place, stands for the span itself.
func WithSpanType(wrap func(*ReadWriteSpan) trace.Span) Option {
	return func(c *config) { c.spanType = wrap }
}

// grace is what a processor gets to return in after its context has ended, before
// it is left behind.
const grace = 50 * time.Millisecond

// processing is what a provider with processors has, and others do not.
type processing struct {
	processors []SpanProcessor
	wrap       func(*ReadWriteSpan) trace.Span
}

// newProcessing returns nil if spans need not be readable.
func newProcessing(c *config) *processing {
	if len(c.processors) == 0 && c.spanType == nil {
		return nil
	}
	pr := &processing{c.processors, c.spanType}
	if pr.wrap == nil {
		pr.wrap = func(*ReadWriteSpan) trace.Span { return nil }
	}
	return pr
}

func (pr *processing) onStart(parent context.Context, s *ReadWriteSpan) {
	for _, p := range pr.processors {
		p.OnStart(parent, s)
	}
}

func (pr *processing) onEnd(s *ReadWriteSpan) {
	for _, p := range pr.processors {
		p.OnEnd(s)
	}
}

// each calls f for every processor, in their order and also when ctx has ended, and
// joins the errors. A processor that does not return is left behind.
func (pr *processing) each(ctx context.Context, act string, f func(SpanProcessor, context.Context) error) error {
	var errs []error
	for _, p := range pr.processors {
		if err := within(ctx, func() error { return f(p, ctx) }); err != nil {
			errs = append(errs, fmt.Errorf("oteltrace: cannot %s span processor %T: %w", act, p, err))
		}
	}
	return errors.Join(errs...)
}

// within calls f, turns a panic into an error, and leaves f alone some time after ctx
// has ended.
func within(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("panic: %v", v)
			}
		}()
		done <- f()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return ctx.Err()
	}
}
