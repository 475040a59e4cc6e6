package export

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail"
)

// BreakerState is what a [CircuitBreaker] does with exports.
type BreakerState uint8

// The states.
const (
	BreakerClosed   BreakerState = iota // passes them on
	BreakerOpen                         // fails them at once
	BreakerHalfOpen                     // passes a few on, to see whether the backend is back
)

// String returns "closed", "open" or "half-open".
func (s BreakerState) String() string {
	switch s {
	case BreakerClosed:
		return "closed"
	case BreakerOpen:
		return "open"
	case BreakerHalfOpen:
		return "half-open"
	}
	return fmt.Sprintf("BreakerState(%d)", uint8(s))
}

// ErrBreakerOpen is what exports fail with while a [CircuitBreaker] does not pass
// them on.
var ErrBreakerOpen = errors.New("circuit breaker is open")

// BreakerConfig says when a [CircuitBreaker] opens, and when it closes again. Its
// zero value is the default.
type BreakerConfig struct {
	// Failures in a row that open the breaker. 0 means 5; a negative number: however
	// many, only Ratio counts.
	Failures int
	// Ratio is the share of failures among the last Window exports that opens the
	// breaker too, from 0 to 1. 0 means never.
	Ratio float64
	// Window is the number of exports that Ratio looks at; it says nothing before there
	// were so many. 0 means 20, at most 4096.
	Window int
	// OpenFor is how long the breaker stays open before it lets a probe pass. 0 means
	// 10 s.
	OpenFor time.Duration
	// Probes is how many exports may pass at one time while half-open, and how many of
	// them must succeed for the breaker to close. 0 means 1.
	Probes int
	// OnStateChange, if set, is called after each change, in their order and one at
	// a time, by an Export that it keeps waiting.
	OnStateChange func(from, to BreakerState)
}

// Validate returns an error that names the first field that makes no sense, and
// its value.
func (c BreakerConfig) Validate() error {
	switch {
	case !(c.Ratio >= 0 && c.Ratio <= 1):
		return fmt.Errorf("BreakerConfig.Ratio is %v, must be from 0 to 1", c.Ratio)
	case c.Window < 0 || c.Window > maxBreakerWindow:
		return fmt.Errorf("BreakerConfig.Window is %d, must be from 0 to %d", c.Window, maxBreakerWindow)
	case c.OpenFor < 0:
		return fmt.Errorf("BreakerConfig.OpenFor is %v, must not be negative", c.OpenFor)
	case c.Probes < 0:
		return fmt.Errorf("BreakerConfig.Probes is %d, must not be negative", c.Probes)
	case c.Failures < 0 && c.Ratio == 0:
		return fmt.Errorf("BreakerConfig.Failures is %d and Ratio 0: the breaker would never open", c.Failures)
	}
	return nil
}

const maxBreakerWindow = 4096

// withDefaults returns the configuration with every field set; what makes no
// sense is replaced by the default too.
func (c BreakerConfig) withDefaults() BreakerConfig {
	if !(c.Ratio > 0 && c.Ratio <= 1) {
		c.Ratio = 0
	}
	if c.Failures == 0 || c.Failures < 0 && c.Ratio == 0 {
		c.Failures = 5
	}
	if c.Window <= 0 || c.Window > maxBreakerWindow {
		c.Window = 20
	}
	if c.OpenFor <= 0 {
		c.OpenFor = 10 * time.Second
	}
	if c.Probes <= 0 {
		c.Probes = 1
	}
	return c
}

// CircuitBreaker is the exporter that [Breaker] returns.
type CircuitBreaker struct {
	next    ringtail.Exporter
	cfg     BreakerConfig
	closing *closing

	mu        sync.Mutex
	state     BreakerState
	period    uint64 // grows with every change: an export's end counts only in the period of its begin
	reopensAt time.Time
	inRow     int         // failures in a row
	recent    failureRing // the last Window outcomes
	probing   int         // probes under way
	succeeded int         // probes of this period that succeeded

	changes  [][2]BreakerState // to be reported
	reporter bool              // somebody is reporting
}

// Breaker passes exports on as long as they succeed. When too many fail, it opens:
// for a time, every Export fails at once, so that nobody waits for a backend that
// is down, and the backend has time to come back. Then it is half-open: a few
// probes pass, and their success closes the breaker, while the first failure opens
// it again.
//
// An export that is not passed on loses its batch for [ringtail.ReasonUnavailable],
// with an error that wraps [ErrBreakerOpen] and is [Retryable]; while the breaker
// is open, after the time that is left. [Retry] around a Breaker waits for that; in
// its inside, it would keep the breaker from seeing the attempts.
//
// A failure is an error that lost the whole batch, and a panic, which goes on to
// the caller. No failure is one that lost only part of it, or that the backend
// refused for good ([ringtail.ReasonRejected]): a backend that answers is there.
// One that the caller has canceled counts neither way.
//
// Values of cfg that make no sense ([BreakerConfig.Validate]) count as not given.
// Shutdown does not wait for exports under way; it shuts next down whatever the state
// is. Flush passes the call on.
func Breaker(next ringtail.Exporter, cfg BreakerConfig) *CircuitBreaker {
	cfg = cfg.withDefaults()
	return &CircuitBreaker{next: next, cfg: cfg, closing: newClosing(), recent: newFailureRing(cfg.Window)}
}

// State returns the state. An open breaker stays open until an export comes after
// its time.
func (c *CircuitBreaker) State() BreakerState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Export passes the batch on, or fails at once.
func (c *CircuitBreaker) Export(ctx context.Context, b *ringtail.Batch) error {
	if err := c.closing.refuse(b); err != nil {
		return err
	}
	period, err := c.admit(b)
	if err != nil {
		return err
	}
	c.report()
	result := wentWrong // a panic, until next has returned
	defer func() {
		c.observe(period, result)
		c.report()
	}()
	err = c.next.Export(ctx, b)
	result = outcomeOf(ctx, err, b.Len())
	return err
}

// admit says in which period an export begins, or why it does not.
func (c *CircuitBreaker) admit(b *ringtail.Batch) (period uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == BreakerOpen {
		if left := time.Until(c.reopensAt); left > 0 {
			return 0, unavailable(b, left)
		}
		c.change(BreakerHalfOpen)
	}
	if c.state == BreakerHalfOpen {
		if c.probing+c.succeeded >= c.cfg.Probes {
			return 0, unavailable(b, 0)
		}
		c.probing++
	}
	return c.period, nil
}

func unavailable(b *ringtail.Batch, after time.Duration) error {
	return &RetryableError{Err: lost(b, ringtail.ReasonUnavailable, ErrBreakerOpen), After: after}
}

type outcome uint8

const (
	wentWrong outcome = iota
	answered
	unknown // the caller did not wait for it
)

func outcomeOf(ctx context.Context, err error, spans int) outcome {
	if err == nil {
		return answered
	}
	// A deadline says that the backend was too slow, a cancellation says nothing of it.
	if errors.Is(ctx.Err(), context.Canceled) {
		return unknown
	}
	drops := ringtail.Losses(err, spans)
	if drops.Total() < uint64(spans) || spans > 0 && drops.Of(ringtail.ReasonRejected) > 0 {
		return answered
	}
	return wentWrong
}

// observe enters how an export has ended.
func (c *CircuitBreaker) observe(period uint64, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if period != c.period {
		return // it tells of a time before the last change
	}
	if c.state == BreakerHalfOpen {
		c.probing--
		switch o {
		case wentWrong:
			c.open()
		case answered:
			if c.succeeded++; c.succeeded == c.cfg.Probes {
				c.change(BreakerClosed)
			}
		}
		return
	}
	switch o {
	case unknown:
		return
	case wentWrong:
		c.inRow++
	case answered:
		c.inRow = 0
	}
	c.recent.add(o == wentWrong)
	if c.cfg.Failures > 0 && c.inRow >= c.cfg.Failures || c.cfg.Ratio > 0 && c.recent.ratio() >= c.cfg.Ratio {
		c.open()
	}
}

func (c *CircuitBreaker) open() {
	c.change(BreakerOpen)
	c.reopensAt = time.Now().Add(c.cfg.OpenFor)
}

func (c *CircuitBreaker) change(to BreakerState) {
	if c.cfg.OnStateChange != nil {
		c.changes = append(c.changes, [2]BreakerState{c.state, to})
	}
	c.state = to
	c.period++
	c.inRow, c.probing, c.succeeded = 0, 0, 0
	c.recent.reset()
}

// report calls OnStateChange for what has changed, without the lock, unless another
// export does so already: that one goes on with what is added here.
func (c *CircuitBreaker) report() {
	if c.cfg.OnStateChange == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reporter {
		return
	}
	c.reporter = true
	defer func() { c.reporter = false }()
	for len(c.changes) > 0 {
		change := c.changes[0]
		c.changes = c.changes[1:]
		c.call(change)
	}
}

// call calls OnStateChange. The lock is held, but for the call, also when it panics.
func (c *CircuitBreaker) call(change [2]BreakerState) {
	c.mu.Unlock()
	defer c.mu.Lock()
	c.cfg.OnStateChange(change[0], change[1])
}

// Flush passes the call on.
func (c *CircuitBreaker) Flush(ctx context.Context) error { return flush(ctx, c.next) }

// Describe says what next is.
func (c *CircuitBreaker) Describe() ringtail.ExporterInfo { return describe(c.next) }

// Shutdown shuts the next exporter down.
func (c *CircuitBreaker) Shutdown(ctx context.Context) error {
	return c.closing.shutdown(ctx, func() error { return c.next.Shutdown(ctx) })
}

// failureRing remembers which of the last exports failed.
type failureRing struct {
	failed   []bool
	next     int
	filled   bool
	failures int
}

func newFailureRing(n int) failureRing { return failureRing{failed: make([]bool, n)} }

func (r *failureRing) add(failed bool) {
	if r.failed[r.next] {
		r.failures--
	}
	r.failed[r.next] = failed
	if failed {
		r.failures++
	}
	if r.next++; r.next == len(r.failed) {
		r.next, r.filled = 0, true
	}
}

// ratio returns the share of failures, 0 before the ring is filled.
func (r *failureRing) ratio() float64 {
	if !r.filled {
		return 0
	}
	return float64(r.failures) / float64(len(r.failed))
}

func (r *failureRing) reset() {
	clear(r.failed)
	r.next, r.filled, r.failures = 0, false, 0
}
