package export

import (
	"context"
	"time"

	"github.com/ringtail-otel/ringtail"
)

// RateLimiter is the exporter that [RateLimit] returns.
type RateLimiter struct {
	next    ringtail.Exporter
	closing *closing
	rate    float64 // tokens a second, one for a span; 0 is no limit
	burst   float64

	turn   turn // guards what follows, and is held while waiting: first come, first served
	tokens float64
	filled time.Time // when tokens was brought up to date
}

// RateLimit passes on at most so many spans a second, and burst of them at once
// after a pause. A spansPerSecond that is not positive is no limit; a burst that
// is not positive is what a second allows, and at least one.
//
// Export waits for its turn and drops nothing as long as its context lasts: that
// holds back whoever calls it, which is how a limit reaches the one who makes the
// spans. Exports get their turn in the order in which they came. A batch is never
// taken apart: one larger than burst waits for a full bucket and leaves a debt
// that those behind it wait for. When the context ends first, the batch is lost
// for [ringtail.ReasonUnavailable], next has not seen it, and it has taken nothing
// from the others' share.
//
// Under a collector that context ends after [ringtail.WithExportTimeout], and the wait
// counts against it. When spans come faster than the limit, every export waits behind
// all others, so spansPerSecond times the timeout should exceed
// [ringtail.WithConcurrentExports] times [ringtail.WithBatchSpans], with time to
// spare for the export itself; otherwise spans are dropped as unavailable, where
// they should have been held back. More than one concurrent export only makes the
// wait longer, unless next is slower than the limit.
//
// Shutdown ends the waiting at once, those batches are lost for
// [ringtail.ReasonShutdown], and shuts next down. Flush passes the call on, and does not
// wait for exports that wait.
func RateLimit(next ringtail.Exporter, spansPerSecond float64, burst int) *RateLimiter {
	l := &RateLimiter{next: next, closing: newClosing(), turn: newTurn(), filled: time.Now()}
	if spansPerSecond > 0 {
		l.rate, l.burst = spansPerSecond, max(1, spansPerSecond)
	}
	if burst > 0 {
		l.burst = float64(burst)
	}
	l.tokens = l.burst
	return l
}

// Export waits, and then passes the batch on.
func (l *RateLimiter) Export(ctx context.Context, b *ringtail.Batch) error {
	if err := l.closing.refuse(b); err != nil {
		return err
	}
	if l.rate > 0 && b.Len() > 0 {
		if err := l.wait(ctx, b); err != nil {
			return err
		}
	}
	return l.next.Export(ctx, b)
}

func (l *RateLimiter) wait(ctx context.Context, b *ringtail.Batch) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return lost(b, ringtail.ReasonUnavailable, ctx.Err())
	case <-l.closing.begun:
		return lost(b, ringtail.ReasonShutdown, ringtail.ErrClosed)
	}
	defer l.turn.give()
	n := float64(b.Len())
	for {
		if err := ctx.Err(); err != nil {
			return lost(b, ringtail.ReasonUnavailable, err)
		}
		l.fill()
		missing := min(n, l.burst) - l.tokens
		if missing <= 0 {
			l.tokens -= n
			return nil
		}
		// Rounded up, or the last nanosecond would be waited for in vain. A wait
		// beyond an hour is looked at again each hour: a Duration has its limits.
		pause := time.Duration(min(missing/l.rate, 3600)*1e9) + 1
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return lost(b, ringtail.ReasonUnavailable, ctx.Err())
		case <-l.closing.begun:
			timer.Stop()
			return lost(b, ringtail.ReasonShutdown, ringtail.ErrClosed)
		}
	}
}

func (l *RateLimiter) fill() {
	now := time.Now()
	l.tokens = min(l.burst, l.tokens+now.Sub(l.filled).Seconds()*l.rate)
	l.filled = now
}

// Flush passes the call on.
func (l *RateLimiter) Flush(ctx context.Context) error { return flush(ctx, l.next) }

// Describe says what next is.
func (l *RateLimiter) Describe() ringtail.ExporterInfo { return describe(l.next) }

// Shutdown ends the waiting, and shuts the next exporter down.
func (l *RateLimiter) Shutdown(ctx context.Context) error {
	return l.closing.shutdown(ctx, func() error { return l.next.Shutdown(ctx) })
}
