package oteltrace

import (
	"context"
	"io"
	"runtime"
	rt "runtime/trace"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"
)

func TestContext(t *testing.T) {
	if !spanKeyKnown {
		t.Fatal("the key of package trace was not learned: a span costs an allocation more")
	}
	type key struct{}
	deadline := time.Now().Add(time.Hour)
	outer, cancel := context.WithDeadline(context.WithValue(context.Background(), key{}, 7), deadline)
	defer cancel()
	p := NewTracerProvider(nil)
	ctx1, s1 := p.Tracer("a").Start(outer, "x")
	ctx2, s2 := p.Tracer("a").Start(ctx1, "y")
	if trace.SpanFromContext(ctx1) != s1 || trace.SpanFromContext(ctx2) != s2 || trace.SpanFromContext(context.WithValue(ctx2, key{}, 2)) != s2 {
		t.Error("a context does not carry its span")
	}
	if ctx2.Value(key{}) != 7 || ctx2.Value(1) != nil || ctx2.Value(notKnown{}) != nil {
		t.Error("values do not come through")
	}
	if d, ok := ctx2.Deadline(); !ok || !d.Equal(deadline) {
		t.Errorf("deadline %v %v", d, ok)
	}
	if _, ok := s2.(context.Context); ok {
		t.Error("a span is a context")
	}
	if _, ok := ctx2.(trace.Span); ok {
		t.Error("a context is a span")
	}
	goroutines := runtime.NumGoroutine()
	inner, cancelInner := context.WithCancel(ctx2)
	defer cancelInner()
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("a context below ours costs a goroutine") // as one that is not recognised does
	}
	cancel()
	if ctx2.Err() == nil || inner.Err() == nil {
		t.Error("not canceled")
	}
	<-ctx2.Done()
}

func parentIn(ctx context.Context) trace.SpanContext {
	var p parent
	p.find(ctx)
	return p.spanContext()
}

func TestSpanFromAnotherProvider(t *testing.T) {
	ctx, sc := remote(trace.FlagsSampled, "")
	for _, ctx := range []context.Context{ctx, context.WithValue(ctx, notKnown{}, 2)} {
		if got := parentIn(ctx); !got.Equal(sc) {
			t.Errorf("parent %v, want %v", got, sc)
		}
	}
	if parentIn(context.Background()).IsValid() {
		t.Error("a parent out of nothing")
	}
	// Without a key that is known it is slower, and the same.
	spanKey, spanKeyKnown = notKnown{}, false
	defer func() { spanKey, spanKeyKnown = learnSpanKey() }()
	p := NewTracerProvider(nil)
	child, s := p.Tracer("a").Start(ctx, "x")
	if trace.SpanFromContext(child) != s || s.SpanContext().TraceID() != sc.TraceID() || !parentIn(child).Equal(s.SpanContext()) {
		t.Error("a span is not found")
	}
}

// TestExecutionTracer: spans are tasks of a running execution tracer.
func TestExecutionTracer(t *testing.T) {
	if rt.IsEnabled() {
		t.Skip("somebody else traces")
	}
	if err := rt.Start(io.Discard); err != nil {
		t.Skip(err)
	}
	defer rt.Stop()
	p := NewTracerProvider(nil)
	ctx, s := p.Tracer("a").Start(context.Background(), "x")
	if trace.SpanFromContext(ctx) != s || recordOf(s).task == nil {
		t.Error("no task, or the context lost its span")
	}
	if _, ok := ctx.(*activeContext); ok {
		t.Error("the context does not carry the task")
	}
	s.End()
}

// TestTimesInABubble: spans, events and ends go by the bubble's clock, with either kind
// of start.
func TestTimesInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer := NewTracerProvider(nil, WithSpanType(func(s *ReadWriteSpan) trace.Span { return s })).Tracer("t")
		for _, given := range []bool{false, true} {
			start := time.Now()
			var opts []trace.SpanStartOption
			if given {
				opts = append(opts, trace.WithTimestamp(start))
			}
			_, s := tracer.Start(context.Background(), "x", opts...)
			time.Sleep(time.Minute)
			s.AddEvent("e")
			time.Sleep(time.Hour)
			s.End()
			got := s.(*ReadWriteSpan).Snapshot()
			if !got.Start.Equal(start) || !got.Events[0].Time.Equal(start.Add(time.Minute)) || !got.End.Equal(start.Add(time.Minute+time.Hour)) {
				t.Errorf("started at %v: %v, event at %v, end at %v", start, got.Start, got.Events[0].Time, got.End)
			}
		}
	})
}
