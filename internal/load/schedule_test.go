package load

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// However many take, every request is handed out once, and the last has what is left.
func TestScheduleHasNoGaps(t *testing.T) {
	s := newSchedule(configured(func(c *Config) { c.Spans, c.Request = 10_042, 100 }))
	var mu sync.Mutex
	var indexes []uint64
	var spans uint64
	var takers sync.WaitGroup
	for range 8 {
		takers.Go(func() {
			for {
				index, n := s.take(t.Context())
				if n == 0 {
					return
				}
				mu.Lock()
				indexes = append(indexes, index)
				spans += n
				mu.Unlock()
			}
		})
	}
	takers.Wait()
	slices.Sort(indexes)
	if len(indexes) != 101 || indexes[0] != 0 || indexes[100] != 100 || len(slices.Compact(indexes)) != 101 || spans != 10_042 || s.taken() != 10_042 {
		t.Errorf("%d spans in %v", spans, indexes)
	}
}

// Never more than the rate since the beginning, and no less than a request and a beat behind.
func TestScheduleKeepsToTheRate(t *testing.T) {
	for _, test := range []struct {
		rate    float64
		request int
		takers  int
	}{{50, 1, 1}, {1000, 100, 3}, {300_000, 100, 8}, {1, 1, 4}, {123_456, 7, 5}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			s := newSchedule(configured(func(c *Config) { c.Rate, c.Request = test.rate, test.request }))
			var mu sync.Mutex
			var n uint64
			var takers sync.WaitGroup
			for range test.takers {
				takers.Go(func() {
					for _, spans := s.take(ctx); spans > 0; _, spans = s.take(ctx) {
						mu.Lock()
						n += spans
						if most := test.rate * time.Since(s.start).Seconds(); float64(n) > most+1e-3 {
							t.Errorf("%v a second: %d after %v", test.rate, n, time.Since(s.start))
						}
						mu.Unlock()
					}
				})
			}
			takers.Wait()
			if least := test.rate*(5-beat.Seconds()) - float64(test.request) - 1; float64(n) < least || n != s.taken() {
				t.Errorf("%v a second: %d in 5 s, of %d taken", test.rate, n, s.taken())
			}
		})
	}
}

// Whoever is late catches up.
func TestScheduleCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(configured(func(c *Config) { c.Rate, c.Request = 1000, 100 }))
		time.Sleep(time.Second) // of the test's own clock
		for range 10 {
			s.take(t.Context())
		}
		if d := time.Since(s.start); d != time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestHistogram(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var h, part histogram
	var values []time.Duration
	for i := range 20_000 {
		d := time.Duration(rng.ExpFloat64() * 1e6)
		values = append(values, d)
		if i%2 == 0 {
			h.record(d)
		} else {
			part.record(d)
		}
	}
	h.add(&part)
	slices.Sort(values)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999} {
		want := values[int(q*float64(len(values)))]
		if got := h.quantile(q); got < want || got > want*17/16+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.quantile(1) != values[len(values)-1] {
		t.Errorf("the maximum is %v", h.quantile(1))
	}
	h.record(1<<63 - 1)
	h.record(-1)
}
