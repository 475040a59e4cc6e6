package otelsdk

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// TestNothingLost: in thousands of short lives, with spans that end at the very moment
// of ForceFlush and Shutdown, every span that ended before is delivered, and every span
// at all is delivered or counted.
func TestNothingLost(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		lives := 2000
		if strings.HasSuffix(t.Name(), "encoded") {
			lives = 500 // each allocates rings of 2 MiB
		}
		if testing.Short() {
			lives /= 10
		}
		random := seeded(t)
		for life := range lives {
			goroutines, each, yield := 1+random.IntN(4), 1+random.IntN(60), 1+random.IntN(20)
			flushAfter, shutAfter := random.IntN(goroutines*each+1), random.IntN(goroutines*each+1)
			queue := 240 << random.IntN(4) // nothing is too many
			blocking := random.IntN(2) == 0
			if blocking {
				queue = 1 + random.IntN(100)
			}
			opts := []sdktrace.BatchSpanProcessorOption{
				sdktrace.WithMaxQueueSize(queue),
				sdktrace.WithMaxExportBatchSize(1 + random.IntN(queue)),
				sdktrace.WithBatchTimeout([]time.Duration{time.Millisecond, time.Hour}[random.IntN(2)]),
			}
			if blocking {
				opts = append(opts, sdktrace.WithBlocking())
			}
			h := start(opts...)
			var ended atomic.Int64
			var wg sync.WaitGroup
			done := make([]atomic.Int64, goroutines) // each goroutine's spans whose OnEnd has returned
			for g := range goroutines {
				wg.Go(func() {
					for i := range each {
						h.OnEnd(numbered(g*each + i))
						done[g].Store(int64(i + 1))
						ended.Add(1)
						if i%yield == 0 {
							runtime.Gosched()
						}
					}
				})
			}
			await := func(n int) {
				for ended.Load() < int64(n) {
					runtime.Gosched()
				}
			}
			snapshot := func() []int64 {
				out := make([]int64, goroutines)
				for g := range done {
					out[g] = done[g].Load()
				}
				return out
			}
			check := func(what string, before []int64) {
				have := make(map[int]bool)
				for _, n := range h.delivered() {
					if have[n] {
						t.Errorf("life %d: span %d came twice", life, n)
					}
					have[n] = true
				}
				for g, n := range before {
					for i := range int(n) {
						if !have[g*each+i] {
							t.Errorf("life %d: span %d of goroutine %d ended before %s, and was lost: %v", life, i, g, what, h.Stats())
							return
						}
					}
				}
			}
			if random.IntN(2) == 0 {
				await(flushAfter)
				before := snapshot()
				h.mustFlush()
				check("ForceFlush", before)
			}
			await(shutAfter)
			before := snapshot()
			h.mustShutdown()
			check("Shutdown", before)
			wg.Wait()
			s := h.Stats()
			if s.Submitted != uint64(goroutines*each) || s.InFlight != 0 || s.Exported != uint64(len(h.delivered())) ||
				s.Exported+s.Dropped.Of(ringtail.ReasonClosed) != s.Submitted {
				t.Errorf("life %d: %v, %d ended, %d delivered", life, s, goroutines*each, len(h.delivered()))
			}
			if t.Failed() {
				return
			}
		}
	})
}
