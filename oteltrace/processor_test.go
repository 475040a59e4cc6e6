package oteltrace

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// listener is a processor that notes what it is told.
type listener struct {
	name  string
	calls *[]string // of all listeners of a test
	mu    *sync.Mutex

	start func(context.Context, *ReadWriteSpan)
	end   func(*ReadWriteSpan)
	hold  func(context.Context) error // of ForceFlush and Shutdown
}

func (l *listener) note(call string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.calls = append(*l.calls, l.name+" "+call)
}

func (l *listener) OnStart(ctx context.Context, s *ReadWriteSpan) {
	l.note("start " + s.Name())
	if l.start != nil {
		l.start(ctx, s)
	}
}

func (l *listener) OnEnd(s *ReadWriteSpan) {
	l.note("end " + s.Name())
	if l.end != nil {
		l.end(s)
	}
}

func (l *listener) ForceFlush(ctx context.Context) error { return l.wait(ctx, "flush") }
func (l *listener) Shutdown(ctx context.Context) error   { return l.wait(ctx, "shutdown") }

func (l *listener) wait(ctx context.Context, call string) error {
	l.note(call)
	if l.hold != nil {
		return l.hold(ctx)
	}
	return nil
}

// listeners returns two of them, and what they have been told.
func listeners() (a, b *listener, calls func() []string) {
	noted, mu := new([]string), new(sync.Mutex)
	return &listener{name: "a", calls: noted, mu: mu}, &listener{name: "b", calls: noted, mu: mu}, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(*noted)
	}
}

// TestProcessors: order, what they may do, and what the collector gets.
func TestProcessors(t *testing.T) {
	type key struct{}
	a, b, calls := listeners()
	a.start = func(ctx context.Context, s *ReadWriteSpan) {
		if ctx.Value(key{}) != 1 || trace.SpanContextFromContext(ctx).SpanID() != s.ParentContext().SpanID() {
			t.Error("OnStart does not get the context of Start")
		}
		s.SetAttributes(attribute.String("from", "a"))
	}
	a.end = func(s *ReadWriteSpan) {
		s.SetAttributes(attribute.String("late", "a"))
		if got := s.Snapshot(); s.IsRecording() || len(got.Attributes) != 2 || got.End.IsZero() || !got.End.Equal(s.EndTime()) {
			t.Errorf("at OnEnd: recording %v, %+v", s.IsRecording(), got)
		}
	}
	h := newHarness(t, WithSpanProcessor(a), WithSpanProcessor(nil), WithSpanProcessor(b))
	ctx, parent := h.Tracer("t").Start(context.WithValue(context.Background(), key{}, 1), "parent", trace.WithAttributes(attribute.Int("n", 1)))
	_, child := h.Tracer("t").Start(ctx, "child", trace.WithAttributes(attribute.Int("n", 2)))
	child.End()
	child.End()
	parent.End()
	if want := []string{"a start parent", "b start parent", "a start child", "b start child", "a end child", "b end child", "a end parent", "b end parent"}; !slices.Equal(calls(), want) {
		t.Errorf("calls %q\nwant %q", calls(), want)
	}
	spans := h.spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans exported, want 2", len(spans))
	}
	for _, s := range spans {
		if len(s.Attributes) != 2 || s.Attributes[1].Value.AsString() != "a" || s.TraceID != parent.SpanContext().TraceID() {
			t.Errorf("exported %+v", s)
		}
	}
	if err := h.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := h.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	got := calls()[8:]
	if want := []string{"a flush", "b flush", "a shutdown", "b shutdown"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

// TestProcessorsHearNothingAfterShutdown, but spans live on.
func TestProcessorsHearNothingAfterShutdown(t *testing.T) {
	a, _, calls := listeners()
	p := NewTracerProvider(nil, WithSpanProcessor(a))
	tracer := p.Tracer("t")
	_, s := tracer.Start(context.Background(), "x")
	if err := p.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.End()
	_, s = tracer.Start(context.Background(), "y")
	if !s.IsRecording() {
		t.Error("not recording")
	}
	s.End()
	if err := p.ForceFlush(context.Background()); err != nil {
		t.Error(err)
	}
	if want := []string{"a start x", "a shutdown"}; !slices.Equal(calls(), want) {
		t.Errorf("calls %q, want %q", calls(), want)
	}
}

// TestProcessorsAndSampling: what is recorded and not sampled reaches processors only.
func TestProcessorsAndSampling(t *testing.T) {
	for _, decision := range []SamplingDecision{Drop, RecordOnly, RecordAndSample} {
		a, _, calls := listeners()
		var asked []SamplingParameters
		h := newHarness(t, WithSpanProcessor(a), WithSampler(verdict{SamplingResult{Decision: decision, Attributes: []kv{attribute.Int("s", 1)}}, &asked}))
		s := h.start()
		if rw, ok := s.(*ReadWriteSpan); ok != (decision != Drop) || ok && len(rw.Snapshot().Attributes) != 1 {
			t.Errorf("%v: a %T", decision, s)
		}
		s.End()
		heard, exported := len(calls()), len(h.spans())
		if (heard == 2) != (decision != Drop) || (exported == 1) != (decision == RecordAndSample) {
			t.Errorf("%v: %d calls, %d exported", decision, heard, exported)
		}
	}
}

// wrapped is what an adapter may make of a span.
type wrapped struct {
	*ReadWriteSpan
	n int
}

func TestSpanType(t *testing.T) {
	a, _, _ := listeners()
	made := 0
	wrap := func(s *ReadWriteSpan) trace.Span {
		made++
		if made == 3 {
			return nil
		}
		return &wrapped{s, made}
	}
	a.start = func(_ context.Context, s *ReadWriteSpan) {
		if _, ok := s.Span().(*wrapped); !ok && made != 3 {
			t.Errorf("Span is a %T", s.Span())
		}
	}
	h := newHarness(t, WithSpanType(wrap), WithSpanProcessor(a))
	ctx1, s1 := h.Tracer("t").Start(context.Background(), "1")
	ctx2, s2 := h.Tracer("t").Start(ctx1, "2")
	_, s3 := h.Tracer("t").Start(ctx2, "3")
	if w, ok := s1.(*wrapped); !ok || w.n != 1 || trace.SpanFromContext(ctx1) != s1 {
		t.Errorf("a %T, and the context has a %T", s1, trace.SpanFromContext(ctx1))
	}
	if _, ok := s3.(*ReadWriteSpan); !ok {
		t.Errorf("a %T", s3)
	}
	_, other := h.Tracer("t").Start(ctx1, "root", trace.WithNewRoot())
	other.End()
	s3.End()
	s2.End()
	if got := s1.(*wrapped).ChildCount(); got != 1 {
		t.Errorf("%d children, want 1", got)
	}
	if got := s2.(*wrapped).ParentContext(); !got.Equal(s1.SpanContext()) {
		t.Errorf("parent %v", got)
	}
	cause := errors.New("cause")
	func() {
		defer func() {
			if v := recover(); v != cause {
				t.Errorf("recovered %v", v)
			}
		}()
		defer s1.End() // through the method that embedding makes
		panic(cause)
	}()
	if got := s1.(*wrapped).Snapshot(); len(got.Events) != 1 || got.Events[0].Name != "exception" {
		t.Errorf("events %v", got.Events)
	}
	if n := len(h.spans()); n != 4 {
		t.Errorf("%d exported", n)
	}
	// Without processors, too.
	if _, s := NewTracerProvider(nil, WithSpanType(wrap)).Tracer("t").Start(context.Background(), "x"); reflect.TypeOf(s) != reflect.TypeOf(s1) {
		t.Errorf("a %T", s)
	}
}

// TestSnapshot: it has all there is, at every time of a span's life, and is the caller's.
func TestSnapshot(t *testing.T) {
	limits := defaultSpanLimits()
	limits.EventCountLimit, limits.LinkCountLimit = 3, 3
	resource := &ringtail.Resource{Attributes: []kv{attribute.String("service.name", "s")}}
	a, _, _ := listeners()
	h := newHarness(t, WithSpanProcessor(a), WithRawSpanLimits(limits), WithResource(resource), WithResource(nil), quiet)
	ctx, parent := remote(trace.FlagsSampled, "k=v")
	_, ts := h.Tracer("scope", trace.WithInstrumentationVersion("1")).Start(ctx, "x", trace.WithSpanKind(trace.SpanKindServer))
	s := ts.(*ReadWriteSpan)
	for i := range 5 {
		s.SetAttributes(attribute.Int("a", i))
		s.AddEvent(fmt.Sprint(i), trace.WithAttributes(attribute.Int("e", i)))
		s.AddLink(trace.Link{SpanContext: parent, Attributes: []kv{attribute.Int("l", i)}})
	}
	s.SetStatus(codes.Error, "bad")
	s.RecordError(nil)
	live := s.Snapshot()
	check := func(got ringtail.Span) {
		t.Helper()
		if got.TraceID != parent.TraceID() || got.SpanID != s.SpanContext().SpanID() || got.ParentID != parent.SpanID() || !got.ParentRemote ||
			got.TraceState.String() != "k=v" || got.Flags != trace.FlagsSampled || got.Name != "x" || got.Kind != trace.SpanKindServer ||
			got.Status != (ringtail.Status{Code: codes.Error, Description: "bad"}) || got.Scope != s.Scope() || got.Scope.Version != "1" ||
			got.Resource != resource || got.Start.IsZero() || got.DroppedEvents != 2 || got.DroppedLinks != 2 {
			t.Errorf("%+v", got)
		}
		if len(got.Attributes) != 1 || got.Attributes[0] != attribute.Int("a", 4) || len(got.Events) != 3 || len(got.Links) != 3 {
			t.Fatalf("%+v", got)
		}
		for i := range 3 {
			if got.Events[i].Name != fmt.Sprint(i+2) || got.Events[i].Attributes[0] != attribute.Int("e", i+2) || got.Links[i].Attributes[0] != attribute.Int("l", i+2) {
				t.Errorf("event %v, link %v", got.Events[i], got.Links[i])
			}
		}
	}
	check(live)
	if !live.End.IsZero() || !s.EndTime().IsZero() {
		t.Error("a live span has an end")
	}
	// What the caller does with it is of no effect.
	live.Attributes[0] = attribute.Int("b", 1)
	live.Events[0], live.Links[0] = ringtail.Event{}, ringtail.Link{}
	live.Events[1].Attributes[0], live.Links[1].Attributes[0] = kv{}, kv{}
	check(s.Snapshot())
	s.End()
	s.SetName("late")
	ended := s.Snapshot()
	check(ended)
	if ended.End.Before(ended.Start) || ended.End.IsZero() || s.Name() != "x" || s.SpanKind() != trace.SpanKindServer || !s.StartTime().Equal(ended.Start) ||
		s.Status() != ended.Status || s.TracerProvider() != h.TracerProvider || s.Resource() != resource {
		t.Errorf("%+v", ended)
	}
	clear(ended.Events)
	check(s.Snapshot())
	exported := h.only()
	exported.Resource, exported.Scope = resource, s.Scope()
	check(*exported)
}

// TestForceFlushAndShutdownJoinErrors, of processors and of the collector.
func TestForceFlushAndShutdownJoinErrors(t *testing.T) {
	failed := errors.New("failed")
	for name, act := range map[string]func(*TracerProvider, context.Context) error{
		"flush": (*TracerProvider).ForceFlush, "shutdown": (*TracerProvider).Shutdown,
	} {
		t.Run(name, func(t *testing.T) {
			a, b, calls := listeners()
			a.hold = func(context.Context) error { return failed }
			b.hold = func(context.Context) error { panic("oh") }
			err := act(NewTracerProvider(nil, WithSpanProcessor(a), WithSpanProcessor(b)), context.Background())
			if !errors.Is(err, failed) || !strings.Contains(err.Error(), "panic: oh") {
				t.Errorf("error %v", err)
			}
			if want := []string{"a " + name, "b " + name}; !slices.Equal(calls(), want) {
				t.Errorf("calls %q, want %q", calls(), want)
			}
		})
		t.Run(name+" with processors that hang", func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			a, b, calls := listeners()
			a.hold = func(context.Context) error { <-release; return nil }
			recorder := &ringtailtest.Recorder{} // of a collector that exports only when it is told to
			h := &harness{NewTracerProvider(smallCollector(t, recorder, ringtail.WithInterval(time.Hour)), WithSpanProcessor(a), WithSpanProcessor(b)), t, recorder}
			defer h.collector.Shutdown(context.Background())
			h.start().End()
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			if err := act(h.TracerProvider, ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			// Neither the next processor nor the collector had to suffer.
			if want := []string{"a start span", "b start span", "a end span", "b end span", "a " + name, "b " + name}; !slices.Equal(calls(), want) {
				t.Errorf("calls %q, want %q", calls(), want)
			}
			if n := len(h.recorder.Spans()); n != 1 {
				t.Errorf("%d spans exported, want 1", n)
			}
		})
	}
}

// TestSecondShutdownWaits for the first, as long as its context lets it.
func TestSecondShutdownWaits(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	failed := errors.New("failed")
	a, _, calls := listeners()
	a.hold = func(context.Context) error { close(begun); <-release; return failed }
	p := NewTracerProvider(nil, WithSpanProcessor(a))
	first := make(chan error)
	go func() { first <- p.Shutdown(context.Background()) }()
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	if err := <-first; !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	if err := p.Shutdown(ctx); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	if len(calls()) != 1 {
		t.Errorf("calls %q", calls())
	}
}
