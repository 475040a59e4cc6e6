package oteltrace

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// kept is what users may keep of a span, and what it was when they got it.
type kept struct {
	n    int
	ctx  context.Context
	span trace.Span
	sc   trace.SpanContext
	text string // of the identity, which shares no memory with it
}

func (k *kept) check(t *testing.T, p *TracerProvider) {
	if sc := k.span.SpanContext(); !sc.Equal(k.sc) || identity(sc) != k.text {
		t.Errorf("span %d: was %s, is %s", k.n, k.text, identity(sc))
	}
	if trace.SpanFromContext(k.ctx) != k.span || k.ctx.Value(keptKey{}) != k.n || k.span.TracerProvider() != p {
		t.Errorf("span %d: its context carries another one", k.n)
	}
	if k.span.IsRecording() {
		t.Errorf("span %d is recording again", k.n)
	}
}

type keptKey struct{}

func identity(sc trace.SpanContext) string {
	return fmt.Sprint(sc.TraceID(), sc.SpanID(), sc.TraceFlags(), sc.TraceState(), sc.IsRemote())
}

// TestKeptSpans keeps thousands of spans with their contexts beyond End, while several
// goroutines go on making others and calling everything on those that were kept. Nothing
// of a span that is pooled may be seen through it, and nothing that is done to it may
// be seen in another.
func TestKeptSpans(t *testing.T) {
	for name, opts := range map[string][]Option{
		"native":         nil,
		"not sampled":    {WithSampler(ParentBased(NeverSample(), WithRemoteParentSampled(NeverSample())))},
		"for processors": {WithSpanType(func(s *ReadWriteSpan) trace.Span { return s })},
	} {
		t.Run(name, func(t *testing.T) { keptSpans(t, opts...) })
	}
}

func keptSpans(t *testing.T, opts ...Option) {
	const goroutines, each = 3, 800
	h := newHarness(t, append(opts, quiet)...)
	tracer := h.Tracer("t")
	var mu sync.Mutex
	var all []*kept
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			var mine []*kept
			for i := range each {
				k := &kept{n: g*each + i}
				ctx := context.WithValue(context.Background(), keptKey{}, k.n)
				switch i % 3 {
				case 1: // below a remote parent
					parent, _ := remote(trace.FlagsSampled, fmt.Sprintf("n=%d", k.n))
					ctx = context.WithValue(parent, keptKey{}, k.n)
				case 2: // below a span that has ended
					ctx = context.WithValue(mine[len(mine)-1].ctx, keptKey{}, k.n)
				}
				k.ctx, k.span = tracer.Start(ctx, fmt.Sprint("span ", k.n), trace.WithAttributes(attribute.Int("n", k.n)))
				k.sc = k.span.SpanContext()
				k.text = identity(k.sc)
				k.span.AddEvent("event", trace.WithAttributes(attribute.Int("n", k.n)))
				k.span.End()
				mine = append(mine, k)

				old := mine[i*7%len(mine)]
				old.check(t, h.TracerProvider)
				old.span.SetName("late")
				old.span.SetAttributes(attribute.Int("n", -1), attribute.Int("late", k.n))
				old.span.AddEvent("late")
				old.span.AddLink(trace.Link{SpanContext: k.sc})
				old.span.RecordError(fmt.Errorf("late"))
				old.span.End()
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	exported := map[trace.SpanID]*ringtail.Span{}
	for _, s := range h.spans() {
		exported[s.SpanID] = s
	}
	if n := int(h.collector.Stats().Submitted); len(exported) != n {
		t.Errorf("%d different spans exported of %d", len(exported), n)
	}
	for _, k := range all {
		k.check(t, h.TracerProvider)
		s := exported[k.sc.SpanID()]
		if (s != nil) != k.sc.IsSampled() {
			t.Fatalf("span %d: exported %v", k.n, s)
		}
		if s == nil {
			continue
		}
		if s.Name != fmt.Sprint("span ", k.n) || s.TraceID != k.sc.TraceID() || s.TraceState.String() != k.sc.TraceState().String() ||
			len(s.Attributes) != 1 || s.Attributes[0].Value.AsInt64() != int64(k.n) ||
			len(s.Events) != 1 || s.Events[0].Attributes[0].Value.AsInt64() != int64(k.n) || len(s.Links) != 0 {
			t.Errorf("span %d: exported %+v", k.n, s)
		}
	}
}

// TestReadWriteSpanManyGoroutines reads a span while others change and end it, and
// have children of it: a snapshot is of one piece, and after End the last one.
func TestReadWriteSpanManyGoroutines(t *testing.T) {
	a, _, _ := listeners()
	h := newHarness(t, WithSpanProcessor(a))
	tracer := h.Tracer("t")
	const spans, goroutines = 60, 4
	for range spans {
		ctx, ts := tracer.Start(context.Background(), "0")
		s := ts.(*ReadWriteSpan)
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				for n := range 8 {
					s.SetAttributes(attribute.Int("a", n), attribute.Int("b", n))
					s.AddEvent("e", trace.WithAttributes(attribute.Int("n", n)))
					s.AddLink(trace.Link{SpanContext: s.SpanContext()})
					s.SetName(fmt.Sprint(n))
					s.SetStatus(1, s.Name())
					_, child := tracer.Start(ctx, "child")
					child.End()
					got := s.Snapshot()
					if len(got.Attributes) != 2 || got.Attributes[0].Value.AsInt64() != got.Attributes[1].Value.AsInt64() || len(got.Events)+int(got.DroppedEvents) < n/2 {
						t.Errorf("snapshot %+v", got)
					}
					got.Attributes[0], got.Events[0].Attributes[0], got.Links[0] = kv{}, kv{}, ringtail.Link{}
					_ = s.Status()
					if g == 0 && n == 5 {
						s.End()
						if s.EndTime().IsZero() || s.IsRecording() {
							t.Error("has not ended")
						}
						final := s.Snapshot()
						if again := s.Snapshot(); len(again.Events) != len(final.Events) || !sameAttributes(again.Attributes, final.Attributes) || again.Name != final.Name {
							t.Error("changes after End")
						}
					}
				}
			})
		}
		wg.Wait()
		if n := s.ChildCount(); n != goroutines*8 {
			t.Fatalf("%d children", n)
		}
	}
	if n := len(h.spans()); n != spans*(1+goroutines*8) {
		t.Errorf("%d spans exported", n)
	}
}
