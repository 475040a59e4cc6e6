package otelsdk

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

type starter = func(...sdktrace.BatchSpanProcessorOption) *harness

// never is a BatchTimeout that does not pass in a test.
var never = sdktrace.WithBatchTimeout(time.Hour)

func TestDelivers(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(never, sdktrace.WithMaxQueueSize(4000), sdktrace.WithMaxExportBatchSize(100))
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() { h.end(g*1000, 1000) })
		}
		wg.Wait()
		h.mustFlush()
		h.wantAll(4000)
		h.end(4000, 1)
		h.mustShutdown()
		h.wantAll(4001)
		for _, b := range h.backend.Batches() {
			if b.Len() > 100 {
				t.Errorf("a batch of %d spans", b.Len())
			}
		}
	})
}

// TestTimeout: what does not fill a batch leaves when it is old.
func TestTimeout(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(sdktrace.WithBatchTimeout(time.Millisecond))
		for i := range 20 {
			h.end(i, 1)
			h.await(i + 1)
		}
		h.mustShutdown()
		h.wantAll(20)
	})
}

func TestNotSampled(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start()
		h.OnEnd(stub(1, 0).Snapshot())
		h.mustShutdown()
		h.wantAll(0)
	})
}

func TestNoExporter(t *testing.T) {
	p := NewBatchSpanProcessor(nil).(*BatchSpanProcessor)
	p.OnStart(t.Context(), nil)
	p.OnEnd(numbered(1))
	if err := errors.Join(p.ForceFlush(t.Context()), p.Shutdown(t.Context())); err != nil || p.Stats() != (ringtail.Stats{}) {
		t.Errorf("%v, %v", err, p.Stats())
	}
}

// TestStalled: while the backend does not answer, the configured number of spans finds
// room, OnEnd returns, and what is beyond is counted.
func TestStalled(t *testing.T) {
	const size, batch, offered = 1000, 100, 40000
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(never, sdktrace.WithMaxQueueSize(size), sdktrace.WithMaxExportBatchSize(batch))
		release := h.backend.Stall()
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() { h.end(g*(size/4), size/4) })
		}
		wg.Wait()
		if s := h.Stats(); s.Dropped.Total() != 0 || s.InFlight != size {
			t.Errorf("%v: want %d in flight", s, size)
		}
		release()
		h.mustFlush()
		h.wantAll(size)
		release = h.backend.Stall()
		h.end(size, offered)
		s := h.Stats()
		kept, full := int(s.InFlight), s.Dropped.Of(ringtail.ReasonFull)
		if kept < size || full != uint64(offered-kept) {
			t.Errorf("%v: want at least %d in flight, and the others dropped", s, size)
		}
		if p, ok := h.pipeline.(*typed); ok {
			if most := int(p.queue.all) + batch; kept > most {
				t.Errorf("%d in flight, want at most %d", kept, most)
			}
		}
		release()
		h.mustShutdown()
		h.wantStats(size+offered, size+kept, map[ringtail.Reason]int{ringtail.ReasonFull: offered - kept})
		if n := len(h.delivered()); n != size+kept {
			t.Errorf("%d delivered, want %d", n, size+kept)
		}
	})
}

// TestBlocking: OnEnd waits for room, and gets it, or is let go by Shutdown.
func TestBlocking(t *testing.T) {
	const spans = 100000
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(never, sdktrace.WithBlocking(), sdktrace.WithMaxQueueSize(16), sdktrace.WithMaxExportBatchSize(8))
		release := h.backend.Stall()
		var wg sync.WaitGroup
		for g := range 2 {
			wg.Go(func() { h.end(g*spans/2, spans/2) })
		}
		h.awaitBlocked()
		release()
		wg.Wait()
		h.mustFlush()
		h.wantAll(spans)

		release = h.backend.Stall()
		defer release()
		wg.Go(func() {
			for h.Stats().Dropped.Of(ringtail.ReasonClosed) == 0 {
				h.OnEnd(numbered(0))
			}
		})
		h.awaitBlocked()
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if err := h.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "were not delivered") {
			t.Errorf("Shutdown: %v", err)
		}
		wg.Wait() // hangs if OnEnd does
	})
}

// awaitBlocked waits until OnEnd waits for room: nothing is submitted any more.
func (h *harness) awaitBlocked() {
	h.t.Helper()
	h.awaitExport()
	for end := time.Now().Add(patience); ; {
		before := h.Stats().Submitted
		time.Sleep(5 * time.Millisecond) // there is no event for what does not happen
		if h.Stats().Submitted == before {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("nobody waits: %v", h.Stats())
		}
	}
}

// TestDeadBackend: Shutdown returns within its context, and says what it lost.
func TestDeadBackend(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		for name, dead := range map[string]func(*ringtailtest.Recorder) func(){
			"blocks": (*ringtailtest.Recorder).Block, "hangs": (*ringtailtest.Recorder).Stall,
		} {
			t.Run(name, func(t *testing.T) {
				h := start(never, sdktrace.WithMaxExportBatchSize(10))
				release := dead(h.backend)
				defer release()
				h.end(0, 25)
				if _, ok := h.pipeline.(*typed); ok { // a collector comes for full batches in its interval
					h.awaitExport()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				err := h.Shutdown(ctx)
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "25 spans were not delivered") {
					t.Errorf("Shutdown: %v", err)
				}
				h.wantStats(25, 0, map[ringtail.Reason]int{ringtail.ReasonShutdown: 25})
				release()
				if again := h.Shutdown(within(t)); again == nil || again.Error() != err.Error() {
					t.Errorf("second Shutdown: %v", again)
				}
				if p, ok := h.pipeline.(*typed); ok {
					<-p.ended // the exporter is shut down nevertheless
					if h.backend.Counts().Shutdowns != 1 {
						t.Error("the exporter is not shut down")
					}
				}
				h.wantStats(25, 0, map[ringtail.Reason]int{ringtail.ReasonShutdown: 25})
			})
		}
	})
}

// TestFailures: the error of ForceFlush and Shutdown says how many spans were lost, and why.
func TestFailures(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(never)
		broken := errors.New("broken")
		h.backend.Fail(&ringtail.ExportError{Spans: 3, Reason: ringtail.ReasonRejected, Err: broken})
		h.end(0, 5)
		err := h.ForceFlush(within(t))
		if err == nil || !strings.Contains(err.Error(), "3 spans were not delivered") {
			t.Errorf("ForceFlush: %v", err)
		}
		if _, ok := h.pipeline.(*typed); ok && !errors.Is(err, broken) {
			t.Errorf("ForceFlush: %v, want the exporter's error", err)
		}
		h.mustFlush() // nothing new: nothing lost

		h.backend.Fail(broken)
		h.end(5, 7)
		if err := h.Shutdown(within(t)); err == nil || !strings.Contains(err.Error(), "7 spans were not delivered") {
			t.Errorf("Shutdown: %v", err)
		}
		h.wantStats(12, 2, map[ringtail.Reason]int{ringtail.ReasonRejected: 3, ringtail.ReasonExport: 7})
	})
}

// TestFlushInTime: ForceFlush returns when its context ends, says what is not there
// yet, and that is delivered later.
func TestFlushInTime(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(never)
		release := h.backend.Stall()
		defer release()
		h.end(0, 5)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		for range 2 { // the second time it has ended before
			err := h.ForceFlush(ctx)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "5 spans are not delivered yet") {
				t.Errorf("ForceFlush: %v", err)
			}
		}
		release()
		h.mustFlush()
		h.wantAll(5)
		h.mustShutdown()
	})
}

func TestAfterShutdown(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start()
		h.end(0, 3)
		h.mustShutdown()
		h.end(3, 2)
		h.mustFlush()
		h.mustShutdown()
		h.wantStats(5, 3, map[ringtail.Reason]int{ringtail.ReasonClosed: 2})
		if n := h.backend.Counts().Shutdowns; n != 1 {
			t.Errorf("the exporter was shut down %d times", n)
		}
	})
}

// TestRudeExporter: a panic, or the end of its goroutine, costs the batch alone.
func TestRudeExporter(t *testing.T) {
	for name, rude := range map[string]func(){"panic": func() { panic("rude") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			onBothPaths(t, func(t *testing.T, start starter) {
				h := start(never)
				var once atomic.Bool
				h.backend.Behave(func(context.Context, *ringtail.Batch) error {
					if once.CompareAndSwap(false, true) {
						rude()
					}
					return nil
				})
				h.end(0, 3)
				if err := h.ForceFlush(within(t)); err == nil || !strings.Contains(err.Error(), "3 spans were not delivered") {
					t.Errorf("ForceFlush: %v", err)
				}
				h.end(3, 2)
				h.mustShutdown()
				h.wantStats(5, 2, map[ringtail.Reason]int{ringtail.ReasonPanic: 3})
			})
		})
	}
}

// TestExportTimeout: the exporter is told when its time is over.
func TestExportTimeout(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(never, sdktrace.WithExportTimeout(5*time.Millisecond))
		defer h.backend.Block()()
		h.end(0, 3)
		if err := h.ForceFlush(within(t)); err == nil {
			t.Error("no error")
		}
		h.wantStats(3, 0, map[ringtail.Reason]int{ringtail.ReasonTimeout: 3})
		h.mustShutdown()
	})
}

// TestOneExportAtATime: exporters that are not ours are never called twice at once.
func TestOneExportAtATime(t *testing.T) {
	h := start(t, paths["typed"], sdktrace.WithMaxExportBatchSize(5), sdktrace.WithBatchTimeout(time.Millisecond))
	var inside, overlaps atomic.Int32
	h.backend.Behave(func(context.Context, *ringtail.Batch) error {
		if inside.Add(1) > 1 {
			overlaps.Add(1)
		}
		runtime.Gosched()
		inside.Add(-1)
		return nil
	})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				h.end(g*200+i, 1)
				if i%20 == g {
					h.mustFlush()
				}
			}
		})
	}
	wg.Wait()
	h.mustShutdown()
	h.wantAll(800)
	if n := overlaps.Load(); n > 0 {
		t.Errorf("%d exports overlapped", n)
	}
}

func TestNoGoroutineLeft(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		before := runtime.NumGoroutine()
		for range 20 {
			h := start()
			h.end(0, 10)
			h.mustFlush()
			h.mustShutdown()
		}
		for end := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			}
		}
	})
}
