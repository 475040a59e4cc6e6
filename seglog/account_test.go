package seglog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"
)

// TestAccounts does at random what users of a log do, and after each step counts again, from what
// they hold, who refers to which chunk, what is in use and what of that is lent, and what each
// cursor has consumed.
func TestAccounts(t *testing.T) {
	first := uint64(time.Now().UnixNano())
	t.Logf("seeds from %d", first)
	seeds, steps := uint64(60), 1500
	if testing.Short() {
		seeds = 10
	}
	if *longRun {
		seeds *= 50
	}
	for seed := range seeds {
		for _, whenFull := range []Policy{Refuse, DropOldest} {
			a := newAccount(t, first+seed, whenFull)
			for range steps {
				a.step()
			}
			a.end()
		}
	}
}

// held is a run with a copy of what it has.
type held struct {
	run    *Run
	bodies [][]byte
}

type account struct {
	t       *testing.T
	name    string
	random  *rand.Rand
	log     *Log
	options Options

	open    []Reservation
	runs    []held
	kept    []held // given back, and still read
	cursors map[string]*accountCursor
	next    byte
}

type accountCursor struct {
	*Cursor
	ends     []Position // of runs that were not committed
	flying   []Frame    // of these
	consumed uint64
}

func newAccount(t *testing.T, seed uint64, whenFull Policy) *account {
	o := Options{SegmentBytes: 4 << 10, MaxBytes: 64 << 10, WhenFull: whenFull, Logger: slog.New(slog.DiscardHandler)}
	l, err := NewMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	return &account{t: t, name: fmt.Sprintf("seed %d, %v", seed, whenFull), random: rand.New(rand.NewPCG(seed, 1)),
		log: l, options: o, cursors: map[string]*accountCursor{}}
}

func (a *account) step() {
	name := fmt.Sprint("c", a.random.IntN(3))
	c := a.cursors[name]
	what := ""
	switch k := a.random.IntN(23); {
	case k < 7:
		what = "reserve"
		a.reserve()
	case k < 14 && len(a.open) > 0:
		what = "commit"
		r := takeOne(a.random, &a.open)
		if a.random.IntN(6) == 0 {
			r.Abort()
		} else if _, err := r.Commit(a.t.Context(), a.random.IntN(9)); err != nil {
			a.t.Fatal(a.name, err)
		}
	case k < 18 && c != nil:
		what = "read"
		a.read(c)
	case k < 21 && len(a.runs) > 0:
		what = "release"
		h := takeOne(a.random, &a.runs)
		if a.random.IntN(4) == 0 {
			h.run.Keep()
			if len(a.kept) < 10 {
				a.kept = append(a.kept, h)
			}
		}
		h.run.Release()
	case k < 22 && c != nil && len(c.ends) > 0:
		what = "commit of a cursor"
		a.commit(c)
	case k == 22 && c == nil:
		what = "open"
		opened, err := a.log.OpenCursor(name)
		if err != nil {
			a.t.Fatal(a.name, err)
		}
		a.cursors[name] = &accountCursor{Cursor: opened}
	case k == 22 && a.random.IntN(4) == 0:
		what = "delete"
		c.Close()
		if err := a.log.DeleteCursor(name); err != nil {
			a.t.Fatal(a.name, err)
		}
		delete(a.cursors, name)
	}
	a.check(what)
}

func (a *account) reserve() {
	n := a.random.IntN(1200)
	if a.random.IntN(30) == 0 {
		n = a.random.IntN(9000)
	}
	r, err := a.log.Reserve(n)
	if err != nil {
		return // it is full
	}
	a.next++
	for i := range r.Bytes() {
		r.Bytes()[i] = a.next
	}
	a.open = append(a.open, r)
}

func (a *account) read(c *accountCursor) {
	if c.Stats().Read == a.log.Stats().End {
		return
	}
	ended, cancel := context.WithCancel(a.t.Context())
	cancel()
	r, err := c.Read(ended, Want{MaxBytes: 1 + a.random.IntN(6000)})
	if err != nil {
		return // all that is left was aborted, or forced out
	}
	h := held{run: r}
	for _, f := range r.Frames {
		h.bodies = append(h.bodies, bytes.Clone(f.Body))
	}
	a.runs = append(a.runs, h)
	c.ends = append(c.ends, r.End)
	c.flying = append(c.flying, r.Frames...)
}

func (a *account) commit(c *accountCursor) {
	i := a.random.IntN(len(c.ends))
	if err := c.Commit(c.ends[i], nil); err != nil {
		a.t.Fatal(a.name, err)
	}
	c.ends = c.ends[i+1:]
	for at := c.Stats().Position; len(c.flying) > 0 && c.flying[0].Position < at; c.flying = c.flying[1:] {
		c.consumed += uint64(c.flying[0].Count)
	}
}

func takeOne[T any](random *rand.Rand, from *[]T) T {
	i := random.IntN(len(*from))
	v := (*from)[i]
	*from = append((*from)[:i], (*from)[i+1:]...)
	return v
}

func (a *account) check(what string) {
	l := a.log
	l.mu.Lock()
	defer l.mu.Unlock()
	refs, runs := map[*chunk]int{}, map[*chunk]int{}
	if l.open != nil {
		refs[l.open]++
	}
	for _, r := range a.open {
		refs[r.slot.chunk]++
	}
	for i := range l.extents {
		refs[l.extents[i].chunk]++
	}
	for _, h := range a.runs {
		for _, c := range h.run.holds {
			refs[c]++
			runs[c]++
		}
	}
	var inUse, lent int64
	for c, n := range refs {
		if c.refs != n || c.runs != runs[c] {
			a.t.Fatalf("%s, after %s: a chunk has %d references, %d of runs; %d and %d are there", a.name, what, c.refs, c.runs, n, runs[c])
		}
		inUse += int64(len(c.buf))
		if n == runs[c] {
			lent += int64(len(c.buf))
		}
	}
	if l.memory.inUse != inUse || l.memory.lent != lent {
		a.t.Fatalf("%s, after %s: %d in use, %d lent; want %d and %d", a.name, what, l.memory.inUse, l.memory.lent, inUse, lent)
	}
	if inUse-lent > a.options.MaxBytes {
		a.t.Fatalf("%s, after %s: the log has %d bytes", a.name, what, inUse-lent)
	}
	for _, c := range l.memory.free {
		if refs[c] > 0 || c.kept {
			a.t.Fatalf("%s, after %s: a chunk that somebody reads is free", a.name, what)
		}
	}
	for name, c := range a.cursors {
		st := c.stats()
		if sum := st.Start + st.Consumed + st.Skipped[0] + st.Skipped[1] + st.Skipped[2] + st.LagCount; l.count != sum || st.Consumed != c.consumed || st.Unread > st.LagCount {
			a.t.Fatalf("%s, after %s: cursor %s has consumed %d of %d: %+v", a.name, what, name, c.consumed, l.count, st)
		}
	}
	for _, h := range append(a.runs[:len(a.runs):len(a.runs)], a.kept...) {
		for i, f := range h.run.Frames {
			if !bytes.Equal(f.Body, h.bodies[i]) {
				a.t.Fatalf("%s, after %s: what somebody reads was written over", a.name, what)
			}
		}
	}
}

func (a *account) end() {
	for _, r := range a.open {
		r.Abort()
	}
	for _, h := range a.runs {
		h.run.Release()
	}
	a.open, a.runs = nil, nil
	a.check("the end")
	if a.log.memory.lent != 0 {
		a.t.Errorf("%s: %d bytes are lent at the end", a.name, a.log.memory.lent)
	}
	if err := a.log.Close(); err != nil {
		a.t.Error(a.name, err)
	}
}
