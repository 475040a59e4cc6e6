package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	blockSpans  = 64 // spans between two looks at the clock
	burstBlocks = 4  // blocks between two looks at how full the queue is
)

// target takes spans, as pace sees it.
type target struct {
	// hands are one a goroutine. Each hands a block of spans over and returns how
	// many were refused.
	hands []func() (refused int)

	room    int           // how many spans wait at most until some are refused
	arrived func() uint64 // spans that came to the exporter
	flush   func() error  // returns when all spans have come there
	close   func() error
}

// pace lets each hand of a target hand over so many blocks, and times each block.
//
// The consumer works at the same time, as in a program that runs. When three
// quarters of the room are used nevertheless, all hands pause, outside the timed part,
// until it has caught up. With several hands they begin their bursts
// together, so that they do contend.
//
// A time includes half of what two looks at the clock cost, less than 1 ns a span, and
// whatever the scheduler did meanwhile. Nothing is subtracted. A block of which
// a span was refused has no time; how many spans were refused is a metric.
func pace(t *target, blocks int) (Metrics, error) {
	blocks = (blocks + burstBlocks - 1) / burstBlocks * burstBlocks
	times := make([][]float64, len(t.hands))
	for i := range times {
		times[i] = make([]float64, 0, blocks)
	}
	var refused, handed atomic.Int64
	round := func(blocks int) error {
		var failed error
		gate := barrier{n: int64(len(t.hands))}
		var wg sync.WaitGroup
		for g, hand := range t.hands {
			times[g] = times[g][:0]
			wg.Go(func() {
				for range blocks / burstBlocks {
					gate.wait(func() {
						waiting := handed.Load() - refused.Load() - int64(t.arrived())
						if waiting > int64(t.room*3/4) && failed == nil {
							failed = t.flush()
						}
					})
					for range burstBlocks {
						start := time.Now()
						n := hand()
						took := time.Since(start)
						if n == 0 {
							times[g] = append(times[g], float64(took)/blockSpans)
						}
						refused.Add(int64(n))
					}
					handed.Add(burstBlocks * blockSpans)
				}
			})
		}
		wg.Wait()
		return failed
	}

	if err := round(max(blocks/10, burstBlocks) / burstBlocks * burstBlocks); err != nil { // to warm up
		return nil, err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	warmHanded, warmRefused := handed.Load(), refused.Load()
	if err := round(blocks); err != nil {
		return nil, err
	}
	runtime.ReadMemStats(&after)
	if err := t.close(); err != nil {
		return nil, err
	}
	if got, want := int64(t.arrived()), handed.Load()-refused.Load(); got != want {
		return nil, fmt.Errorf("%d spans were taken, and %d arrived", want, got)
	}

	all := slices.Concat(times...)
	if len(all) == 0 {
		return nil, fmt.Errorf("each block had a refused span")
	}
	slices.Sort(all)
	spans := float64(handed.Load() - warmHanded)
	return Metrics{
		"ns/span":         mean(all),
		"p50 ns/span":     quantile(all, 0.50),
		"p99 ns/span":     quantile(all, 0.99),
		"M spans/s":       1e3 * float64(len(t.hands)) / mean(all),
		"allocs/span":     float64(after.Mallocs-before.Mallocs) / spans,
		"B/span on heap":  float64(after.TotalAlloc-before.TotalAlloc) / spans,
		"refused %":       100 * float64(refused.Load()-warmRefused) / spans,
		"spans submitted": spans,
	}, nil
}

// barrier lets n goroutines wait for one another. They spin, but let others
// run.
type barrier struct {
	n             int64
	waiting, pass atomic.Int64
}

// wait returns when all have called it. The last one runs f before.
func (b *barrier) wait(f func()) {
	pass := b.pass.Load()
	if b.waiting.Add(1) == b.n {
		f()
		b.waiting.Store(0)
		b.pass.Add(1)
		return
	}
	for b.pass.Load() == pass {
		runtime.Gosched()
	}
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// quantile returns the least value that a share q of the sorted values does not
// exceed.
func quantile(sorted []float64, q float64) float64 {
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}
