package export

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
)

var errDown = errors.New("backend is down")

// attempts runs Do with an operation that always fails, in a bubble's time, and
// returns the times of its attempts since the first, and Do's error.
func attempts(ctx context.Context, cfg RetryConfig, fail error) (at []time.Duration, err error) {
	started := time.Now()
	err = Do(ctx, cfg, func(context.Context) error {
		at = append(at, time.Since(started))
		return fail
	})
	return at, err
}

func TestDoPausesGrowWithJitterUpToTheMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			cfg   RetryConfig
			pause []time.Duration // before jitter
		}{
			{RetryConfig{MaxAttempts: 8}, []time.Duration{500e6, 1e9, 2e9, 4e9, 8e9, 10e9, 10e9}},
			{RetryConfig{MaxAttempts: 5, InitialInterval: 100e6, Multiplier: 3, MaxInterval: 1e9, Jitter: 0.1}, []time.Duration{100e6, 300e6, 900e6, 1e9}},
		} {
			jitter := c.cfg.withDefaults().Jitter
			at, err := attempts(t.Context(), c.cfg, &RetryableError{Err: errDown})
			if !errors.Is(err, errDown) {
				t.Errorf("error %v does not wrap the last one", err)
			}
			if len(at) != c.cfg.MaxAttempts {
				t.Fatalf("%d attempts, want %d", len(at), c.cfg.MaxAttempts)
			}
			exact := 0
			for i, want := range c.pause {
				got := at[i+1] - at[i]
				low, high := float64(want)*(1-jitter), float64(want)*(1+jitter)
				if f := float64(got); f < low-1 || f > high+1 {
					t.Errorf("pause %d is %v, want %v ± %v", i+1, got, want, jitter)
				}
				if got == want {
					exact++
				}
			}
			if exact == len(c.pause) {
				t.Error("no jitter")
			}
		}
	})
}

func TestDoWaitsForTheDelayAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, _ := attempts(t.Context(), RetryConfig{MaxAttempts: 3, InitialInterval: time.Second}, &RetryableError{Err: errDown, After: 7 * time.Second})
		for i := 1; i < len(at); i++ {
			if pause := at[i] - at[i-1]; pause < 7500*time.Millisecond || pause > 10*time.Second {
				t.Errorf("pause %d is %v, want 7 s and 0.5 to 3 s of our own", i, pause)
			}
		}
	})
}

func TestDoEnds(t *testing.T) {
	for _, c := range []struct {
		name     string
		cfg      RetryConfig
		fail     error
		timeout  time.Duration // of ctx
		cancel   time.Duration // of ctx
		attempts int           // at least 1; 0 means any number
		took     time.Duration // at most
	}{
		{name: "permanent error", fail: errDown, attempts: 1},
		{name: "one attempt", cfg: RetryConfig{MaxAttempts: 1}, fail: &RetryableError{Err: errDown}, attempts: 1},
		{name: "time elapsed", cfg: RetryConfig{MaxElapsed: 20 * time.Second}, fail: &RetryableError{Err: errDown}, took: 20 * time.Second},
		{name: "default time elapsed", fail: &RetryableError{Err: errDown}, took: time.Minute},
		{name: "delay beyond the time", cfg: RetryConfig{MaxElapsed: 20 * time.Second}, fail: &RetryableError{Err: errDown, After: time.Minute}, attempts: 1},
		{name: "endless delay", cfg: RetryConfig{MaxElapsed: -1}, fail: &RetryableError{Err: errDown, After: math.MaxInt64}, timeout: time.Minute, attempts: 1},
		{name: "pause beyond the deadline", fail: &RetryableError{Err: errDown}, timeout: 100 * time.Millisecond, attempts: 1},
		{name: "deadline", cfg: RetryConfig{MaxElapsed: -1}, fail: &RetryableError{Err: errDown}, timeout: 5 * time.Minute, took: 5 * time.Minute},
		{name: "canceled in a pause", cfg: RetryConfig{InitialInterval: time.Second, MaxElapsed: -1}, fail: &RetryableError{Err: errDown}, cancel: 100 * time.Millisecond, attempts: 1, took: 100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.timeout)
					defer cancel()
				}
				if c.cancel > 0 {
					defer time.AfterFunc(c.cancel, cancel).Stop()
				}
				started := time.Now()
				at, err := attempts(ctx, c.cfg, c.fail)
				if !errors.Is(err, errDown) {
					t.Errorf("error %v does not wrap the last one", err)
				}
				if c.attempts > 0 && len(at) != c.attempts || c.attempts == 0 && len(at) < 3 {
					t.Errorf("%d attempts, want %d (0: at least 3)", len(at), c.attempts)
				}
				if took := time.Since(started); took > c.took {
					t.Errorf("took %v, want at most %v", took, c.took)
				}
				t.Log(err)
			})
		})
	}
}

func TestDoReturnsASuccessAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		err := Do(t.Context(), RetryConfig{}, func(context.Context) error {
			if n++; n < 4 {
				return fmt.Errorf("wrapped: %w", &RetryableError{Err: errDown})
			}
			return nil
		})
		if err != nil || n != 4 {
			t.Errorf("%d attempts, %v; want 4 and success", n, err)
		}
	})
}

func TestDoSaysAttemptsAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := attempts(t.Context(), RetryConfig{MaxAttempts: 3}, &RetryableError{Err: errDown})
		if s := err.Error(); !strings.Contains(s, "3 attempts in ") || !strings.Contains(s, errDown.Error()) {
			t.Error(s)
		}
	})
}

func TestRetryable(t *testing.T) {
	retryable := &RetryableError{Err: errDown, After: time.Second}
	partial := &ringtail.ExportError{Spans: 1, Err: retryable}
	for _, c := range []struct {
		err   error
		ok    bool
		after time.Duration
	}{
		{nil, false, 0},
		{errDown, false, 0},
		{retryable, true, time.Second},
		{fmt.Errorf("wrapped: %w", retryable), true, time.Second},
		{&RetryableError{Err: errDown, After: -time.Second}, true, 0},
		{partial, false, 0},
		{errors.Join(retryable, partial), false, 0},
		{errors.Join(partial, retryable), false, 0},
		{fmt.Errorf("%w: %w", errDown, retryable), true, time.Second},
		{errors.Join(retryable, &RetryableError{Err: errDown, After: time.Minute}), true, time.Minute},
		{&RetryableError{Err: partial}, true, 0},
	} {
		if after, ok := Retryable(c.err); ok != c.ok || after != c.after {
			t.Errorf("Retryable(%v) is %v, %v", c.err, after, ok)
		}
	}
}

func TestRetryConfigValidate(t *testing.T) {
	if err := (RetryConfig{}).Validate(); err != nil {
		t.Errorf("zero value: %v", err)
	}
	for want, c := range map[string]RetryConfig{
		"InitialInterval is -1ns": {InitialInterval: -1},
		"Multiplier is 0.5":       {Multiplier: 0.5},
		"Multiplier is NaN":       {Multiplier: math.NaN()},
		"MaxInterval is -1s":      {MaxInterval: -time.Second},
		"Jitter is 1.5":           {Jitter: 1.5},
		"Jitter is NaN":           {Jitter: math.NaN()},
		"MaxAttempts is -3":       {MaxAttempts: -3},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// script is an exporter that answers with one error after another, and then nil.
type script struct {
	answers  []error
	exports  int
	flushes  int
	shutdown int
}

func (s *script) Export(context.Context, *ringtail.Batch) error {
	s.exports++
	if len(s.answers) == 0 {
		return nil
	}
	err := s.answers[0]
	s.answers = s.answers[1:]
	return err
}

func (s *script) Flush(context.Context) error    { s.flushes++; return errDown }
func (s *script) Shutdown(context.Context) error { s.shutdown++; return errDown }

func TestRetryRepeatsWhatFailedAsAWhole(t *testing.T) {
	again := &RetryableError{Err: errDown}
	for _, c := range []struct {
		name    string
		answers []error
		exports int
		fails   bool
	}{
		{"success", nil, 1, false},
		{"success after two failures", []error{again, again}, 3, false},
		{"permanent", []error{errDown}, 1, true},
		{"partial", []error{&ringtail.ExportError{Spans: 1, Err: again}}, 1, true},
		{"partial after a failure", []error{again, &ringtail.ExportError{Spans: 1}}, 2, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			next := &script{answers: c.answers}
			err := Retry(next, RetryConfig{}).Export(t.Context(), &ringtail.Batch{})
			if next.exports != c.exports || (err != nil) != c.fails {
				t.Errorf("%s: %d exports, %v", c.name, next.exports, err)
			}
		})
	}
}

func TestRetryShutdownEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answers: []error{&RetryableError{Err: errDown}, nil}}
		r := Retry(next, RetryConfig{InitialInterval: time.Hour, MaxElapsed: -1})
		failed := make(chan error)
		go func() { failed <- r.Export(t.Context(), &ringtail.Batch{}) }()
		synctest.Wait() // it pauses
		started := time.Now()
		if err := r.Shutdown(t.Context()); !errors.Is(err, errDown) || next.shutdown != 1 {
			t.Errorf("Shutdown is not passed on: %v, %d", err, next.shutdown)
		}
		err := <-failed
		if !errors.Is(err, errDown) || !strings.Contains(err.Error(), "shut down") || next.exports != 1 {
			t.Errorf("%v after %d exports", err, next.exports)
		}
		if took := time.Since(started); took != 0 {
			t.Errorf("the pause went on for %v", took)
		}
	})
}

func TestRetryPassesFlushOn(t *testing.T) {
	next := &script{}
	if err := Retry(next, RetryConfig{}).(ringtail.Flusher).Flush(t.Context()); err != errDown || next.flushes != 1 {
		t.Errorf("%v, %d flushes", err, next.flushes)
	}
	type noFlusher struct{ ringtail.Exporter }
	if err := Retry(noFlusher{next}, RetryConfig{}).(ringtail.Flusher).Flush(t.Context()); err != nil {
		t.Error(err)
	}
}
