package oteltrace

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// TestOneSpanManyGoroutines lets all methods of a span run at once, with End in the
// middle. It is for the race detector, and for what must hold all the same: the span
// is exported once, and what it has is of one piece.
func TestOneSpanManyGoroutines(t *testing.T) {
	h := newHarness(t)
	const spans, goroutines = 100, 6
	ended := make([]trace.SpanContext, spans)
	for i := range spans {
		s := h.start()
		ended[i] = s.SpanContext()
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				for n := range 5 {
					s.SetAttributes(attribute.Int("span", i), attribute.Int(fmt.Sprint("g", g), n))
					s.AddEvent("event", trace.WithAttributes(attribute.Int("span", i)))
					s.SetStatus(codes.Error, "bad")
					s.SetName(fmt.Sprint("span ", i))
					s.AddLink(trace.Link{SpanContext: s.SpanContext()})
					s.RecordError(errors.New("x"))
					if s.IsRecording() && g == 0 && n == 2 {
						s.End()
					}
					if !s.SpanContext().Equal(ended[i]) {
						t.Error("the span context has changed")
					}
				}
				s.End()
			})
		}
		wg.Wait()
	}
	seen := map[trace.SpanID]*ringtail.Span{}
	for _, s := range h.spans() {
		if seen[s.SpanID] != nil {
			t.Fatalf("span %v exported twice", s.SpanID)
		}
		seen[s.SpanID] = s
	}
	for i, sc := range ended {
		s := seen[sc.SpanID()]
		if s == nil {
			t.Fatalf("span %d not exported", i)
		}
		keys := map[attribute.Key]bool{}
		for _, kv := range s.Attributes {
			if keys[kv.Key] || kv.Key == "span" && kv.Value.AsInt64() != int64(i) {
				t.Fatalf("span %d: attributes %v", i, s.Attributes)
			}
			keys[kv.Key] = true
		}
		for _, e := range s.Events {
			if e.Name == "event" && e.Attributes[0].Value.AsInt64() != int64(i) {
				t.Fatalf("span %d has the event of another one", i)
			}
		}
		for _, l := range s.Links {
			if !l.SpanContext.Equal(sc) {
				t.Fatalf("span %d has the link of another one", i)
			}
		}
	}
}

// TestChildrenOfOneParent starts and ends children in parallel, of a parent that ends
// meanwhile.
func TestChildrenOfOneParent(t *testing.T) {
	h := newHarness(t)
	tracer := h.Tracer("a")
	ctx, parent := tracer.Start(context.Background(), "parent")
	const goroutines, each = 4, 200
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				n := g*each + i
				ctx, child := tracer.Start(ctx, "child", trace.WithAttributes(attribute.Int("n", n)))
				_, grandchild := h.Tracer("b").Start(ctx, "grandchild")
				grandchild.SetAttributes(attribute.Int("n", n), attribute.Int("of", n))
				child.End()
				grandchild.End()
				if g == 0 && i == each/2 {
					parent.End()
				}
			}
		})
	}
	wg.Wait()
	children := map[int64]*ringtail.Span{}
	grandchildren := map[int64]*ringtail.Span{}
	for _, s := range h.spans() {
		switch s.Name {
		case "child":
			children[s.Attributes[0].Value.AsInt64()] = s
		case "grandchild":
			grandchildren[s.Attributes[0].Value.AsInt64()] = s
		}
	}
	if len(children) != goroutines*each || len(grandchildren) != goroutines*each {
		t.Fatalf("%d children and %d grandchildren, want %d: %v", len(children), len(grandchildren), goroutines*each, h.collector.Stats())
	}
	for n, s := range children {
		g := grandchildren[n]
		if s.ParentID != parent.SpanContext().SpanID() || g.ParentID != s.SpanID || len(s.Attributes) != 1 || len(g.Attributes) != 2 || s.Scope.Name != "a" || g.Scope.Name != "b" {
			t.Fatalf("child %+v\ngrandchild %+v", s, g)
		}
	}
}

// TestTracersInParallel asks for one scope from two goroutines at once, many times.
func TestTracersInParallel(t *testing.T) {
	p := NewTracerProvider(nil)
	for i := range 2000 {
		var ready atomic.Int32
		var wg sync.WaitGroup
		var got [2]trace.Tracer
		for g := range got {
			wg.Go(func() {
				for ready.Add(1); ready.Load() < 2; {
					runtime.Gosched()
				}
				got[g] = p.Tracer(fmt.Sprint(i))
			})
		}
		wg.Wait()
		if got[0] != got[1] {
			t.Fatalf("two tracers for scope %d", i)
		}
	}
}
