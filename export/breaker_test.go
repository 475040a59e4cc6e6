package export_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

var errBoom = errors.New("boom")

func batch(t testing.TB, spans int) *ringtail.Batch {
	t.Helper()
	b, err := ringtailtest.NewBatch(ringtailtest.Spans(7, spans)...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loses checks that err loses n spans for one reason, and no others.
func loses(t *testing.T, err error, b *ringtail.Batch, want ringtail.Reason) {
	t.Helper()
	d := ringtail.Losses(err, b.Len())
	if d.Of(want) != uint64(b.Len()) || d.Total() != uint64(b.Len()) {
		t.Errorf("%v: loses %v, want all %d for %v", err, d, b.Len(), want)
	}
}

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := new(ringtailtest.Recorder)
		var changes []string
		c := export.Breaker(next, export.BreakerConfig{Failures: 3, OpenFor: time.Minute, Probes: 2,
			OnStateChange: func(from, to export.BreakerState) { changes = append(changes, fmt.Sprint(from, "→", to)) }})
		b := batch(t, 5)
		do := func() error { return c.Export(t.Context(), b) }

		next.Fail(errBoom)
		do()
		do()
		next.Fail(nil)
		do() // and the row begins anew
		next.Fail(errBoom)
		for range 3 {
			if c.State() != export.BreakerClosed {
				t.Fatalf("it is %v before three failures in a row", c.State())
			}
			do()
		}
		if c.State() != export.BreakerOpen {
			t.Fatalf("it is %v after three failures in a row", c.State())
		}
		started := next.Counts().Started
		time.Sleep(20 * time.Second)
		err := do()
		loses(t, err, b, ringtail.ReasonUnavailable)
		var retryable *export.RetryableError
		if !errors.Is(err, export.ErrBreakerOpen) || !errors.As(err, &retryable) || retryable.After != 40*time.Second {
			t.Errorf("%v: want a retry after 40s", err)
		}
		time.Sleep(40 * time.Second)
		do() // a probe, which fails
		if c.State() != export.BreakerOpen || next.Counts().Started != started+1 {
			t.Errorf("it is %v after a failed probe, %d passed", c.State(), next.Counts().Started-started)
		}
		time.Sleep(time.Minute)

		// Two probes may be under way, and a third may not.
		release := next.Block()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := do(); err != nil {
					t.Errorf("probe: %v", err)
				}
			})
		}
		synctest.Wait()
		if c.State() != export.BreakerHalfOpen {
			t.Errorf("it is %v during the probes", c.State())
		}
		loses(t, do(), b, ringtail.ReasonUnavailable)
		release()
		wg.Wait()
		if c.State() != export.BreakerClosed || do() != nil {
			t.Errorf("it is %v after two probes that succeeded", c.State())
		}
		want := []string{"closed→open", "open→half-open", "half-open→open", "open→half-open", "half-open→closed"}
		if !slices.Equal(changes, want) {
			t.Errorf("changes %v, want %v", changes, want)
		}
	})
}

func TestBreakerWhatIsAFailure(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want export.BreakerState
	}{
		{"error", t.Context(), errBoom, export.BreakerOpen},
		{"all lost", t.Context(), &ringtail.ExportError{Spans: 5, Reason: ringtail.ReasonExport}, export.BreakerOpen},
		{"retryable", t.Context(), &export.RetryableError{Err: errBoom}, export.BreakerOpen},
		{"too slow", t.Context(), context.DeadlineExceeded, export.BreakerOpen},
		{"part lost", t.Context(), &ringtail.ExportError{Spans: 4, Reason: ringtail.ReasonExport}, export.BreakerClosed},
		{"rejected", t.Context(), &ringtail.ExportError{Spans: 5, Reason: ringtail.ReasonRejected}, export.BreakerClosed},
		{"canceled by the caller", canceled, context.Canceled, export.BreakerClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := new(ringtailtest.Recorder)
			next.Fail(c.err)
			breaker := export.Breaker(next, export.BreakerConfig{Failures: 2})
			for range 2 {
				if err := breaker.Export(c.ctx, batch(t, 5)); err != c.err {
					t.Errorf("Export: %v, want %v", err, c.err)
				}
			}
			if breaker.State() != c.want {
				t.Errorf("it is %v, want %v", breaker.State(), c.want)
			}
		})
	}
}

func TestBreakerRatio(t *testing.T) {
	next := new(ringtailtest.Recorder)
	c := export.Breaker(next, export.BreakerConfig{Failures: -1, Ratio: 0.5, Window: 10})
	b := batch(t, 1)
	for i := range 12 { // two of three succeed
		next.Fail(nil)
		if i%3 == 0 {
			next.Fail(errBoom)
		}
		c.Export(t.Context(), b)
	}
	if c.State() != export.BreakerClosed {
		t.Fatal("it has opened below the ratio")
	}
	next.Fail(errBoom)
	c.Export(t.Context(), b) // number 12; of the last ten, 3, 6 and 9 failed too
	c.Export(t.Context(), b) // number 13; 3 is forgotten
	if c.State() != export.BreakerClosed {
		t.Fatal("it has opened at four of ten")
	}
	c.Export(t.Context(), b)
	if c.State() != export.BreakerOpen {
		t.Error("it has not opened at five of ten")
	}
}

// An export that began before the breaker opened says nothing about the time after.
func TestBreakerIgnoresLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := new(ringtailtest.Recorder)
		c := export.Breaker(next, export.BreakerConfig{Failures: 1, OpenFor: time.Second})
		b := batch(t, 1)
		release := next.Block()
		var wg sync.WaitGroup
		wg.Go(func() { c.Export(t.Context(), b) })
		synctest.Wait()
		next.Fail(errBoom)
		c.Export(t.Context(), b)
		time.Sleep(time.Second)
		letProbe := next.Block()
		wg.Go(func() { c.Export(t.Context(), b) })
		synctest.Wait()
		release() // a success, from before
		synctest.Wait()
		if c.State() != export.BreakerHalfOpen {
			t.Errorf("it is %v before the probe has ended", c.State())
		}
		letProbe()
		wg.Wait()
		if c.State() != export.BreakerClosed {
			t.Errorf("it is %v after the probe", c.State())
		}
	})
}

func TestBreakerCountsPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := new(ringtailtest.Recorder)
		next.Panic("boom")
		c := export.Breaker(next, export.BreakerConfig{Failures: 1, OpenFor: time.Second})
		do := func() (p any) {
			defer func() { p = recover() }()
			c.Export(t.Context(), batch(t, 1))
			return nil
		}
		if do() != "boom" || c.State() != export.BreakerOpen {
			t.Errorf("it is %v after a panic", c.State())
		}
		time.Sleep(time.Second)
		if do() != "boom" || c.State() != export.BreakerOpen {
			t.Errorf("it is %v after a probe that panicked", c.State())
		}
		time.Sleep(time.Second)
		next.Fail(nil)
		if do() != nil || c.State() != export.BreakerClosed {
			t.Errorf("it is %v after a probe that succeeded: a panic has kept its place", c.State())
		}
	})
}

// Under concurrent exports, changes are reported one at a time and in their order.
func TestBreakerReportsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := new(ringtailtest.Recorder)
		at, inside, seen := export.BreakerClosed, false, 0
		c := export.Breaker(next, export.BreakerConfig{Failures: 2, OpenFor: time.Millisecond,
			OnStateChange: func(from, to export.BreakerState) {
				if inside || from != at || from == to {
					t.Errorf("inside %v: %v → %v, it was %v", inside, from, to, at)
				}
				inside = true
				time.Sleep(3 * time.Millisecond) // the others go on
				at, inside = to, false
				seen++
			}})
		var mu sync.Mutex
		n := 0
		next.Behave(func(context.Context, *ringtail.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%7 < 4 {
				return errBoom
			}
			return nil
		})
		b := batch(t, 1)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for range 500 {
					c.Export(t.Context(), b)
					time.Sleep(time.Duration(37+g) * time.Microsecond)
				}
			})
		}
		wg.Wait()
		if seen < 10 {
			t.Errorf("only %d changes", seen)
		}
	})
}

func TestBreakerConfigValidate(t *testing.T) {
	for _, c := range []struct {
		cfg  export.BreakerConfig
		want string
	}{
		{export.BreakerConfig{}, "<nil>"},
		{export.BreakerConfig{Ratio: 1.5}, "BreakerConfig.Ratio is 1.5, must be from 0 to 1"},
		{export.BreakerConfig{Window: -1}, "BreakerConfig.Window is -1, must be from 0 to 4096"},
		{export.BreakerConfig{OpenFor: -1}, "BreakerConfig.OpenFor is -1ns, must not be negative"},
		{export.BreakerConfig{Probes: -1}, "BreakerConfig.Probes is -1, must not be negative"},
		{export.BreakerConfig{Failures: -1}, "BreakerConfig.Failures is -1 and Ratio 0: the breaker would never open"},
	} {
		if got := fmt.Sprint(c.cfg.Validate()); got != c.want {
			t.Errorf("%+v: %s, want %s", c.cfg, got, c.want)
		}
	}
}
