package export_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := new(ringtailtest.Recorder)
		l := export.RateLimit(next, 100, 50)
		begin := time.Now()
		for i, c := range []struct {
			spans int
			at    time.Duration // when it has passed
		}{
			{50, 0}, // the burst
			{10, 100 * ms},
			{0, 100 * ms},
			{40, 500 * ms},
			{200, 1000 * ms}, // waits for a full bucket, and leaves a debt of 150
			{1, 2510 * ms},
		} {
			if err := l.Export(t.Context(), batch(t, c.spans)); err != nil {
				t.Fatal(err)
			}
			// Waits are rounded up, by a nanosecond each.
			if at := time.Since(begin); at < c.at || at > c.at+time.Microsecond {
				t.Errorf("batch %d has passed at %v, want %v", i, at, c.at)
			}
		}
		time.Sleep(time.Hour)
		begin = time.Now()
		for range 3 {
			l.Export(t.Context(), batch(t, 50))
		}
		if at := time.Since(begin).Round(ms); at != time.Second {
			t.Errorf("after an hour, three bursts have passed in %v, want 1s", at)
		}
	})
}

func TestRateLimitGivesUpWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := new(ringtailtest.Recorder)
		l := export.RateLimit(next, 10, 10)
		b := batch(t, 10)
		l.Export(t.Context(), b)
		var wg sync.WaitGroup
		for range 3 { // the first waits for tokens, the others for their turn
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 300*ms)
				defer cancel()
				err := l.Export(ctx, b)
				loses(t, err, b, ringtail.ReasonUnavailable)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, want %v", err, context.DeadlineExceeded)
				}
			})
		}
		wg.Wait()
		begin := time.Now()
		if err := l.Export(t.Context(), b); err != nil {
			t.Error(err)
		}
		if at := time.Since(begin).Round(ms); at != 700*ms {
			t.Errorf("passed after %v, want 700ms: those that gave up have taken from its share", at)
		}
		if n := next.Counts().Started; n != 2 {
			t.Errorf("%d exports were passed on, want 2", n)
		}
	})
}

func TestRateLimitShutdownEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := new(ringtailtest.Recorder)
		l := export.RateLimit(next, 1, 10)
		b := batch(t, 10)
		l.Export(t.Context(), b)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { loses(t, l.Export(t.Context(), b), b, ringtail.ReasonShutdown) })
		}
		synctest.Wait()
		begin := time.Now()
		if err := l.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if time.Since(begin) != 0 {
			t.Error("Shutdown has waited")
		}
	})
}

func TestRateLimitWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []float64{0, -1, math.NaN()} {
			next := new(ringtailtest.Recorder)
			begin := time.Now()
			l := export.RateLimit(next, rate, 0)
			for range 10 {
				l.Export(t.Context(), batch(t, 1000))
			}
			if time.Since(begin) != 0 || next.Counts().Spans != 10_000 {
				t.Errorf("%v spans a second: %v for %d spans", rate, time.Since(begin), next.Counts().Spans)
			}
		}
	})
}

// What a timeout must be for a limit, as RateLimit's documentation has it: less of it
// drops spans, more of it none.
func TestRateLimitAndTimeout(t *testing.T) {
	const exports, spans, limit = 4, 50, 100
	for _, c := range []struct {
		timeout time.Duration
		drops   bool
	}{
		{exports * spans * time.Second / limit * 9 / 10, true},
		{exports * spans * time.Second / limit * 11 / 10, false},
	} {
		t.Run(c.timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := new(ringtailtest.Recorder)
				l := export.RateLimit(next, limit, spans)
				b := batch(t, spans)
				var dropped atomic.Int64
				var wg sync.WaitGroup
				for range exports {
					wg.Go(func() {
						for range 20 {
							ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
							if err := l.Export(ctx, b); err != nil {
								loses(t, err, b, ringtail.ReasonUnavailable)
								dropped.Add(spans)
							}
							cancel()
						}
					})
				}
				wg.Wait()
				if n := dropped.Load(); n > 0 != c.drops {
					t.Errorf("%d spans dropped, %d exported", n, next.Counts().Spans)
				}
			})
		})
	}
}
