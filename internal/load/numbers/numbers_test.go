package numbers

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func random(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func TestIDs(t *testing.T) {
	rng := random(t)
	for range 1000 {
		run, number, traceNumber := Run(rng.Uint32()), rng.Uint64()|1, rng.Uint64()
		traceID, spanID := TraceID(run, traceNumber), SpanID(number)
		gotRun, gotNumber, ok := Of(traceID[:], spanID[:])
		if gotRun != run || gotNumber != number || !ok || TraceNumber(traceID) != traceNumber {
			t.Fatalf("%v %d %d: %v %d %d %v", run, number, traceNumber, gotRun, gotNumber, TraceNumber(traceID), ok)
		}
	}
	zero := SpanID(0)
	own, foreign := TraceID(1, 2), [16]byte{1, 2, 3}
	if _, _, ok := Of(own[:], zero[:]); ok {
		t.Error("a span without an id has a number")
	}
	one := SpanID(1)
	if _, _, ok := Of(foreign[:], one[:]); ok {
		t.Error("a foreign span has a number")
	}
}

// Every trace has one root, which is where its places say, and whole ones stay in a request.
func TestPlaces(t *testing.T) {
	for _, traces := range []Traces{
		{100, 10, false}, {100, 7, false}, {3, 10, false}, {1, 1, false}, {1, 5, false},
		{100, 10, true}, {7, 3, true}, {1, 4, true}, {5, 1, true},
	} {
		type seen struct {
			root     uint64
			indexes  []int
			requests []uint64
		}
		byTrace := map[uint64]*seen{}
		requests := uint64(traces.Spans * 4)
		for r := range requests {
			for i := range traces.Request {
				p := traces.Place(r, i)
				number := r*uint64(traces.Request) + uint64(i) + 1
				s := byTrace[p.Trace]
				if s == nil {
					s = &seen{root: p.Root}
					byTrace[p.Trace] = s
				}
				if s.root != p.Root || (p.Index == 0) != (number == p.Root) {
					t.Fatalf("%+v: span %d is at %+v, the trace's root was %d", traces, number, p, s.root)
				}
				s.indexes, s.requests = append(s.indexes, p.Index), append(s.requests, r)
			}
		}
		for n, s := range byTrace {
			for i, index := range s.indexes {
				if index != i {
					t.Fatalf("%+v: trace %d has places %v", traces, n, s.indexes)
				}
			}
			different := len(slices.Compact(s.requests))
			if traces.Scattered && (different != traces.Spans || len(s.indexes) != traces.Spans) || !traces.Scattered && different != 1 {
				t.Fatalf("%+v: trace %d is in %d requests, with %d spans", traces, n, different, len(s.indexes))
			}
		}
	}
}

// The set against a map, at the edges of words and pages.
func TestSetAgainstAMap(t *testing.T) {
	rng := random(t)
	for range 30 {
		var s, other Set
		has, others := map[uint64]bool{}, map[uint64]bool{}
		around := []uint64{1, 64, 65, pageNumbers, pageNumbers + 1, 3 * pageNumbers}
		for range 400 {
			n := min(max(around[rng.IntN(len(around))]+rng.Uint64N(130), 66)-65, 3*pageNumbers+80)
			if s.Add(n) == has[n] {
				t.Fatalf("Add(%d) is %v", n, has[n])
			}
			has[n] = true
			m := 1 + rng.Uint64N(3*pageNumbers)
			r := Range{m, m + rng.Uint64N(300)}
			if rng.IntN(60) == 0 {
				r.Last += 2 * pageNumbers
			}
			if rng.IntN(20) == 0 {
				other.AddRange(r)
				for ; m <= r.Last; m++ {
					others[m] = true
				}
			}
		}
		if s.Len() != uint64(len(has)) || other.Len() != uint64(len(others)) {
			t.Fatalf("%d and %d numbers, want %d and %d", s.Len(), other.Len(), len(has), len(others))
		}
		check(t, &s, &other, has, others)
		check(t, &other, &s, others, has)
		var missing uint64
		for r := range s.Missing() {
			missing += r.Len()
		}
		if missing != s.Highest()-s.Len() {
			t.Fatalf("%d missing of %d up to %d", missing, s.Len(), s.Highest())
		}
	}
}

func check(t *testing.T, a, b *Set, inA, inB map[uint64]bool) {
	t.Helper()
	var n int
	var before Range
	for r := range a.Without(b) {
		if r.First <= before.Last+1 && before.Last > 0 || r.Last < r.First {
			t.Fatalf("%v after %v", r, before)
		}
		before = r
		for i := r.First; i <= r.Last; i++ {
			if n++; !inA[i] || inB[i] {
				t.Fatalf("%d is in %v", i, r)
			}
		}
	}
	for i := range inA {
		if !inB[i] {
			n--
		}
	}
	if n != 0 {
		t.Fatalf("%d numbers too many", n)
	}
}

func TestSetStopsEarly(t *testing.T) {
	var s Set
	for n := uint64(2); n < 1000; n += 2 {
		s.Add(n)
	}
	for range s.Missing() {
		break
	}
}

func TestTracker(t *testing.T) {
	var tr Tracker
	for _, n := range []uint64{1, 2, 2, 5, 1} {
		tr.Add(7, n)
	}
	tr.Add(3, 1)
	a := tr.Run(7)
	if a.Len() != 3 || a.Duplicates != 2 || a.Highest() != 5 || tr.Len() != 4 || !slices.Equal(tr.Runs(), []Run{3, 7}) {
		t.Errorf("%+v, %v", a, tr.Runs())
	}
	if got := slices.Collect(a.Missing()); !slices.Equal(got, []Range{{3, 4}}) {
		t.Error(got)
	}
	tr.Add(7, Max)
	tr.Add(7, Max+1)
	if a.Highest() != Max || tr.Untracked() != 1 {
		t.Errorf("highest %d, %d untracked", a.Highest(), tr.Untracked())
	}
}

// Complete pages take no room, gaps everywhere take a bounded one.
func TestTrackerIsBounded(t *testing.T) {
	var tr Tracker
	for n := uint64(1); n <= 3*pageNumbers; n++ {
		tr.Add(1, n)
	}
	if tr.partial != 0 || tr.Run(1).Len() != 3*pageNumbers {
		t.Errorf("%d pages are held", tr.partial)
	}
	tr.Add(1, pageNumbers)
	if tr.Run(1).Duplicates != 1 {
		t.Error("a duplicate of a complete page")
	}
	tr.partial = maxPartial - 1 // as if
	tr.Add(1, 5*pageNumbers)
	tr.Add(1, 7*pageNumbers)
	tr.Add(1, 5*pageNumbers-1)
	if tr.Untracked() != 1 || tr.Run(1).Len() != 3*pageNumbers+2 {
		t.Errorf("%d untracked, %d seen", tr.Untracked(), tr.Run(1).Len())
	}
	for run := range Run(2 * maxRuns) {
		tr.Add(run, 3*pageNumbers)
	}
	if len(tr.runs) > maxRuns {
		t.Errorf("%d runs", len(tr.runs))
	}
}

func TestRangesSurviveAFile(t *testing.T) {
	var file bytes.Buffer
	w := NewWriter(&file, 0xbeef)
	for _, r := range []Range{{1, 10}, {11, 20}, {31, 40}, {21, 30}} {
		w.Add(r)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if file.String() != "0000beef 1 20\n0000beef 31 40\n0000beef 21 30\n" {
		t.Errorf("%q", file.String())
	}
	file.WriteString("0000beef 41 4") // of 41 to 400
	sets, err := ReadRanges(&file)
	if err != nil || len(sets) != 1 || sets[0xbeef].Len() != 40 || sets[0xbeef].Highest() != 40 {
		t.Errorf("%v %v", sets, err)
	}
	for _, bad := range []string{"x 1 2\n", "1 2\n", "1 0 2\n", "1 3 2\n", "1 1 99999999999\n", "1 a 2\n", "\n"} {
		if _, err := ReadRanges(strings.NewReader("1 1 2\n" + bad)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

type failing struct{ calls int }

func (f *failing) Write(p []byte) (int, error) { f.calls++; return 0, errors.New("disk full") }

func TestWriterKeepsItsError(t *testing.T) {
	f := &failing{}
	w := NewWriter(f, 1)
	for n := uint64(1); n < 20_000; n += 2 {
		w.Add(Range{n, n})
	}
	if w.Flush() == nil || f.calls != 1 {
		t.Errorf("%d writes", f.calls)
	}
}
