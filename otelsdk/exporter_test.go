package otelsdk

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// TestExporterKeepsTheContract: what NewExporter makes of an exporter of the SDK, also
// of one of ours, is an exporter as any other.
func TestExporterKeepsTheContract(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		ringtailtest.TestExporter(t, func() ringtail.Exporter { return NewExporter(tracetest.NewInMemoryExporter()) })
	})
	t.Run("there and back", func(t *testing.T) {
		ringtailtest.TestExporter(t, func() ringtail.Exporter { return NewExporter(NewSpanExporter(&ringtailtest.Recorder{})) })
	})
}

// TestThereAndBack: made-up spans pass through both conversions unchanged.
func TestThereAndBack(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	want := ringtailtest.Spans(seed, 300)
	batch, err := ringtailtest.NewBatch(want...)
	if err != nil {
		t.Fatal(err)
	}
	backend := &ringtailtest.Recorder{}
	if err := NewExporter(NewSpanExporter(backend)).Export(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	first, again := decode(batch), decode(backend.Batches()[0])
	if len(first) != 300 || len(again) != 300 {
		t.Fatalf("%d and %d spans", len(first), len(again))
	}
	byID := make(map[trace.SpanID]tracetest.SpanStub)
	for _, s := range again {
		byID[s.SpanContext().SpanID()] = tracetest.SpanStubFromReadOnlySpan(s)
	}
	for i, s := range first {
		stub := tracetest.SpanStubFromReadOnlySpan(s)
		if stub.Name != want[i].Name || stub.SpanContext.SpanID() != want[i].SpanID {
			t.Fatalf("span %d is %s", i, show(stub))
		}
		sameStubs(t, tracetest.SpanStubs{byID[stub.SpanContext.SpanID()]}, tracetest.SpanStubs{stub}, exact)
	}
}

// TestExporterBehindCollector: an exporter of the SDK is called by one goroutine at a
// time, and its errors are in the ledger.
func TestExporterBehindCollector(t *testing.T) {
	sink := &sink{}
	c, err := ringtail.New(NewExporter(sink), ringtail.LowLatency(), ringtail.WithBatchSpans(10), ringtail.WithResource(&ringtail.Resource{}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		s := &ringtail.Span{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1, byte(i >> 8), byte(i)}}
		if err := c.Submit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	sink.fail(errors.New("broken"))
	_ = c.TrySubmit(&ringtail.Span{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})
	if err := c.Shutdown(within(t)); err == nil {
		t.Error("Shutdown hides the loss")
	}
	s := c.Stats()
	if len(sink.spans) != 1000 || s.Exported != 1000 || s.Dropped.Of(ringtail.ReasonExport) != 1 || sink.shutdowns != 1 {
		t.Errorf("%v, %d spans are there, %d shutdowns", s, len(sink.spans), sink.shutdowns)
	}
	if sink.overlaps != 0 {
		t.Errorf("%d exports overlapped", sink.overlaps)
	}
}

// sink is an exporter of the SDK that keeps spans, as it may, and can fail.
type sink struct {
	mu        sync.Mutex
	inside    int
	overlaps  int
	spans     []sdktrace.ReadOnlySpan
	flushes   int
	shutdowns int
	err       error
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sink) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	s.mu.Lock()
	if s.inside++; s.inside > 1 {
		s.overlaps++
	}
	s.mu.Unlock()
	time.Sleep(time.Microsecond) // others get the chance to overlap
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside--
	if s.err == nil {
		s.spans = append(s.spans, spans...)
	}
	return s.err
}

func (s *sink) ForceFlush(context.Context) error { s.flushes++; return nil }
func (s *sink) Shutdown(context.Context) error   { s.shutdowns++; return nil }

// TestExporterFlush: an exporter that can be flushed is.
func TestExporterFlush(t *testing.T) {
	s := &sink{}
	if err := NewExporter(s).(ringtail.Flusher).Flush(t.Context()); err != nil || s.flushes != 1 {
		t.Errorf("%v, %d flushes", err, s.flushes)
	}
	if err := NewExporter(tracetest.NewNoopExporter()).(ringtail.Flusher).Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestExporterWaitsWithinContext: an export that hangs keeps others waiting, and no longer
// than their contexts.
func TestExporterWaitsWithinContext(t *testing.T) {
	backend := &ringtailtest.Recorder{}
	release := backend.Stall()
	defer release()
	e := NewExporter(NewSpanExporter(backend))
	batch, err := ringtailtest.NewBatch(ringtailtest.Spans(1, 3)...)
	if err != nil {
		t.Fatal(err)
	}
	hung := make(chan error, 1)
	go func() { hung <- e.Export(context.Background(), batch) }()
	if err := backend.Await(within(t), func(c ringtailtest.Counts) bool { return c.Running == 1 }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := e.Export(ctx, batch); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Export: %v", err)
	}
	if err := e.(ringtail.Flusher).Flush(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush: %v", err)
	}
	if err := e.Shutdown(ctx); err != nil || backend.Counts().Shutdowns != 1 {
		t.Errorf("Shutdown: %v, %d shutdowns", err, backend.Counts().Shutdowns)
	}
	release()
	if err := <-hung; err != nil {
		t.Error(err)
	}
}

// TestSpanExporterErrors: what is lost is told by reason, and the rest is delivered.
func TestSpanExporterErrors(t *testing.T) {
	huge := stub(1, trace.FlagsSampled)
	huge.Attributes = []attribute.KeyValue{attribute.String("k", strings.Repeat("x", 3<<20))}
	spans := []sdktrace.ReadOnlySpan{numbered(0), huge.Snapshot(), numbered(2), tracetest.SpanStub{Name: "no ids"}.Snapshot()}

	backend := &ringtailtest.Recorder{}
	e := NewSpanExporter(backend)
	losses := func(err error, want map[ringtail.Reason]uint64) {
		t.Helper()
		var drops ringtail.Drops
		for r, n := range want {
			drops[r] = n
		}
		if got := ringtail.Losses(err, len(spans)); got != drops {
			t.Errorf("%v: says %v, want %v", err, got, drops)
		}
	}
	losses(e.ExportSpans(t.Context(), spans), map[ringtail.Reason]uint64{ringtail.ReasonTooLarge: 1, ringtail.ReasonRejected: 1})
	if n := backend.Counts().Spans; n != 2 {
		t.Errorf("%d delivered, want 2", n)
	}
	backend.Fail(errors.New("broken"))
	losses(e.ExportSpans(t.Context(), spans), map[ringtail.Reason]uint64{
		ringtail.ReasonTooLarge: 1, ringtail.ReasonRejected: 1, ringtail.ReasonExport: 2})
	backend.Fail(&ringtail.ExportError{Spans: 1, Reason: ringtail.ReasonUnavailable})
	losses(e.ExportSpans(t.Context(), spans), map[ringtail.Reason]uint64{
		ringtail.ReasonTooLarge: 1, ringtail.ReasonRejected: 1, ringtail.ReasonUnavailable: 1})
	backend.Fail(nil)
	if err := e.ExportSpans(t.Context(), nil); err != nil || backend.Counts().Started != 3 {
		t.Errorf("nothing to export: %v, %d exports", err, backend.Counts().Started)
	}
	for range 2 {
		if err := e.Shutdown(t.Context()); err != nil || backend.Counts().Shutdowns != 1 {
			t.Errorf("Shutdown: %v, %d shutdowns", err, backend.Counts().Shutdowns)
		}
	}
	if err := e.ExportSpans(t.Context(), spans); !errors.Is(err, ringtail.ErrClosed) {
		t.Errorf("after Shutdown: %v", err)
	}
}

// TestManySpansAtOnce: a batch may be larger than the ring that it is encoded in, and
// exports may overlap.
func TestManySpansAtOnce(t *testing.T) {
	backend := &ringtailtest.Recorder{}
	e := NewSpanExporter(backend)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			var spans []sdktrace.ReadOnlySpan
			for i := range 3000 {
				s := stub(i, trace.FlagsSampled)
				s.Attributes = []attribute.KeyValue{attribute.String("k", strings.Repeat("x", 1000))}
				spans = append(spans, s.Snapshot())
			}
			if err := e.ExportSpans(t.Context(), spans); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c := backend.Counts(); c.Spans != 9000 || c.Batches != 3 {
		t.Errorf("%+v", c)
	}
}

func TestNilExportersPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"NewExporter": func() { NewExporter(nil) }, "NewSpanExporter": func() { NewSpanExporter(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s(nil) does not panic", name)
				}
			}()
			f()
		}()
	}
}
