package ringtail

import (
	"fmt"
	"iter"
	"strings"
)

// Drops counts spans by the reason for which they were dropped.
type Drops [numReasons]uint64

// Total returns the sum over all reasons.
func (d Drops) Total() uint64 {
	var n uint64
	for _, c := range d {
		n += c
	}
	return n
}

// Of returns the count for one reason.
func (d Drops) Of(r Reason) uint64 {
	if r >= numReasons {
		return 0
	}
	return d[r]
}

// All iterates over the reasons that have a count other than zero.
func (d Drops) All() iter.Seq2[Reason, uint64] {
	return func(yield func(Reason, uint64) bool) {
		for r, n := range d {
			if n != 0 && !yield(Reason(r), n) {
				return
			}
		}
	}
}

func (d *Drops) add(o *Drops) {
	for i, n := range o {
		d[i] += n
	}
}

// Stats is the ledger of a collector at one instant. It balances to the span:
//
//	Submitted = Exported + Dropped.Total() + InFlight
//
// Every call of TrySubmit or Submit counts one submitted span, also one that is
// refused: a span offered again after [ErrFull] is submitted twice and dropped once.
// Every request given to TrySubmitRequest counts its spans in the same way.
type Stats struct {
	Submitted uint64
	Exported  uint64 // the exporter said that the backend has them
	Dropped   Drops
	InFlight  uint64 // in a ring, in a batch, or being sent

	Mended  uint64 // submitted spans that had to be changed to be valid; see [Span]
	Batches uint64 // batches whose export has ended, well or not

	Producers     int // producers registered now
	QueuedBatches int // closed batches that wait for a free export
	QueuedBytes   int // the memory that these hold
	Exporting     int // exports under way

	RingBytes int // memory of all rings, in use or kept for the next producer
}

// String returns the ledger in one line.
func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d submitted = %d exported + %d dropped", s.Submitted, s.Exported, s.Dropped.Total())
	sep := " ("
	for r, n := range s.Dropped.All() {
		fmt.Fprintf(&b, "%s%s %d", sep, r, n)
		sep = ", "
	}
	if sep == ", " {
		b.WriteByte(')')
	}
	fmt.Fprintf(&b, " + %d in flight", s.InFlight)
	return b.String()
}
