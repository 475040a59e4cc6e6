package oteltrace

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

func TestTracer(t *testing.T) {
	h := newHarness(t)
	same := func(a, b trace.Tracer, want bool) {
		t.Helper()
		if (a == b) != want {
			t.Errorf("same tracer: %v, want %v", a == b, want)
		}
	}
	version := trace.WithInstrumentationVersion("1.0")
	attr := func(n int) trace.TracerOption { return trace.WithInstrumentationAttributes(attribute.Int("n", n)) }
	same(h.Tracer("a"), h.Tracer("a"), true)
	same(h.Tracer("a"), h.Tracer("b"), false)
	same(h.Tracer("a", version), h.Tracer("a", version), true)
	same(h.Tracer("a"), h.Tracer("a", version), false)
	same(h.Tracer("a", trace.WithSchemaURL("u")), h.Tracer("a"), false)
	same(h.Tracer("a", attr(1)), h.Tracer("a", attr(1)), true)
	same(h.Tracer("a", attr(1)), h.Tracer("a", attr(2)), false)
	same(h.Tracer(""), h.Tracer(DefaultTracerName), true)

	_, s := h.Tracer("lib", version, trace.WithSchemaURL("https://example.test/schema"), attr(3)).Start(context.Background(), "x")
	s.End()
	scope := h.only().Scope
	if scope.Name != "lib" || scope.Version != "1.0" || scope.SchemaURL != "https://example.test/schema" ||
		!sameAttributes(scope.Attributes, []attribute.KeyValue{attribute.Int("n", 3)}) {
		t.Errorf("scope %+v", scope)
	}
}

func TestShutdown(t *testing.T) {
	h := newHarness(t)
	tracer := h.Tracer("a")
	_, early := tracer.Start(context.Background(), "early")
	_, late := tracer.Start(context.Background(), "late")
	early.End()
	ctx := context.Background()
	for range 2 {
		if err := h.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
	late.End()
	if spans := h.recorder.Spans(); len(spans) != 1 || spans[0].Name != "early" {
		t.Errorf("%d spans exported, want the early one", len(spans))
	}
	if n := h.recorder.Counts().Shutdowns; n != 1 {
		t.Errorf("exporter shut down %d times", n)
	}
	if stats := h.collector.Stats(); stats.Dropped.Of(ringtail.ReasonClosed) != 1 {
		t.Errorf("the late span was not counted: %v", stats)
	}
	if _, s := h.Tracer("a").Start(ctx, "x"); s.IsRecording() || s.SpanContext().IsValid() {
		t.Error("a tracer made after Shutdown records")
	}
	if err := h.ForceFlush(ctx); err != nil {
		t.Error(err)
	}
}

func TestShutdownError(t *testing.T) {
	h := newHarness(t)
	h.recorder.Fail(errors.New("no backend"))
	h.start().End()
	if err := h.Shutdown(context.Background()); err == nil {
		t.Error("nothing said of the lost span")
	}
}

func TestNilCollector(t *testing.T) {
	p := NewTracerProvider(nil, nil)
	_, s := p.Tracer("a").Start(context.Background(), "x")
	s.SetAttributes(attribute.Int("a", 1))
	if !s.IsRecording() {
		t.Error("not recording")
	}
	s.End()
	if err := errors.Join(p.ForceFlush(context.Background()), p.Shutdown(context.Background())); err != nil {
		t.Error(err)
	}
}

func TestParents(t *testing.T) {
	sampledRandom := trace.FlagsSampled | trace.FlagsRandom
	state := "k=v"
	t.Run("root", func(t *testing.T) {
		h := newHarness(t)
		//lint:ignore SA1012 a nil context is what is tested
		_, s := h.Tracer("a").Start(nil, "root")
		s.End()
		got, sc := h.only(), s.SpanContext()
		if !sc.IsValid() || sc.IsRemote() || sc.TraceFlags() != sampledRandom {
			t.Errorf("span context %v", sc)
		}
		if got.TraceID != sc.TraceID() || got.SpanID != sc.SpanID() || got.ParentID.IsValid() || got.ParentRemote || got.Flags != sampledRandom {
			t.Errorf("%+v", got)
		}
	})
	t.Run("child and grandchild", func(t *testing.T) {
		h := newHarness(t)
		ctx, root := h.Tracer("a").Start(context.Background(), "root")
		// A context between, and a parent that has ended.
		ctx, cancel := context.WithCancel(context.WithValue(ctx, notKnown{}, 1))
		defer cancel()
		ctx, child := h.Tracer("b").Start(ctx, "child")
		root.End()
		child.End()
		_, grandchild := h.Tracer("c").Start(ctx, "grandchild", trace.WithSpanKind(trace.SpanKindClient))
		grandchild.End()
		want := []trace.SpanContext{{}, root.SpanContext(), child.SpanContext()}
		for i, name := range []string{"root", "child", "grandchild"} {
			for _, s := range h.spans() {
				if s.Name == name && (s.ParentID != want[i].SpanID() || s.TraceID != root.SpanContext().TraceID() || s.ParentRemote || s.Flags != sampledRandom) {
					t.Errorf("%+v", s)
				}
			}
		}
	})
	t.Run("remote", func(t *testing.T) {
		h := newHarness(t)
		ctx, parent := remote(trace.FlagsSampled, state)
		_, s := h.Tracer("a").Start(ctx, "x")
		s.End()
		got, sc := h.only(), s.SpanContext()
		if sc.IsRemote() || sc.TraceID() != parent.TraceID() || sc.SpanID() == parent.SpanID() || sc.TraceState().String() != state || sc.TraceFlags() != trace.FlagsSampled {
			t.Errorf("span context %v", sc)
		}
		if got.ParentID != parent.SpanID() || !got.ParentRemote || got.TraceState.String() != state {
			t.Errorf("%+v", got)
		}
	})
	t.Run("new root", func(t *testing.T) {
		h := newHarness(t, WithSampler(ParentBased(NeverSample(), WithRemoteParentSampled(AlwaysSample()))))
		ctx, parent := remote(trace.FlagsSampled, state)
		_, s := h.Tracer("a").Start(ctx, "x", trace.WithNewRoot())
		if sc := s.SpanContext(); sc.TraceID() == parent.TraceID() || sc.IsSampled() || sc.TraceState().Len() != 0 {
			t.Errorf("span context %v", sc)
		}
	})
	t.Run("a trace id without a span id", func(t *testing.T) {
		h := newHarness(t)
		sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{7}, Remote: true})
		_, s := h.Tracer("a").Start(trace.ContextWithRemoteSpanContext(context.Background(), sc), "x")
		s.End()
		if got := h.only(); got.TraceID != sc.TraceID() || got.ParentID.IsValid() || got.ParentRemote {
			t.Errorf("%+v", got)
		}
	})
	t.Run("kind", func(t *testing.T) {
		h := newHarness(t)
		for _, kind := range []trace.SpanKind{0, 1, 2, 3, 4, 5, 6} {
			h.start(trace.WithSpanKind(kind)).End()
		}
		for i, want := range []trace.SpanKind{1, 1, 2, 3, 4, 5, 1} {
			if got := h.spans()[i].Kind; got != want {
				t.Errorf("kind %d became %v, want %v", i, got, want)
			}
		}
	})
}

// verdict is a sampler that says what it is told.
type verdict struct {
	SamplingResult
	asked *[]SamplingParameters
}

func (v verdict) Description() string { return "verdict" }
func (v verdict) ShouldSample(p SamplingParameters) SamplingResult {
	*v.asked = append(*v.asked, p)
	return v.SamplingResult
}

func TestDecisions(t *testing.T) {
	for _, tt := range []struct {
		decision           SamplingDecision
		recording, sampled bool
	}{
		{Drop, false, false},
		{RecordOnly, true, false},
		{RecordAndSample, true, true},
		{RecordAndSample + 1, false, false},
	} {
		t.Run(tt.decision.String(), func(t *testing.T) {
			var asked []SamplingParameters
			ts, _ := trace.ParseTraceState("from=sampler")
			h := newHarness(t, WithSampler(verdict{SamplingResult{tt.decision, []attribute.KeyValue{attribute.Int("a", 1), attribute.Int("b", 1)}, ts}, &asked}))
			parentCtx, parent := remote(trace.FlagsSampled|trace.FlagsRandom, "k=v")
			link := trace.Link{SpanContext: parent}
			ctx, s := h.Tracer("a").Start(parentCtx, "x", trace.WithAttributes(attribute.Int("a", 2)), trace.WithLinks(link), trace.WithSpanKind(trace.SpanKindServer))
			sc := s.SpanContext()
			if s.IsRecording() != tt.recording || sc.IsSampled() != tt.sampled || !sc.IsRandom() || !sc.IsValid() || sc.TraceID() != parent.TraceID() || sc.SpanID() == parent.SpanID() || sc.TraceState().String() != "from=sampler" {
				t.Errorf("recording %v, span context %v", s.IsRecording(), sc)
			}
			if !trace.SpanContextFromContext(ctx).Equal(sc) || s.TracerProvider() != h.TracerProvider {
				t.Error("the context does not carry the span")
			}
			s.SetAttributes(attribute.Int("c", 1))
			s.SetName("y")
			s.SetStatus(1, "")
			s.AddEvent("e")
			s.AddLink(link)
			s.RecordError(errors.New("e"))
			s.End()
			if len(asked) != 1 {
				t.Fatalf("sampler asked %d times", len(asked))
			}
			if p := asked[0]; p.Name != "x" || p.Kind != trace.SpanKindServer || p.TraceID != parent.TraceID() || len(p.Attributes) != 1 || len(p.Links) != 1 || !trace.SpanContextFromContext(p.ParentContext).Equal(parent) {
				t.Errorf("sampler asked with %+v", p)
			}
			spans := h.spans()
			if !tt.sampled {
				if len(spans) != 0 {
					t.Errorf("%d spans exported", len(spans))
				}
				return
			}
			if want := []attribute.KeyValue{attribute.Int("a", 2), attribute.Int("b", 1), attribute.Int("c", 1)}; len(spans) != 1 || !sameAttributes(spans[0].Attributes, want) {
				t.Errorf("exported %v", spans)
			}
		})
	}
	t.Run("new root", func(t *testing.T) {
		var asked []SamplingParameters
		h := newHarness(t, WithSampler(verdict{SamplingResult{}, &asked}))
		ctx, _ := remote(trace.FlagsSampled, "k=v")
		_, s := h.Tracer("a").Start(ctx, "x", trace.WithNewRoot())
		if trace.SpanContextFromContext(asked[0].ParentContext).IsValid() || s.SpanContext().TraceState().Len() != 0 {
			t.Errorf("sampler asked with %+v", asked[0])
		}
	})
}

// TestAnEmptyStateClears that of the parent, and one that is returned replaces it.
func TestAnEmptyStateClears(t *testing.T) {
	for _, decision := range []SamplingDecision{Drop, RecordAndSample} {
		for _, state := range []string{"", "new=1"} {
			ts, _ := trace.ParseTraceState(state)
			h := newHarness(t, WithSampler(verdict{SamplingResult{Decision: decision, Tracestate: ts}, new([]SamplingParameters)}))
			ctx, _ := remote(trace.FlagsSampled, "k=v")
			ctx, s := h.Tracer("a").Start(ctx, "x")
			_, child := h.Tracer("a").Start(ctx, "y")
			child.End()
			s.End()
			if got := s.SpanContext().TraceState().String(); got != state {
				t.Errorf("%v: tracestate %q, want %q", decision, got, state)
			}
			for _, s := range h.spans() {
				if s.TraceState.String() != state {
					t.Errorf("exported tracestate %q, want %q", s.TraceState.String(), state)
				}
			}
		}
	}
}

// TestFlagsAndStateAreHandedDown, through several generations, and with flags that this
// version does not know.
func TestFlagsAndStateAreHandedDown(t *testing.T) {
	h := newHarness(t, WithSampler(ParentBased(nil, WithRemoteParentNotSampled(AlwaysSample()))))
	ctx, _ := remote(0xf0, "k=v")
	ctx, s := h.Tracer("a").Start(ctx, "x")
	_, child := h.Tracer("a").Start(ctx, "y")
	child.End()
	s.End()
	for _, got := range h.spans() {
		if got.Flags != 0xf1 || got.TraceState.String() != "k=v" || got.Scope.Name != "a" {
			t.Errorf("flags %v, tracestate %q", got.Flags, got.TraceState.String())
		}
	}
	if s.SpanContext().TraceFlags() != 0xf1 || child.SpanContext().TraceFlags() != 0xf1 || s.TracerProvider() != h.TracerProvider {
		t.Errorf("span context %v", s.SpanContext())
	}
}

// TestResource: the collector's, unless the provider has one.
func TestResource(t *testing.T) {
	own := &ringtail.Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "own")}}
	for _, opts := range [][]Option{nil, {WithResource(own)}} {
		recorder := &ringtailtest.Recorder{}
		c, err := ringtail.New(recorder, ringtail.WithResource(&ringtail.Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "collector's")}}))
		if err != nil {
			t.Fatal(err)
		}
		h := &harness{NewTracerProvider(c, opts...), t, recorder}
		h.start().End()
		want := "collector's"
		if opts != nil {
			want = "own"
		}
		if got := h.only().Resource.ServiceName(); got != want {
			t.Errorf("exported with the resource of %q, want %q", got, want)
		}
		if err := h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	readable := WithSpanType(func(s *ReadWriteSpan) trace.Span { return s })
	p := discarding(t, readable)
	_, s := p.Tracer("a").Start(context.Background(), "x")
	if s := s.(*ReadWriteSpan); s.Resource() != p.collector.Resource() || s.Snapshot().Resource != s.Resource() {
		t.Error("a span that can be read has not the collector's resource")
	}
	_, s = NewTracerProvider(nil, readable).Tracer("a").Start(context.Background(), "x")
	if r := s.(*ReadWriteSpan).Resource(); r.ServiceName() == "" {
		t.Error("no resource without a collector")
	}
}

// counting makes ids by counting.
type counting struct{ n byte }

func (c *counting) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	c.n++
	id := trace.TraceID{c.n}
	return id, c.NewSpanID(ctx, id)
}

func (c *counting) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	c.n++
	return trace.SpanID{c.n}
}

type countingRandom struct{ counting }

func (*countingRandom) RandomTraceIDs() bool { return true }

func TestIDGenerator(t *testing.T) {
	for _, tt := range []struct {
		ids    IDGenerator
		random bool
	}{{&counting{}, false}, {&countingRandom{}, true}} {
		p := NewTracerProvider(nil, WithIDGenerator(tt.ids), WithIDGenerator(nil))
		ctx, root := p.Tracer("a").Start(context.Background(), "x")
		_, child := p.Tracer("a").Start(ctx, "x")
		if sc := root.SpanContext(); sc.TraceID() != (trace.TraceID{1}) || sc.SpanID() != (trace.SpanID{2}) || sc.IsRandom() != tt.random {
			t.Errorf("root %v", sc)
		}
		if sc := child.SpanContext(); sc.TraceID() != (trace.TraceID{1}) || sc.SpanID() != (trace.SpanID{3}) || sc.IsRandom() != tt.random {
			t.Errorf("child %v", sc)
		}
	}
}

// TestRandomIDs: ids are different whichever record they come from, and all of their
// bits are as often set as not.
func TestRandomIDs(t *testing.T) {
	const each = 1000
	traces, spans := map[trace.TraceID]bool{}, map[trace.SpanID]bool{}
	var ones [64]int
	generators := []*generator{nil}
	for range 8 {
		generators = append(generators, &records.New().(*record).ids)
	}
	for _, g := range generators {
		for range each {
			var id trace.TraceID
			var span trace.SpanID
			g.traceID(&id)
			g.spanID(&span)
			traces[id], spans[span] = true, true
			low := binary.BigEndian.Uint64(id[8:])
			for bit := range ones {
				ones[bit] += int(low >> bit & 1)
			}
		}
	}
	n := len(generators) * each
	if len(traces) != n || len(spans) != n {
		t.Errorf("%d trace ids and %d span ids of %d", len(traces), len(spans), n)
	}
	for bit, is := range ones {
		// Eight standard deviations: once in 10^15.
		if off := is - n/2; off*off > 64*n/4 {
			t.Errorf("bit %d of a trace id is set in %d of %d", bit, is, n)
		}
	}
}

// TestIDsAreDifferent: also where records go from goroutine to goroutine, and are
// thrown away meanwhile, or are not there because the sampler drops.
func TestIDsAreDifferent(t *testing.T) {
	const goroutines, each = 4, 2000
	for _, sampler := range []Sampler{AlwaysSample(), NeverSample(), TraceIDRatioBased(0.5)} {
		tr := NewTracerProvider(nil, WithSampler(sampler)).Tracer("a")
		var ids [goroutines][]trace.SpanContext
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				for i := range each {
					ctx, root := tr.Start(context.Background(), "x")
					_, child := tr.Start(ctx, "y")
					child.End()
					root.End()
					if child.SpanContext().TraceID() != root.SpanContext().TraceID() {
						t.Error("a child in another trace")
					}
					ids[g] = append(ids[g], root.SpanContext(), child.SpanContext())
					if g == 0 && i%500 == 0 {
						runtime.GC()
					}
				}
			})
		}
		wg.Wait()
		traces, spans := map[trace.TraceID]bool{}, map[trace.SpanID]bool{}
		for _, sc := range slices.Concat(ids[:]...) {
			traces[sc.TraceID()], spans[sc.SpanID()] = true, true
		}
		if len(traces) != goroutines*each || len(spans) != 2*goroutines*each {
			t.Errorf("%s: %d traces and %d spans", sampler.Description(), len(traces), len(spans))
		}
	}
}
