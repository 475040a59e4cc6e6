package sink

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
)

// Counts is what came, and what became of it. A span counts as often as it comes.
type Counts struct {
	Requests   uint64 `json:"requests"` // of which spans were counted
	Spans      uint64 `json:"spans"`
	Bytes      uint64 `json:"bytes"`      // of requests as protobuf, decompressed
	SpanBytes  uint64 `json:"span_bytes"` // of spans, with tag and length
	Unnumbered uint64 `json:"spans_unnumbered"`

	// Requests of which nothing was counted.
	Refused   uint64 `json:"requests_refused"`
	Malformed uint64 `json:"requests_malformed"`

	// What --answer has done to requests.
	Hung          uint64 `json:"requests_hung"`
	Garbage       uint64 `json:"requests_garbage"`
	Partial       uint64 `json:"requests_partial"`
	RejectedSpans uint64 `json:"spans_rejected"`
}

// A Report is what a sink has received.
type Report struct {
	Counts
	Seconds float64 `json:"seconds"` // from the first request to the last
	// Exact is false when there were more numbers than there was room to note; Untracked is how many
	// spans that concerns.
	Exact     bool   `json:"exact"`
	Untracked uint64 `json:"spans_untracked"`
	Runs      []Run  `json:"runs"`
}

// A Run is what came of one run of the load generator.
type Run struct {
	Run        string `json:"run"`
	Seen       uint64 `json:"spans_seen"`       // different ones
	Highest    uint64 `json:"highest"`          // number
	Duplicates uint64 `json:"spans_duplicated"` // arrivals of spans that had come before

	// Missing is the numbers up to the highest that did not come; MissingRanges the first of them.
	Missing       uint64          `json:"spans_missing"`
	MissingRanges []numbers.Range `json:"missing_ranges"`

	// Acked is how many were acknowledged, and Lost how many of these did not come; nil when no
	// file of acknowledged numbers was given.
	Acked      *uint64         `json:"spans_acked,omitempty"`
	Lost       *uint64         `json:"spans_lost,omitempty"`
	LostRanges []numbers.Range `json:"lost_ranges,omitempty"`
	// Unacked is how many came that were not acknowledged: no fault, the answer may have been lost.
	Unacked *uint64 `json:"spans_unacked,omitempty"`
}

// maxRanges is how many ranges of missing numbers are listed.
const maxRanges = 20

// Lost returns how many spans are known to be lost: of those acknowledged, when files of them were
// given, or else of those up to each run's highest number.
func (r *Report) Lost() (n uint64) {
	for _, run := range r.Runs {
		if run.Lost != nil {
			n += *run.Lost
		} else {
			n += run.Missing
		}
	}
	return n
}

// Duplicates returns how many arrivals were of spans that had come before.
func (r *Report) Duplicates() (n uint64) {
	for _, run := range r.Runs {
		n += run.Duplicates
	}
	return n
}

// Seen returns how many different numbered spans came.
func (r *Report) Seen() (n uint64) {
	for _, run := range r.Runs {
		n += run.Seen
	}
	return n
}

// Counts returns what has come so far, without a look at which numbers.
func (s *Sink) Counts() (c Counts, seen uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts, s.tracker.Len()
}

// Report tells what has come so far; meanwhile requests wait. An error is a file of acknowledged numbers
// that cannot be read: the report is right without it.
func (s *Sink) Report() (Report, error) {
	acked, err := s.acked()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{Counts: s.counts, Seconds: s.last.Sub(s.first).Round(time.Microsecond).Seconds(), Untracked: s.tracker.Untracked(), Runs: []Run{}}
	r.Exact = r.Untracked == 0
	for _, id := range s.tracker.Runs() {
		r.Runs = append(r.Runs, describe(id, s.tracker.Run(id), acked))
		delete(acked, id)
	}
	for id := range acked { // runs of which nothing came
		r.Runs = append(r.Runs, describe(id, &numbers.Arrivals{}, acked))
	}
	return r, err
}

func describe(id numbers.Run, a *numbers.Arrivals, acked map[numbers.Run]*numbers.Set) Run {
	r := Run{Run: id.String(), Seen: a.Len(), Highest: a.Highest(), Duplicates: a.Duplicates}
	r.MissingRanges, r.Missing = gather(a.Missing())
	if acked == nil {
		return r
	}
	set := acked[id]
	if set == nil {
		set = new(numbers.Set)
	}
	n := set.Len()
	ranges, lost := gather(set.Without(&a.Set))
	_, unacked := gather(a.Set.Without(set))
	r.Acked, r.Lost, r.LostRanges, r.Unacked = &n, &lost, ranges, &unacked
	return r
}

// gather returns the first ranges, and how many numbers all of them have.
func gather(ranges iter.Seq[numbers.Range]) (first []numbers.Range, n uint64) {
	first = []numbers.Range{}
	for r := range ranges {
		n += r.Len()
		if len(first) < maxRanges {
			first = append(first, r)
		}
	}
	return first, n
}

// acked reads the files of acknowledged numbers; nil when there are none.
func (s *Sink) acked() (map[numbers.Run]*numbers.Set, error) {
	if len(s.cfg.Acked) == 0 {
		return nil, nil
	}
	all := make(map[numbers.Run]*numbers.Set)
	for _, path := range s.cfg.Acked {
		sets, err := readAcked(path)
		if err != nil {
			return nil, fmt.Errorf("cannot compare with the acknowledged numbers in %s: %w", path, err)
		}
		for run, set := range sets {
			if all[run] == nil {
				all[run] = set
				continue
			}
			for r := range set.Without(all[run]) {
				all[run].AddRange(r)
			}
		}
	}
	return all, nil
}

func readAcked(path string) (map[numbers.Run]*numbers.Set, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // no load has begun
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return numbers.ReadRanges(f)
}
