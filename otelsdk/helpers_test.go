package otelsdk

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the tests make a lot of trouble
	os.Exit(m.Run())
}

// patience ends a wait for something that never comes. Nothing is measured by it.
const patience = 30 * time.Second

// seeded returns a source of random numbers and prints how to get it again.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// hidden keeps the processor from knowing one of our exporters.
type hidden struct{ sdktrace.SpanExporter }

// paths are the two ways through a processor, to one kind of backend.
var paths = map[string]func(*SpanExporter) sdktrace.SpanExporter{
	"encoded": func(e *SpanExporter) sdktrace.SpanExporter { return e },
	"typed":   func(e *SpanExporter) sdktrace.SpanExporter { return hidden{e} },
}

func onBothPaths(t *testing.T, f func(t *testing.T, start func(...sdktrace.BatchSpanProcessorOption) *harness)) {
	for name, wrap := range paths {
		t.Run(name, func(t *testing.T) {
			f(t, func(opts ...sdktrace.BatchSpanProcessorOption) *harness { return start(t, wrap, opts...) })
		})
	}
}

// harness is a processor and its backend.
type harness struct {
	*BatchSpanProcessor
	t       testing.TB
	backend *ringtailtest.Recorder
}

func start(t testing.TB, wrap func(*SpanExporter) sdktrace.SpanExporter, opts ...sdktrace.BatchSpanProcessorOption) *harness {
	h := &harness{t: t, backend: &ringtailtest.Recorder{}}
	h.BatchSpanProcessor = NewBatchSpanProcessor(wrap(NewSpanExporter(h.backend)), opts...).(*BatchSpanProcessor)
	return h
}

// within returns a context that ends a test which hangs.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (h *harness) end(first, n int) {
	for i := range n {
		h.OnEnd(numbered(first + i))
	}
}

func (h *harness) mustFlush() {
	h.t.Helper()
	if err := h.ForceFlush(within(h.t)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) mustShutdown() {
	h.t.Helper()
	if err := h.Shutdown(within(h.t)); err != nil {
		h.t.Fatal(err)
	}
}

// await waits until the backend has so many spans.
func (h *harness) await(spans int) {
	h.t.Helper()
	if err := h.backend.Await(within(h.t), func(c ringtailtest.Counts) bool { return c.Spans >= spans }); err != nil {
		h.t.Fatalf("%d spans did not come: %v", spans, h.Stats())
	}
}

// awaitExport waits until the backend is busy.
func (h *harness) awaitExport() {
	h.t.Helper()
	if err := h.backend.Await(within(h.t), func(c ringtailtest.Counts) bool { return c.Running > 0 }); err != nil {
		h.t.Fatal("no export has begun")
	}
}

// delivered returns the numbers of the spans that the backend has.
func (h *harness) delivered() []int {
	var out []int
	for _, s := range h.backend.Spans() {
		out = append(out, numberOf(s.SpanID))
	}
	slices.Sort(out)
	return out
}

// wantAll checks that the backend has the spans from 0 to n-1, each once, and that the
// ledger says so.
func (h *harness) wantAll(n int) {
	h.t.Helper()
	got := h.delivered()
	if len(got) != n || n > 0 && (got[0] != 0 || got[n-1] != n-1 || len(slices.Compact(got)) != n) {
		h.t.Errorf("%d spans are delivered, want %d, each once", len(got), n)
	}
	h.wantStats(n, n, nil)
}

func (h *harness) wantStats(submitted, exported int, dropped map[ringtail.Reason]int) {
	h.t.Helper()
	s := h.Stats()
	var want ringtail.Drops
	for r, n := range dropped {
		want[r] = uint64(n)
	}
	if s.Submitted != uint64(submitted) || s.Exported != uint64(exported) || s.Dropped != want ||
		s.InFlight != uint64(submitted-exported)-want.Total() {
		h.t.Errorf("%v; want %d submitted, %d exported, %v dropped", s, submitted, exported, dropped)
	}
}

// numbered returns a small span whose id is n.
func numbered(n int) sdktrace.ReadOnlySpan { return stub(n, trace.FlagsSampled).Snapshot() }

func stub(n int, flags trace.TraceFlags) tracetest.SpanStub {
	var id trace.SpanID
	binary.BigEndian.PutUint64(id[:], uint64(n)+1)
	return tracetest.SpanStub{
		Name: "work",
		SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: id, TraceFlags: flags,
		}),
		StartTime: time.Unix(1, 0), EndTime: time.Unix(2, 0),
	}
}

func numberOf(id trace.SpanID) int { return int(binary.BigEndian.Uint64(id[:])) - 1 }
