package ringtail

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// badError panics when it is asked anything.
type badError struct{}

func (badError) Error() string        { panic("Error") }
func (badError) Unwrap() error        { panic("Unwrap") }
func (badError) Is(error) bool        { panic("Is") }
func (e *pointerError) Error() string { return e.text }

type pointerError struct{ text string }

// TestExporterAnswers: whatever an exporter answers, the ledger stays in balance.
func TestExporterThatEndsItsGoroutine(t *testing.T) {
	n := 0 // exports so far
	e := &backend{behave: func(_ context.Context, b *Batch) (int, error) {
		if n++; n%2 == 1 {
			runtime.Goexit()
		}
		return b.Len(), nil
	}}
	c := start(t, e, WithConcurrentExports(1), WithBatchSpans(5), WithInterval(time.Hour))
	for n := range uint64(20) {
		c.TrySubmit(numbered(n))
	}
	if err := c.Flush(within30s(t)); err != nil {
		t.Fatal(err)
	}
	s := c.Stats()
	balance(t, s)
	if s.Exported != 10 || s.Dropped.Of(ReasonPanic) != 10 || s.Exporting != 0 {
		t.Errorf("%v, exporting %d", s, s.Exporting)
	}
}

func TestExporterAnswers(t *testing.T) {
	part := func(n int, r Reason) error { return &ExportError{Spans: n, Reason: r, Err: errors.New("no")} }
	for _, test := range []struct {
		name string
		err  error
		want map[Reason]uint64 // of ten spans
	}{
		{"all", nil, nil},
		{"none", errors.New("no"), map[Reason]uint64{ReasonExport: 10}},
		{"timeout", fmt.Errorf("late: %w", context.DeadlineExceeded), map[Reason]uint64{ReasonTimeout: 10}},
		{"some", part(3, ReasonRejected), map[Reason]uint64{ReasonRejected: 3}},
		{"wrapped", fmt.Errorf("outer: %w", part(3, ReasonRejected)), map[Reason]uint64{ReasonRejected: 3}},
		{"joined", errors.Join(part(3, ReasonRejected), errors.New("and"), part(4, ReasonTimeout)), map[Reason]uint64{ReasonRejected: 3, ReasonTimeout: 4}},
		{"negative", part(-5, ReasonRejected), nil},
		{"too many", part(1000, ReasonRejected), map[Reason]uint64{ReasonRejected: 10}},
		{"too many together", errors.Join(part(8, ReasonRejected), part(math.MaxInt/2, ReasonTimeout), part(math.MaxInt/2, ReasonTimeout)), map[Reason]uint64{ReasonRejected: 8, ReasonTimeout: 2}},
		{"no such reason", part(2, 200), map[Reason]uint64{ReasonExport: 2}},
		{"no reason", &ExportError{Spans: 2}, map[Reason]uint64{ReasonExport: 2}},
		{"nil ExportError", (*ExportError)(nil), map[Reason]uint64{ReasonExport: 10}},
		{"nil pointer", (*pointerError)(nil), map[Reason]uint64{ReasonExport: 10}},
		{"error that panics", badError{}, map[Reason]uint64{ReasonPanic: 10}},
		{"no cause", &ExportError{Spans: 1, Reason: ReasonTimeout}, map[Reason]uint64{ReasonTimeout: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &backend{behave: func(context.Context, *Batch) (int, error) { return 0, test.err }}
			c := start(t, e, WithInterval(time.Hour))
			for n := range uint64(10) {
				c.TrySubmit(numbered(n))
			}
			if err := c.Flush(within30s(t)); err != nil {
				t.Fatal(err)
			}
			s := c.Stats()
			balance(t, s)
			var want Drops
			for r, n := range test.want {
				want[r] = n
			}
			if s.Dropped != want || s.Exported != 10-want.Total() || s.Batches != 1 {
				t.Errorf("%v", s)
			}
		})
	}
}

// TestPanics: an exporter that panics loses its batch, and nothing else.
func TestPanics(t *testing.T) {
	calls := 0
	e := &backend{behave: func(_ context.Context, b *Batch) (int, error) {
		if calls++; calls%2 == 1 {
			panic("moody")
		}
		return b.Len(), nil
	}}
	c := start(t, e, WithConcurrentExports(1), WithInterval(time.Hour))
	for n := range uint64(10) {
		c.TrySubmit(numbered(n))
		if err := c.Flush(within30s(t)); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); s.Dropped.Of(ReasonPanic) != 5 || s.Exported != 5 || e.total(t) != 5 {
		t.Errorf("%v", s)
	}
}

// TestStalledExporter: with no export ever ending, what is kept is bounded, however
// much is submitted, and however often somebody wants it flushed.
func TestStalledExporter(t *testing.T) {
	behave, _ := hang(t)
	const batch, queue = 16 << 10, 64 << 10
	c := start(t, &backend{behave: behave}, WithRingBits(7), WithBatchBytes(batch), WithQueueBytes(queue),
		WithConcurrentExports(2), WithInterval(time.Millisecond))
	p, _ := c.Register()
	encoded := request(t, 0, 20)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	s := benchSpan(5)
	var before uint64
	for round := range rounds(400) {
		for range 200 {
			_ = p.TrySubmit(s)
			_ = c.TrySubmit(s)
		}
		_, _ = c.TrySubmitRequest(encoded)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+round%3)*500*time.Microsecond)
		if err := c.Flush(ctx); err == nil {
			t.Fatal("a flush of nothing at all")
		}
		cancel()
		st := c.Stats()
		balance(t, st)
		// The limit may be passed by the batch that reaches it, by one of spans and
		// one of requests, and a buffer may be twice as large as what it holds.
		if st.QueuedBytes > queue+3*2*batch {
			t.Fatalf("round %d: %d bytes are queued", round, st.QueuedBytes)
		}
		if round == rounds(400)/10 {
			before = heap()
		}
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	c.flushes.Lock()
	defer c.flushes.Unlock()
	if n := len(c.flushes.waiting); n != 0 {
		t.Errorf("%d flushes wait that nobody waits for", n)
	}
}

// TestFlushesOfAStalledExporter: many small flushes do not fill the queue beyond its limit.
func TestFlushesOfAStalledExporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := &backend{behave: func(_ context.Context, b *Batch) (int, error) { <-release; return b.Len(), nil }}
		const queue = 16 << 10
		c := start(t, e, WithConcurrentExports(1), WithQueueBytes(queue), WithExportTimeout(time.Hour))
		p, _ := c.Register()
		for n := range uint64(1000) {
			if err := p.TrySubmit(numbered(n)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.TrySubmitRequest(request(t, 1e6+n, 1)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			if err := c.Flush(ctx); err != context.DeadlineExceeded {
				t.Fatal(err)
			}
			cancel()
			if s := c.Stats(); s.QueuedBytes > 2*queue {
				t.Fatalf("after %d flushes %d bytes are queued", n, s.QueuedBytes)
			}
		}
		close(release)
		if err := c.Flush(t.Context()); err != nil || e.total(t) != 2000 {
			t.Errorf("%v, %d arrived", err, e.total(t))
		}
	})
}

// TestRecovery: after a stall everything goes on.
func TestRecovery(t *testing.T) {
	release := make(chan struct{})
	e := &backend{behave: func(_ context.Context, b *Batch) (int, error) { <-release; return b.Len(), nil }}
	c := start(t, e, WithRingBits(6), WithBatchBytes(4<<10), WithQueueBytes(8<<10))
	p, _ := c.Register()
	accepted := 0
	for full := 0; full < 1000; {
		if err := p.TrySubmit(numbered(uint64(accepted))); err == nil {
			accepted++
		} else {
			full++
			runtime.Gosched()
		}
	}
	done := make(chan error)
	go func() { done <- c.Flush(within30s(t)) }()
	close(release)
	if err := <-done; err != nil || e.total(t) != accepted {
		t.Errorf("%v; %d of %d arrived", err, e.total(t), accepted)
	}
}

// TestAdaptiveBatching has a simulated exporter, whose latency is 5 ms for each
// export under way and 10 µs a span, on a fake clock.
func TestAdaptiveBatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &backend{}
		e.behave = func(_ context.Context, b *Batch) (int, error) {
			time.Sleep(5*time.Millisecond + time.Duration(b.Len())*10*time.Microsecond)
			return b.Len(), nil
		}
		c := start(t, e, WithAdaptiveBatching(), WithBatchSpans(2048), WithConcurrentExports(4), WithInterval(time.Millisecond),
			WithBatchAge(10*time.Millisecond))
		p, _ := c.Register()
		n := uint64(0)
		run := func(perMillisecond, milliseconds int) (batches []int) {
			e.mu.Lock()
			e.sizes = nil
			e.mu.Unlock()
			for range milliseconds {
				for range perMillisecond {
					n++
					if err := p.TrySubmit(numbered(n)); err != nil {
						t.Fatalf("%d a ms: %v", perMillisecond, err)
					}
				}
				time.Sleep(time.Millisecond)
			}
			return e.batches()
		}
		calm := run(5, 300)
		busy := run(150, 500)
		again := run(5, 2000)
		largest := func(sizes []int) (most int) {
			for _, n := range sizes[len(sizes)/2:] {
				most = max(most, n)
			}
			return most
		}
		if largest(calm) > leastBatchSpans || largest(busy) <= 2*leastBatchSpans || largest(again) > leastBatchSpans {
			t.Errorf("largest batches: calm %d, busy %d, calm again %d", largest(calm), largest(busy), largest(again))
		}
		c.sender.mu.Lock()
		pace := c.sender.pace
		c.sender.mu.Unlock()
		if pace.exports != 1 || pace.batchSpans != leastBatchSpans {
			t.Errorf("after the calm: %+v", pace)
		}
		if err := c.Shutdown(t.Context()); err != nil || e.total(t) != int(n) {
			t.Errorf("%v, %d of %d arrived", err, e.total(t), n)
		}
	})
}
