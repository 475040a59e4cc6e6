package otelsdk

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// counting is an id generator of the SDK that makes the same ids each time.
type counting struct{ n byte }

func (g *counting) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	g.n++
	return trace.TraceID{1, 15: g.n}, trace.SpanID{2, 7: g.n}
}

func (g *counting) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	g.n++
	return trace.SpanID{3, 7: g.n}
}

var sdkResource = resource.NewWithAttributes("https://example.com/resource",
	attribute.String("service.name", "shop"), attribute.Int("process.pid", 7))

// shop makes spans of every kind, at fixed times.
func shop(provider trace.TracerProvider) {
	at := func(ms int) time.Time { return time.Unix(1_700_000_000, int64(ms)*1e6) }
	plain := provider.Tracer("plain")
	full := provider.Tracer("full", trace.WithInstrumentationVersion("1.2"), trace.WithSchemaURL("https://example.com/scope"),
		trace.WithInstrumentationAttributes(attribute.String("a", "b"), attribute.Bool("c", true)))
	state, err := trace.ParseTraceState("vendor=1,other=2")
	if err != nil {
		panic(err)
	}
	remote := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{9}, SpanID: trace.SpanID{8}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})

	ctx, root := plain.Start(context.Background(), "root", trace.WithTimestamp(at(0)), trace.WithSpanKind(trace.SpanKindServer))
	root.SetAttributes(attribute.String("s", "é"), attribute.Int64("i", -5), attribute.Float64("f", 1.5), attribute.Bool("b", true),
		attribute.StringSlice("ss", []string{"x", ""}), attribute.Int64Slice("is", []int64{1, 2}),
		attribute.Float64Slice("fs", []float64{.5}), attribute.BoolSlice("bs", []bool{true, false}))
	_, child := full.Start(ctx, "child", trace.WithTimestamp(at(1)), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(trace.Link{SpanContext: remote, Attributes: []attribute.KeyValue{attribute.Int("n", 1)}}))
	child.AddEvent("e", trace.WithTimestamp(at(2)), trace.WithAttributes(attribute.String("k", "v")))
	child.RecordError(errors.New("failed"), trace.WithTimestamp(at(3)))
	child.SetStatus(codes.Error, "failed")
	child.End(trace.WithTimestamp(at(4)))
	_, ok := full.Start(ctx, "ok", trace.WithTimestamp(at(5)))
	ok.SetStatus(codes.Ok, "")
	ok.End(trace.WithTimestamp(at(6)))
	root.End(trace.WithTimestamp(at(7)))

	_, far := plain.Start(trace.ContextWithRemoteSpanContext(context.Background(), remote), "far", trace.WithTimestamp(at(8)),
		trace.WithSpanKind(trace.SpanKindConsumer))
	for range 5 { // two are beyond the limit
		far.AddEvent("tick", trace.WithTimestamp(at(9)), trace.WithAttributes(attribute.Int("a", 1), attribute.Int("b", 2), attribute.Int("c", 3)))
		far.AddLink(trace.Link{SpanContext: remote, Attributes: []attribute.KeyValue{attribute.Int("a", 1), attribute.Int("b", 2), attribute.Int("c", 3)}})
	}
	for _, k := range strings.Split("abcdefghijkl", "") {
		far.SetAttributes(attribute.String(k, "longer than the limit"))
	}
	far.End(trace.WithTimestamp(at(10)))
}

var shopLimits = sdktrace.SpanLimits{
	AttributeValueLengthLimit: 20, AttributeCountLimit: 8, EventCountLimit: 3, LinkCountLimit: 3,
	AttributePerEventCountLimit: 2, AttributePerLinkCountLimit: 2,
}

func officialShop(processor sdktrace.SpanProcessor) {
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor), sdktrace.WithResource(sdkResource),
		sdktrace.WithIDGenerator(&counting{}), sdktrace.WithRawSpanLimits(shopLimits))
	shop(p)
	if err := p.ForceFlush(context.Background()); err != nil {
		panic(err)
	}
}

// official returns the stubs of the shop's spans by the official processor.
func official() tracetest.SpanStubs {
	memory := tracetest.NewInMemoryExporter()
	officialShop(sdktrace.NewBatchSpanProcessor(memory))
	return ordered(memory.GetSpans())
}

func ordered(stubs tracetest.SpanStubs) tracetest.SpanStubs {
	slices.SortStableFunc(stubs, func(a, b tracetest.SpanStub) int { return strings.Compare(a.Name, b.Name) })
	return stubs
}

// TestSameAsOfficial: an exporter sees the same spans behind our processor.
func TestSameAsOfficial(t *testing.T) {
	want := official()
	if len(want) != 4 {
		t.Fatalf("%d spans", len(want))
	}
	t.Run("typed", func(t *testing.T) {
		memory := tracetest.NewInMemoryExporter()
		p := NewBatchSpanProcessor(memory)
		officialShop(p)
		sameStubs(t, ordered(memory.GetSpans()), want, exact)
	})
	t.Run("encoded", func(t *testing.T) {
		memory := tracetest.NewInMemoryExporter()
		officialShop(NewBatchSpanProcessor(NewSpanExporter(NewExporter(memory))))
		sameStubs(t, ordered(memory.GetSpans()), want, viaOTLP)
	})
	for name, processor := range map[string]func(sdktrace.SpanExporter) sdktrace.SpanProcessor{
		"our exporter, official simple processor": func(e sdktrace.SpanExporter) sdktrace.SpanProcessor {
			return sdktrace.NewSimpleSpanProcessor(e)
		},
		"our exporter, official batch processor": func(e sdktrace.SpanExporter) sdktrace.SpanProcessor {
			return sdktrace.NewBatchSpanProcessor(e)
		},
	} {
		t.Run(name, func(t *testing.T) {
			memory := tracetest.NewInMemoryExporter()
			officialShop(processor(NewSpanExporter(NewExporter(memory))))
			sameStubs(t, ordered(memory.GetSpans()), want, viaOTLP)
		})
	}
}

// What a comparison allows for.
const (
	exact   = iota
	viaOTLP // what OTLP does not carry is not there
)

func sameStubs(t *testing.T, got, want tracetest.SpanStubs, mode int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d spans, want %d", len(got), len(want))
	}
	for i := range want {
		g, w := normal(got[i]), normal(want[i])
		if mode == viaOTLP {
			g.ChildSpanCount, w.ChildSpanCount = 0, 0
			g.Parent, w.Parent = g.Parent.WithTraceFlags(0).WithTraceState(trace.TraceState{}), w.Parent.WithTraceFlags(0).WithTraceState(trace.TraceState{})
		}
		gr, wr := g.Resource, w.Resource
		if !gr.Equal(wr) || gr.SchemaURL() != wr.SchemaURL() {
			t.Errorf("%s: resource is %v (%s), want %v (%s)", w.Name, gr, gr.SchemaURL(), wr, wr.SchemaURL())
		}
		if a, b := show(g), show(w); a != b {
			t.Errorf("%s:\n got %s\nwant %s", w.Name, a, b)
		}
	}
}

func TestResourcesAndScopesAreGrouped(t *testing.T) {
	other := resource.NewSchemaless(attribute.String("service.name", "other"))
	var spans []sdktrace.ReadOnlySpan
	for i := range 40 {
		s := stub(i, trace.FlagsSampled)
		s.Resource = []*resource.Resource{sdkResource, other, nil}[i%3]
		s.InstrumentationScope.Name = []string{"a", "b"}[i/3%2]
		spans = append(spans, s.Snapshot())
	}
	backend := &ringtailtest.Recorder{}
	if err := NewSpanExporter(backend).ExportSpans(t.Context(), spans); err != nil {
		t.Fatal(err)
	}
	if n := len(backend.Batches()); n != 1 {
		t.Fatalf("%d batches", n)
	}
	type group struct{ service, scope string }
	last, groups := group{"-", "-"}, 0
	seen := make(map[int]bool)
	for _, s := range backend.Spans() {
		n := numberOf(s.SpanID)
		seen[n] = true
		g := group{s.Resource.ServiceName(), s.Scope.Name}
		if want := (group{[]string{"shop", "other", ""}[n%3], []string{"a", "b"}[n/3%2]}); g != want {
			t.Errorf("span %d is of %v, want %v", n, g, want)
		}
		if g != last {
			last = g
			groups++
		}
	}
	if len(seen) != 40 || groups != 6 {
		t.Errorf("%d spans in %d groups, want 40 in 6", len(seen), groups)
	}
}
