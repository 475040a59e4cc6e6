package numbers

import (
	"maps"
	"slices"
)

// Bounds of a [Tracker].
const (
	maxPartial = Max / pageNumbers // pages with gaps, of all runs: 512 MiB
	maxRuns    = 1024
)

// A Tracker notes the numbers that arrive, of several runs. The zero value is ready. It is not safe for
// concurrent use.
//
// Its memory is bounded: 512 MiB for pages with gaps, which is what 2^32 numbers take of which some
// are missing everywhere, and a thousand runs. What comes beyond that, or with a number above [Max],
// is counted as untracked, and may have been a duplicate.
type Tracker struct {
	runs      map[Run]*Arrivals
	partial   int
	untracked uint64

	last    *Arrivals
	lastRun Run
}

// Arrivals is what came of one run.
type Arrivals struct {
	Set
	Duplicates uint64 // arrivals of numbers that were there already
}

// Add notes a span.
func (t *Tracker) Add(run Run, number uint64) {
	a := t.last
	if a == nil || run != t.lastRun {
		if a = t.run(run); a == nil {
			t.untracked++
			return
		}
	}
	if number > Max || t.partial >= maxPartial && !a.has(number) {
		t.untracked++
		return
	}
	if !a.Set.Add(number) {
		a.Duplicates++
	}
}

// run returns nil when there are too many.
func (t *Tracker) run(run Run) *Arrivals {
	a := t.runs[run]
	if a == nil {
		if len(t.runs) >= maxRuns {
			return nil
		}
		if t.runs == nil {
			t.runs = make(map[Run]*Arrivals)
		}
		a = &Arrivals{Set: Set{partial: &t.partial}}
		t.runs[run] = a
	}
	t.last, t.lastRun = a, run
	return a
}

// Run returns what came of a run; nil when nothing did.
func (t *Tracker) Run(run Run) *Arrivals { return t.runs[run] }

// Runs returns the runs of which something came, in order.
func (t *Tracker) Runs() []Run { return slices.Sorted(maps.Keys(t.runs)) }

// Untracked returns how many spans there was no room to note.
func (t *Tracker) Untracked() uint64 { return t.untracked }

// Len returns how many different spans came, all runs together.
func (t *Tracker) Len() (n uint64) {
	for _, a := range t.runs {
		n += a.Len()
	}
	return n
}
