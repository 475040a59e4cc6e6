package export

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ringtail-otel/ringtail"
)

// RetryConfig says how often, and with which pauses, something that failed is
// tried again. Its zero value is the default. Whatever it says, the context's
// deadline comes first.
//
// The n-th pause is InitialInterval·Multiplier^(n-1), at most MaxInterval, times
// a random factor between 1-Jitter and 1+Jitter. When the other side has asked for
// a delay ([RetryableError]), that is waited for in addition, so that its clients
// do not all come back at once.
type RetryConfig struct {
	InitialInterval time.Duration // pause before the second attempt; 0 means 500 ms
	Multiplier      float64       // growth from one pause to the next, at least 1; 0 means 2
	MaxInterval     time.Duration // longest pause before jitter; 0 means 10 s
	Jitter          float64       // from 0 to 1; 0 means 0.5
	MaxElapsed      time.Duration // no attempt starts later than this after the first; 0 means 1 minute, negative: no limit
	MaxAttempts     int           // 1 means never to try again; 0 means no limit
}

// Validate returns an error that names the first field that makes no sense, and
// its value.
func (c RetryConfig) Validate() error {
	switch {
	case c.InitialInterval < 0:
		return fmt.Errorf("RetryConfig.InitialInterval is %v, must not be negative", c.InitialInterval)
	case c.Multiplier != 0 && !(c.Multiplier >= 1 && c.Multiplier <= 1000):
		return fmt.Errorf("RetryConfig.Multiplier is %v, must be from 1 to 1000", c.Multiplier)
	case c.MaxInterval < 0:
		return fmt.Errorf("RetryConfig.MaxInterval is %v, must not be negative", c.MaxInterval)
	case !(c.Jitter >= 0 && c.Jitter <= 1):
		return fmt.Errorf("RetryConfig.Jitter is %v, must be from 0 to 1", c.Jitter)
	case c.MaxAttempts < 0:
		return fmt.Errorf("RetryConfig.MaxAttempts is %d, must not be negative", c.MaxAttempts)
	}
	return nil
}

// withDefaults returns the configuration with every field set; what makes no
// sense is replaced by the default too.
func (c RetryConfig) withDefaults() RetryConfig {
	if c.InitialInterval <= 0 {
		c.InitialInterval = 500 * time.Millisecond
	}
	if !(c.Multiplier >= 1) {
		c.Multiplier = 2
	}
	if c.MaxInterval <= 0 {
		c.MaxInterval = 10 * time.Second
	}
	if !(c.Jitter > 0 && c.Jitter <= 1) {
		c.Jitter = 0.5
	}
	if c.MaxElapsed == 0 {
		c.MaxElapsed = time.Minute
	}
	return c
}

// RetryableError is an error after which the same may be tried again: nothing of
// what failed was delivered.
type RetryableError struct {
	Err   error         // what happened
	After time.Duration // not before this long from now; 0 when the other side named no delay
}

// Error returns Err's text.
func (e *RetryableError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *RetryableError) Unwrap() error { return e.Err }

// Retryable reports whether what failed with err may be tried again, and how long
// the other side asks to wait before. It may when err is, or wraps, a
// [*RetryableError], unless what wraps it is a [*ringtail.ExportError], or there is
// one beside it: then part of the batch has arrived, and would arrive twice. A
// RetryableError around an ExportError says that nothing has arrived, and for which
// reason it counts as lost if it is not tried again.
func Retryable(err error) (after time.Duration, ok bool) {
	for err != nil {
		switch e := err.(type) {
		case *RetryableError:
			return max(e.After, 0), true
		case *ringtail.ExportError:
			return 0, false
		case interface{ Unwrap() []error }:
			return retryableAmong(e.Unwrap())
		}
		err = errors.Unwrap(err)
	}
	return 0, false
}

// retryableAmong is Retryable of errors that were joined: the longest delay of those
// that name one.
func retryableAmong(errs []error) (after time.Duration, ok bool) {
	for _, err := range errs {
		if d, again := Retryable(err); again {
			after, ok = max(after, d), true
		} else if partial := (*ringtail.ExportError)(nil); errors.As(err, &partial) {
			return 0, false
		}
	}
	return after, ok
}

// Do calls op, at least once, until it succeeds, fails with an error that is not
// [Retryable], or cfg or ctx allows no further attempt. It does not begin a pause
// that ctx's deadline would cut short: it gives up at once instead. op gets ctx as
// it is; Do does not end an attempt that runs.
//
// The error is op's last one, and wraps it: with the number of attempts, the time
// they took, and why there was no other, if there could have been one; where only one is
// allowed it is the error as it is. It is not ctx's
// error, unless op returned that: what an attempt ran into tells more than that
// the time was over.
func Do(ctx context.Context, cfg RetryConfig, op func(context.Context) error) error {
	cfg = cfg.withDefaults()
	started := time.Now()
	interval := cfg.InitialInterval
	for attempt := 1; ; attempt++ {
		err := op(ctx)
		after, again := Retryable(err)
		if !again {
			if err != nil && attempt > 1 {
				return fmt.Errorf("attempt %d, after %v: %w", attempt, rounded(time.Since(started)), err)
			}
			return err
		}
		pause := after + time.Duration(float64(interval)*(1+cfg.Jitter*(2*rand.Float64()-1)))
		if pause < after { // overflow
			pause = after
		}
		why := cfg.stop(ctx, attempt, time.Since(started), pause)
		if why == "" {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
				interval = cfg.next(interval)
				continue
			case <-ctx.Done():
				timer.Stop()
				why = context.Cause(ctx).Error()
			}
		}
		if cfg.MaxAttempts == 1 && ctx.Err() == nil {
			return err // who allows one attempt knows that there was no other
		}
		return fmt.Errorf("gave up after %d attempts in %v (%s): %w", attempt, rounded(time.Since(started)), why, err)
	}
}

// stop says why there is no attempt after another pause, or nothing if there is.
func (c *RetryConfig) stop(ctx context.Context, attempts int, elapsed, pause time.Duration) string {
	if ctx.Err() != nil {
		return context.Cause(ctx).Error()
	}
	if c.MaxAttempts > 0 && attempts >= c.MaxAttempts {
		return "no more are allowed"
	}
	if c.MaxElapsed > 0 && pause > c.MaxElapsed-elapsed {
		return fmt.Sprintf("the next, in %v, would come after the %v that are allowed", rounded(pause), c.MaxElapsed)
	}
	if deadline, ok := ctx.Deadline(); ok && pause > time.Until(deadline) {
		return fmt.Sprintf("the next, in %v, would come after the deadline", rounded(pause))
	}
	return ""
}

func (c *RetryConfig) next(interval time.Duration) time.Duration {
	grown := float64(interval) * c.Multiplier
	if grown > float64(c.MaxInterval) {
		return c.MaxInterval
	}
	return time.Duration(grown)
}

func rounded(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

// errShutdown ends the pauses of a Retry that is shut down.
var errShutdown = errors.New("the exporter is shut down")

// Retry wraps an exporter so that a batch which failed as a whole, with an error
// that is [Retryable], is exported again. A batch of which part has arrived is not.
//
// Concurrent exports are passed on as they come, each with pauses of its own. After
// Shutdown no pause begins and those under way end, so that an export returns
// with the error of its last attempt; next is shut down at once, and an Export that
// comes later fails with [ringtail.ReasonClosed]. A Flush is passed on
// if next is a [ringtail.Flusher]. Values of cfg that make no sense
// ([RetryConfig.Validate]) count as not given.
//
// The exporters of otlpgrpc and otlphttp retry by themselves, part by part; they
// need no Retry around them.
func Retry(next ringtail.Exporter, cfg RetryConfig) ringtail.Exporter {
	r := &retrier{next: next, cfg: cfg, closing: newClosing()}
	r.open, r.close = context.WithCancel(context.Background())
	return r
}

type retrier struct {
	next    ringtail.Exporter
	cfg     RetryConfig
	closing *closing
	open    context.Context // ends at Shutdown
	close   context.CancelFunc
}

// Export passes the batch on, again and again.
func (r *retrier) Export(ctx context.Context, b *ringtail.Batch) error {
	if err := r.closing.refuse(b); err != nil {
		return err
	}
	// Shutdown ends the pauses, but not the attempts: these keep the caller's ctx.
	pauses, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.open, func() { cancel(errShutdown) })()
	return Do(pauses, r.cfg, func(context.Context) error { return r.next.Export(ctx, b) })
}

// Flush passes the call on.
func (r *retrier) Flush(ctx context.Context) error { return flush(ctx, r.next) }

// Describe says what next is.
func (r *retrier) Describe() ringtail.ExporterInfo { return describe(r.next) }

// Shutdown ends the pauses and shuts next down, once.
func (r *retrier) Shutdown(ctx context.Context) error {
	return r.closing.shutdown(ctx, func() error {
		r.close()
		return r.next.Shutdown(ctx)
	})
}
