package otelsdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// ourShop makes the shop's spans with our provider.
func ourShop(t *testing.T, opts ...oteltrace.Option) {
	t.Helper()
	p := oteltrace.NewTracerProvider(nil, append([]oteltrace.Option{
		WithResource(sdkResource), oteltrace.WithIDGenerator(&counting{}),
		oteltrace.WithRawSpanLimits(oteltrace.SpanLimits{
			AttributeValueLengthLimit: 20, AttributeCountLimit: 8, EventCountLimit: 3, LinkCountLimit: 3,
			AttributePerEventCountLimit: 2, AttributePerLinkCountLimit: 2,
		}),
	}, opts...)...)
	shop(p)
	if err := p.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
}

// TestPluginsOfTheSDK: processors and exporters of the SDK get from our provider the
// spans that they get from the official one.
func TestPluginsOfTheSDK(t *testing.T) {
	want := official()
	for name, plug := range map[string]func(sdktrace.SpanExporter) oteltrace.Option{
		"official batch processor": func(e sdktrace.SpanExporter) oteltrace.Option {
			return WithSpanProcessor(sdktrace.NewBatchSpanProcessor(e))
		},
		"WithSyncer":  WithSyncer,
		"WithBatcher": func(e sdktrace.SpanExporter) oteltrace.Option { return WithBatcher(e) },
	} {
		t.Run(name, func(t *testing.T) {
			memory := tracetest.NewInMemoryExporter()
			ourShop(t, plug(memory))
			sameStubs(t, ordered(memory.GetSpans()), want, exact)
		})
	}
	t.Run("SpanRecorder", func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		ourShop(t, WithSpanProcessor(recorder))
		sameStubs(t, ordered(tracetest.SpanStubsFromReadOnlySpans(recorder.Ended())), want, exact)
		var started []sdktrace.ReadOnlySpan
		for _, s := range recorder.Started() {
			started = append(started, s)
		}
		sameStubs(t, ordered(tracetest.SpanStubsFromReadOnlySpans(started)), want, exact)
	})
	t.Run("two processors and a collector", func(t *testing.T) {
		backend := &ringtailtest.Recorder{}
		c, err := ringtail.New(backend)
		if err != nil {
			t.Fatal(err)
		}
		first, second := tracetest.NewSpanRecorder(), tracetest.NewInMemoryExporter()
		p := oteltrace.NewTracerProvider(c, WithSpanProcessor(first), WithSyncer(second), WithResource(sdkResource))
		shop(p)
		if err := p.Shutdown(within(t)); err != nil {
			t.Fatal(err)
		}
		if len(first.Ended()) != 4 || backend.Counts().Spans != 4 {
			t.Errorf("%d, %d spans", len(first.Ended()), backend.Counts().Spans)
		}
		if first.Ended()[0].Resource() != first.Ended()[1].Resource() {
			t.Error("each span has a resource of its own")
		}
	})
}

// TestUsersSpans: what tracers and contexts hand out is readable, live and ended.
func TestUsersSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	for name, opt := range map[string]oteltrace.Option{
		"WithReadableSpans": WithReadableSpans(),
		"WithSpanProcessor": WithSpanProcessor(recorder),
	} {
		t.Run(name, func(t *testing.T) {
			p := oteltrace.NewTracerProvider(nil, opt, WithResource(sdkResource))
			ctx, span := p.Tracer("t").Start(t.Context(), "parent", trace.WithAttributes(attribute.Int("a", 1)))
			s, ok := span.(sdktrace.ReadWriteSpan)
			if _, too := trace.SpanFromContext(ctx).(sdktrace.ReadOnlySpan); !ok || !too {
				t.Fatalf("%T, %T", span, trace.SpanFromContext(ctx))
			}
			if name == "WithSpanProcessor" && recorder.Started()[0] != s {
				t.Error("processors get another span than users")
			}
			_, child := p.Tracer("t").Start(ctx, "child")
			span.SetAttributes(attribute.Int("b", 2))
			if got := showAttributes(s.Attributes()); got != "a:INT64=1 b:INT64=2" {
				t.Errorf("attributes %s", got)
			}
			if s.ChildSpanCount() != 1 || !s.EndTime().IsZero() || s.Name() != "parent" || !s.Resource().Equal(sdkResource) {
				t.Errorf("%s", show(tracetest.SpanStubFromReadOnlySpan(s)))
			}
			if got := child.(sdktrace.ReadOnlySpan).Parent(); !got.Equal(span.SpanContext()) {
				t.Errorf("parent is %v, want %v", got, span.SpanContext())
			}
			span.End()
			span.SetAttributes(attribute.Int("c", 3))
			if len(s.Attributes()) != 2 || s.EndTime().IsZero() {
				t.Errorf("after End: %s", show(tracetest.SpanStubFromReadOnlySpan(s)))
			}
		})
	}
	if n := len(recorder.Started()); n != 2 {
		t.Errorf("the recorder has %d spans", n)
	}
}

// TestPanicIsRecorded: End recovers in a deferred call also through the SDK's interface.
func TestPanicIsRecorded(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	p := oteltrace.NewTracerProvider(nil, WithSpanProcessor(recorder))
	func() {
		defer func() {
			if recover() != "oops" {
				t.Error("the panic does not go on")
			}
		}()
		_, s := p.Tracer("t").Start(t.Context(), "s")
		defer s.End()
		panic("oops")
	}()
	if e := recorder.Ended()[0].Events(); len(e) != 1 || e[0].Name != "exception" {
		t.Errorf("events %v", e)
	}
}

// changing is a processor that writes to spans as they start.
type changing struct{ sdktrace.SpanProcessor }

func (changing) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	s.SetAttributes(attribute.String("by", s.Name()+" "+s.InstrumentationScope().Name))
}

func TestProcessorChangesSpans(t *testing.T) {
	memory := tracetest.NewInMemoryExporter()
	p := oteltrace.NewTracerProvider(nil, WithSpanProcessor(changing{sdktrace.NewSimpleSpanProcessor(memory)}))
	_, s := p.Tracer("t").Start(t.Context(), "s")
	s.End()
	if got := showAttributes(memory.GetSpans()[0].Attributes); got != "by:STRING=s t" {
		t.Error(got)
	}
	if r := memory.GetSpans()[0].Resource; r.Len() < 5 { // nobody has set one
		t.Errorf("resource %v", r)
	}
}

// TestOwnSpanType: a user's own type of spans, set last, takes nothing from processors.
func TestOwnSpanType(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	type own struct{ *oteltrace.ReadWriteSpan }
	p := oteltrace.NewTracerProvider(nil, WithSpanProcessor(recorder),
		oteltrace.WithSpanType(func(s *oteltrace.ReadWriteSpan) trace.Span { return own{s} }))
	_, s := p.Tracer("t").Start(t.Context(), "s")
	s.End()
	if len(recorder.Ended()) != 1 || recorder.Ended()[0].Name() != "s" || len(recorder.Started()) != 1 {
		t.Errorf("%v", recorder.Ended())
	}
}

// TestSamplers: a sampler decides the same on either side.
func TestSamplers(t *testing.T) {
	state, _ := trace.ParseTraceState("a=1")
	attrs := []attribute.KeyValue{attribute.Int("sampled", 1)}
	for _, decision := range []sdktrace.SamplingDecision{sdktrace.Drop, sdktrace.RecordOnly, sdktrace.RecordAndSample, 99} {
		asked := 0
		official := samplerFunc(func(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
			asked++
			if p.Name != "s" || p.Kind != trace.SpanKindServer || len(p.Attributes) != 1 || len(p.Links) != 1 || !p.TraceID.IsValid() ||
				p.ParentContext == nil {
				t.Errorf("parameters %+v", p)
			}
			return sdktrace.SamplingResult{Decision: decision, Attributes: attrs, Tracestate: state}
		})
		if NewSDKSampler(NewSampler(official)).(samplerFunc) == nil {
			t.Error("there and back is another one")
		}
		// Our form of it, as the SDK's, as ours: both conversions are asked.
		both := NewSDKSampler(named{NewSampler(official)})
		recorder := tracetest.NewSpanRecorder()
		p := oteltrace.NewTracerProvider(nil, WithSampler(unknown{both}), WithSpanProcessor(recorder))
		_, s := p.Tracer("t").Start(t.Context(), "s", trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.Int("a", 1)), trace.WithLinks(trace.Link{SpanContext: trace.NewSpanContext(
				trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})}))
		s.End()
		recording, sampled := decision == sdktrace.RecordOnly || decision == sdktrace.RecordAndSample, decision == sdktrace.RecordAndSample
		if asked != 1 || s.SpanContext().IsSampled() != sampled || len(recorder.Ended()) != map[bool]int{true: 1}[recording] ||
			s.SpanContext().TraceState().String() != "a=1" {
			t.Errorf("decision %d: asked %d times, sampled %v, %d recorded", decision, asked, s.SpanContext().IsSampled(), len(recorder.Ended()))
		}
		if recording && !slices.Contains(recorder.Ended()[0].Attributes(), attrs[0]) {
			t.Errorf("attributes %v", recorder.Ended()[0].Attributes())
		}
	}
	if got := NewSampler(sdktrace.TraceIDRatioBased(.5)).Description(); got != "TraceIDRatioBased{0.5}" {
		t.Error(got)
	}
	// Sampled or not, by trace id, as the SDK does it.
	ours, theirs := NewSDKSampler(oteltrace.TraceIDRatioBased(.3)), sdktrace.TraceIDRatioBased(.3)
	for i := range 1000 {
		p := sdktrace.SamplingParameters{ParentContext: t.Context(), TraceID: trace.TraceID{1, 8: byte(i * 37), 9: byte(i)}}
		if a, b := ours.ShouldSample(p).Decision, theirs.ShouldSample(p).Decision; a != b {
			t.Fatalf("%v: %v and %v", p.TraceID, a, b)
		}
	}
}

type samplerFunc func(sdktrace.SamplingParameters) sdktrace.SamplingResult

func (f samplerFunc) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult { return f(p) }
func (f samplerFunc) Description() string                                                { return "samplerFunc" }

// named and unknown hide from a conversion that it is undone.
type (
	named   struct{ oteltrace.Sampler }
	unknown struct{ sdktrace.Sampler }
)

func TestNothingToAdd(t *testing.T) {
	p := oteltrace.NewTracerProvider(nil, WithSpanProcessor(nil), WithSampler(nil), WithResource(nil))
	_, s := p.Tracer("t").Start(t.Context(), "s")
	if _, readable := s.(sdktrace.ReadOnlySpan); readable || !s.SpanContext().IsSampled() {
		t.Errorf("%T", s)
	}
}

func TestNewResource(t *testing.T) {
	r := NewResource(sdkResource)
	if back := newResource(r); !back.Equal(sdkResource) || back.SchemaURL() != sdkResource.SchemaURL() {
		t.Errorf("%v", back)
	}
	for _, empty := range []*resource.Resource{nil, resource.Empty()} {
		if r := NewResource(empty); r == nil || r.SchemaURL != "" || len(r.Attributes) != 0 {
			t.Errorf("%v", r)
		}
	}
}

// TestConcurrentReads is for the race detector: a span is read while it is written to
// and ends.
func TestConcurrentReads(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	memory := tracetest.NewInMemoryExporter()
	p := oteltrace.NewTracerProvider(nil, WithSpanProcessor(recorder), WithBatcher(memory))
	var wg sync.WaitGroup
	for range 50 {
		ctx, s := p.Tracer("t").Start(t.Context(), "s")
		for g := range 3 {
			wg.Go(func() {
				for i := range 20 {
					s.SetAttributes(attribute.Int(fmt.Sprint(g), i))
					s.AddEvent("e")
					_ = show(tracetest.SpanStubFromReadOnlySpan(s.(sdktrace.ReadOnlySpan)))
					if g == 2 && i == 10 {
						s.End()
					}
					_, c := p.Tracer("t").Start(ctx, "c")
					c.End()
				}
			})
		}
	}
	wg.Wait()
	if err := errors.Join(p.ForceFlush(within(t)), p.Shutdown(within(t))); err != nil {
		t.Fatal(err)
	}
	if n := len(recorder.Ended()); n != 50+50*60 {
		t.Errorf("%d spans ended", n)
	}
}
