package main

import (
	"math"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
)

// fake is a queue that is emptied by flush only.
type fake struct {
	waiting, most, came, flushes atomic.Int64
}

func (f *fake) target(hands, room int) *target {
	t := &target{
		room:    room,
		arrived: func() uint64 { return uint64(f.came.Load()) },
		flush: func() error {
			f.flushes.Add(1)
			f.came.Add(f.waiting.Swap(0))
			return nil
		},
	}
	t.close = t.flush
	for range hands {
		t.hands = append(t.hands, func() int {
			n := f.waiting.Add(blockSpans)
			for most := f.most.Load(); n > most && !f.most.CompareAndSwap(most, n); most = f.most.Load() {
			}
			return 0
		})
	}
	return t
}

func TestPacePausesBeforeTheQueueIsFull(t *testing.T) {
	for _, hands := range []int{1, 2} {
		var f fake
		const room = 4096
		m, err := pace(f.target(hands, room), 200)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.most.Load(); got > room {
			t.Errorf("%d hands: %d spans waited, with room for %d", hands, got, room)
		}
		if f.flushes.Load() < 2 {
			t.Errorf("%d hands: no pause", hands)
		}
		if got, want := m["spans submitted"], float64(hands*200*blockSpans); got != want {
			t.Errorf("%d hands: %v spans were submitted, want %v", hands, got, want)
		}
		if m["refused %"] != 0 {
			t.Errorf("%d hands: %v %% refused", hands, m["refused %"])
		}
	}
}

func TestPaceCountsRefusals(t *testing.T) {
	var f fake
	target := f.target(1, math.MaxInt32)
	block := 0
	target.hands[0] = func() int {
		block++
		refused := block % 2 * blockSpans / 2
		f.waiting.Add(int64(blockSpans - refused))
		return refused
	}
	m, err := pace(target, 200)
	if err != nil {
		t.Fatal(err)
	}
	if m["refused %"] != 25 {
		t.Errorf("%v %% refused, want 25", m["refused %"])
	}
}

func TestPaceTimesNoBlockWithARefusal(t *testing.T) {
	var f fake
	target := f.target(1, math.MaxInt32)
	target.hands[0] = func() int {
		f.waiting.Add(blockSpans - 1)
		return 1
	}
	if m, err := pace(target, 8); err == nil {
		t.Errorf("got %v, want an error since there is no time", m)
	}
}

func TestPaceFindsLostSpans(t *testing.T) {
	var f fake
	target := f.target(1, math.MaxInt32)
	target.close = func() error { return nil } // what waits never arrives
	if _, err := pace(target, 4); err == nil || !strings.Contains(err.Error(), "arrived") {
		t.Errorf("got %v, want an error that tells of spans that did not arrive", err)
	}
}

func TestQuantile(t *testing.T) {
	v := []float64{1, 2, 3, 4}
	for q, want := range map[float64]float64{0: 1, 0.25: 1, 0.5: 2, 0.51: 3, 0.99: 4, 1: 4} {
		if got := quantile(v, q); got != want {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
}

func TestBoundOfAHistogram(t *testing.T) {
	h := metrics.Float64Histogram{Counts: []uint64{98, 0, 1, 1}, Buckets: []float64{0, 1e-6, 2e-6, 3e-6, math.Inf(1)}}
	for q, want := range map[float64]float64{0.5: 1, 0.98: 1, 0.99: 3, 1: 3} {
		if got := bound(&h, 100, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: got %v µs, want %v", q, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0001: "0.000", 0.123: "0.123", 1.234: "1.23", 12.34: "12.3", 1234.5: "1234", -5: "-5.00"} {
		if got := number(v); got != want {
			t.Errorf("%v: got %q, want %q", v, got, want)
		}
	}
}
