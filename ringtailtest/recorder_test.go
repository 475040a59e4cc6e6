package ringtailtest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

func batch(t *testing.T, seed uint64, n int) *ringtail.Batch {
	t.Helper()
	b, err := ringtailtest.NewBatch(ringtailtest.Spans(seed, n)...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecorderConforms(t *testing.T) {
	ringtailtest.TestExporter(t, func() ringtail.Exporter { return new(ringtailtest.Recorder) })
}

func TestNewBatchKeepsSpansAndResources(t *testing.T) {
	a, b := ringtailtest.Spans(1, 25), ringtailtest.Spans(2, 3000)
	got, err := ringtailtest.NewBatch(append(a, b...)...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() != 3025 {
		t.Errorf("%d spans, want 3025", got.Len())
	}
	want := append(a, b...)
	i := 0
	for s := range got.Spans() {
		if s.SpanID != want[i].SpanID || s.Name != want[i].Name || s.Resource.ServiceName() != "made-up" {
			t.Fatalf("span %d is %v %q of %q", i, s.SpanID, s.Name, s.Resource.ServiceName())
		}
		i++
	}
	if _, err := ringtailtest.NewBatch(new(ringtail.Span)); !errors.Is(err, ringtail.ErrInvalidSpan) {
		t.Errorf("a span without ids: %v, want %v", err, ringtail.ErrInvalidSpan)
	}
}

func TestRecorderKeepsWhatItTakes(t *testing.T) {
	r := new(ringtailtest.Recorder)
	mine := batch(t, 1, 12)
	if err := r.Export(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	clear(mine.Bytes()) // the batch is the caller's again
	boom := errors.New("boom")
	r.FailNext(1, boom)
	if err := r.Export(t.Context(), batch(t, 2, 5)); err != boom {
		t.Errorf("Export: %v, want %v", err, boom)
	}
	if err := r.Export(t.Context(), batch(t, 3, 3)); err != nil {
		t.Error(err)
	}
	if got := r.Counts(); got != (ringtailtest.Counts{Started: 3, Batches: 2, Spans: 15}) {
		t.Errorf("counts: %+v", got)
	}
	if spans := r.Spans(); len(spans) != 15 || spans[0].SpanID != ringtailtest.Spans(1, 1)[0].SpanID {
		t.Errorf("%d spans", len(spans))
	}
	if len(r.Requests()) != 2 {
		t.Errorf("%d requests, want 2", len(r.Requests()))
	}
}

func TestRecorderBlocksAndStalls(t *testing.T) {
	r := new(ringtailtest.Recorder)
	release := r.Block()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Export(ctx, batch(t, 1, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("blocked Export: %v, want %v", err, context.Canceled)
		}
	})
	running := func(n int) func(ringtailtest.Counts) bool {
		return func(c ringtailtest.Counts) bool { return c.Running == n }
	}
	if err := r.Await(t.Context(), running(1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	wg.Wait()
	release()

	release = r.Stall()
	wg.Go(func() {
		if err := r.Export(ctx, batch(t, 1, 1)); err != nil {
			t.Errorf("stalled Export: %v, want nil", err)
		}
	})
	if err := r.Await(t.Context(), running(1)); err != nil {
		t.Fatal(err)
	}
	if err := r.Await(ctx, running(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("Await: %v, want %v", err, context.Canceled)
	}
	release()
	wg.Wait()

	r.Panic("boom")
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("panic %v, want boom", p)
			}
		}()
		_ = r.Export(t.Context(), batch(t, 1, 1))
	}()
	if n := r.Counts().Running; n != 0 {
		t.Errorf("%d exports running after all have ended", n)
	}
}

// A collector under test, and the spans that came out of it.
func ExampleRecorder() {
	recorder := new(ringtailtest.Recorder)
	collector, err := ringtail.New(recorder, ringtail.LowLatency())
	if err != nil {
		fmt.Println(err)
		return
	}
	span := *ringtailtest.Spans(1, 1)[0]
	span.Name = "GET /users"
	_ = collector.TrySubmit(&span)
	_ = collector.Shutdown(context.Background())
	for _, s := range recorder.Spans() {
		fmt.Println(s.Name)
	}
	// Output: GET /users
}
