package ringtail

import (
	"context"
	"errors"
	"fmt"
)

// Exporter sends batches to one backend.
//
// Export is called from several goroutines at once when the collector is allowed
// concurrent exports. The batch is the caller's: it is valid until Export
// returns, and an exporter that needs it longer takes a [Batch.Clone]; if it only turns out
// that something may still read the bytes, it says so with [Batch.Keep]. Export
// should return when ctx ends; one that does not holds its slot of the
// collector's concurrency until it does, and delays only its own collector.
// A nil error says that the backend has every span of the batch. An error says
// that it has none of them, unless it is, or wraps, one or more [*ExportError]:
// then these tell how many spans were lost and why, and the rest was delivered.
// A panic in Export is recovered and counted as [ReasonPanic].
//
// Shutdown is called once, after the last Export has returned; if the context of
// [Collector.Shutdown] ended first, it may come while exports are still being given up.
// It delivers what the exporter still holds, releases what it owns, and returns within ctx.
type Exporter interface {
	Export(ctx context.Context, b *Batch) error
	Shutdown(ctx context.Context) error
}

// Flusher is an [Exporter] that holds spans back after Export has returned.
// [Collector.Flush] asks it to deliver them.
type Flusher interface {
	Flush(ctx context.Context) error
}

// Reason says why a span was dropped.
type Reason uint8

// The reasons. Those up to ReasonCanceled are given at the submit, and the
// caller is told; the later ones happen on the way to the backend.
const (
	ReasonInvalid     Reason = iota // no trace id, no span id, or a nil span
	ReasonTooLarge                  // the encoded span does not fit a ring
	ReasonScopeLimit                // more distinct scopes than the collector keeps
	ReasonSampled                   // the head sampler decided against it
	ReasonFull                      // its ring was full: TrySubmit's ErrFull
	ReasonClosed                    // submitted after Close or Shutdown
	ReasonCanceled                  // Submit's context ended while it waited
	ReasonRejected                  // the backend refused it for good
	ReasonExport                    // sending failed, after the retries that were allowed
	ReasonTimeout                   // sending took longer than allowed
	ReasonUnavailable               // a circuit breaker or a rate limiter kept it from being sent
	ReasonPanic                     // the exporter panicked
	ReasonShutdown                  // Shutdown's context ended first
	numReasons
)

var reasonNames = [numReasons]string{
	"invalid", "too_large", "scope_limit", "sampled", "queue_full", "already_shutdown", "canceled",
	"rejected", "export_failed", "timeout", "unavailable", "panic", "shutdown",
}

// String returns the reason as metrics and logs spell it: "queue_full".
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// ExportError is how an [Exporter] says that part of a batch was not delivered.
// Several of them, joined by [errors.Join], tell of several parts.
type ExportError struct {
	Spans  int    // how many spans were lost; the others of the batch were delivered
	Reason Reason // why; the zero value counts as ReasonExport
	Err    error  // what happened, for people; may be nil
}

// Error says how many spans were lost, and why.
func (e *ExportError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%d spans not delivered (%s)", e.Spans, e.Reason)
	}
	return fmt.Sprintf("%d spans not delivered (%s): %v", e.Spans, e.Reason, e.Err)
}

// Unwrap returns Err.
func (e *ExportError) Unwrap() error { return e.Err }

// Losses returns how many of a batch's n spans err says were lost, by reason.
// It never says more than n, whatever an exporter may claim.
func Losses(err error, n int) Drops {
	var d Drops
	if err == nil {
		return d
	}
	if !addLosses(&d, err, n) {
		d[lossReason(err)] = uint64(n)
		return d
	}
	// An exporter that miscounts must not unbalance the ledger.
	for left, i := uint64(n), 0; i < len(d); i++ {
		d[i] = min(d[i], left)
		left -= d[i]
	}
	return d
}

// addLosses adds up the ExportErrors in err's tree and says whether it found any.
func addLosses(d *Drops, err error, n int) bool {
	switch e := err.(type) {
	case *ExportError:
		if e == nil { // in an error that is not nil: an exporter's slip, which says nothing
			d[ReasonExport] += uint64(n)
			return true
		}
		r := e.Reason
		if r >= numReasons || r == ReasonInvalid {
			r = ReasonExport // a span that was sent had been valid
		}
		d[r] += uint64(min(max(e.Spans, 0), n))
		return true
	case interface{ Unwrap() []error }:
		found := false
		for _, e := range e.Unwrap() {
			if e != nil && addLosses(d, e, n) {
				found = true
			}
		}
		return found
	case interface{ Unwrap() error }:
		return e.Unwrap() != nil && addLosses(d, e.Unwrap(), n)
	}
	return false
}

func lossReason(err error) Reason {
	if errors.Is(err, context.DeadlineExceeded) {
		return ReasonTimeout
	}
	return ReasonExport
}
