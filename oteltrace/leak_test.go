package oteltrace

import (
	"context"
	"runtime"
	"testing"
	"weak"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// TestSpansAreCollected: neither the provider nor a pool keeps a span, or what it
// was given, whether it has ended or was forgotten.
func TestSpansAreCollected(t *testing.T) {
	h := newHarness(t)
	type payload [64]byte
	start := func(end bool) (weak.Pointer[span], weak.Pointer[payload]) {
		p := &payload{}
		ctx := context.WithValue(context.Background(), notKnown{}, p)
		_, s := h.Tracer("a").Start(ctx, "x", trace.WithAttributes(attribute.Int("a", 1)))
		if end {
			s.End()
		}
		return weak.Make(s.(*span)), weak.Make(p)
	}
	for _, end := range []bool{true, false} {
		s, p := start(end)
		for range 20 {
			if runtime.GC(); s.Value() == nil && p.Value() == nil {
				break
			}
		}
		if s.Value() != nil || p.Value() != nil {
			t.Errorf("a span (ended: %v) or its context is kept alive", end)
		}
	}
}

func TestNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	p := NewTracerProvider(nil)
	for range 100 {
		ctx, s := p.Tracer("a").Start(context.Background(), "x")
		_, child := p.Tracer("a").Start(ctx, "y")
		child.End()
		s.End()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}
