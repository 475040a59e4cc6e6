package load

import (
	"maps"
	"sync"
	"time"
)

// A Report is what a run has sent, and what became of it. At its end
//
//	Sent = Acknowledged + Rejected + Refused + GivenUp
//
// and before, what is missing is under way.
type Report struct {
	Run         string `json:"run"` // as in the spans' trace ids and the file of acknowledged numbers
	Endpoint    string `json:"endpoint"`
	Protocol    string `json:"protocol"`
	Compression string `json:"compression"`

	SpanBytes    float64 `json:"span_bytes"`    // mean size of a span as protobuf, with tag and length
	RequestBytes float64 `json:"request_bytes"` // mean size of a full request, before compression

	Seconds float64 `json:"seconds"` // from the first request to the last answer
	Cut     bool    `json:"cut"`     // ended before it was over

	// Spans. A span counts as sent once, however often it is sent again.
	Sent         uint64 `json:"spans_sent"`
	Acknowledged uint64 `json:"spans_acknowledged"`
	Rejected     uint64 `json:"spans_rejected"` // by partial success
	Refused      uint64 `json:"spans_refused"`  // with an answer that says so: for good, or retryable and not retried
	GivenUp      uint64 `json:"spans_given_up"` // there was no answer, or no time left: some may have arrived

	// RefusedRetryable is the part of Refused that might have been sent again, had NoRetry not been
	// asked for.
	RefusedRetryable uint64 `json:"spans_refused_retryable"`
	// Resent is the spans of requests sent again that the receiver may have taken the first time:
	// there was no answer. It bounds the duplicates that are not the receiver's own.
	Resent uint64 `json:"spans_resent_unanswered"`

	// Requests.
	Attempts          uint64 `json:"attempts"` // every one sent, again or not
	Retries           uint64 `json:"retries"`
	RetryableRefusals uint64 `json:"retryable_refusals"`
	FinalRefusals     uint64 `json:"final_refusals"`
	Unanswered        uint64 `json:"unanswered"`
	SentBytes         uint64 `json:"bytes_sent"` // of messages, after compression

	// Errors counts what went wrong with attempts, by code: "UNAVAILABLE", "503", "timeout", "connection";
	// "garbage" is a success whose details cannot be read.
	Errors map[string]uint64 `json:"errors"`
	// LastError is what the latest of them said.
	LastError string `json:"last_error,omitempty"`

	// Latency of attempts that were answered, from sending to the answer.
	Latency Latency `json:"latency"`
}

// Rate returns the acknowledged spans a second.
func (r *Report) Rate() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(r.Acknowledged) / r.Seconds
}

// Latency is percentiles, in milliseconds, each less than 1/16 too high.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// A tally is what one worker has counted. Its lock is only ever waited for when a report is made.
type tally struct {
	mu      sync.Mutex
	report  Report // the counts of it
	latency histogram
}

func newTally() *tally { return &tally{report: Report{Errors: map[string]uint64{}}} }

// count changes the counts.
func (t *tally) count(f func(*Report)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.report)
}

// attempt notes an attempt and its outcome.
func (t *tally) attempt(o outcome, took time.Duration, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.report
	r.Attempts++
	r.SentBytes += uint64(bytes)
	if o.verdict != unanswered {
		t.latency.record(took)
	}
	if o.code == "" {
		return
	}
	r.Errors[o.code]++
	r.LastError = o.text
	switch o.verdict {
	case refusedForNow:
		r.RetryableRefusals++
	case refusedForGood:
		r.FinalRefusals++
	case unanswered:
		r.Unanswered++
	}
}

// addTo adds the counts to those of r.
func (t *tally) addTo(r *Report, latency *histogram) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := &t.report
	for _, f := range []struct{ to, from *uint64 }{
		{&r.Acknowledged, &o.Acknowledged}, {&r.Rejected, &o.Rejected}, {&r.Refused, &o.Refused}, {&r.GivenUp, &o.GivenUp},
		{&r.RefusedRetryable, &o.RefusedRetryable}, {&r.Resent, &o.Resent}, {&r.Attempts, &o.Attempts}, {&r.Retries, &o.Retries},
		{&r.RetryableRefusals, &o.RetryableRefusals}, {&r.FinalRefusals, &o.FinalRefusals}, {&r.Unanswered, &o.Unanswered},
		{&r.SentBytes, &o.SentBytes},
	} {
		*f.to += *f.from
	}
	if o.LastError != "" {
		r.LastError = o.LastError
	}
	for code, n := range maps.All(o.Errors) {
		r.Errors[code] += n
	}
	latency.add(&t.latency)
}
