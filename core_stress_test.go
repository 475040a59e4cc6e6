package ringtail

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// rounds is how often a stress test starts anew.
func rounds(n int) int {
	if testing.Short() || raceEnabled {
		return max(n/10, 1)
	}
	return n
}

// tally notes what a submitting goroutine was told.
type tally struct {
	accepted []uint64
	refused  map[error]int
	sampled  int // told that all is well, by a sampler that left it out
	calls    int
}

func (a *tally) note(n uint64, err error) {
	if a.calls++; err == nil {
		a.accepted = append(a.accepted, n)
		return
	}
	if a.refused == nil {
		a.refused = make(map[error]int)
	}
	a.refused[err]++
}

// merge adds up tallies and puts what was accepted in order.
func merge(tallies []tally) (all tally) {
	all.refused = make(map[error]int)
	for _, a := range tallies {
		all.calls += a.calls
		all.accepted = append(all.accepted, a.accepted...)
		for err, n := range a.refused {
			all.refused[err] += n
		}
	}
	slices.Sort(all.accepted)
	return all
}

// TestCoreCloseRace closes a core under submitting goroutines of all kinds. Every
// span whose submit returned nil is found by the drain after Close, and no other.
func TestCoreCloseRace(t *testing.T) {
	random := seeded(t)
	for range rounds(1000) {
		core, ps := newTestCore(t, 2)
		tallies := make([]tally, 5)
		var all sync.WaitGroup
		var begun atomic.Int32
		submitter := func(who int, submit func(*Span) error, fork *rand.Rand) {
			all.Go(func() {
				s := numbered(0)
				for k := uint64(0); ; k++ {
					n := uint64(who)<<32 | k
					setNumber(s, n)
					err := submit(s)
					if tallies[who].note(n, err); k == 0 {
						begun.Add(1)
					}
					if err == ErrClosed {
						return
					}
					if err == ErrFull && fork.IntN(4) == 0 {
						runtime.Gosched()
					}
				}
			})
		}
		submitter(0, ps[0].TrySubmit, fork(random))
		submitter(1, func(s *Span) error { return ps[1].Submit(context.Background(), s) }, fork(random))
		submitter(2, core.TrySubmit, fork(random))
		submitter(3, core.TrySubmit, fork(random))
		submitter(4, func(s *Span) error { return core.Submit(context.Background(), s) }, fork(random))
		var got []uint64
		polls := random.IntN(6)
		for n := 0; n < polls || begun.Load() < 2; n++ {
			got = append(got, consume(t, core, 1+random.IntN(300))...)
			runtime.Gosched()
		}
		core.Close()
		for ns := consume(t, core, 1000); len(ns) > 0; ns = consume(t, core, 1000) {
			got = append(got, ns...)
		}
		all.Wait()
		want := merge(tallies)
		if slices.Sort(got); !slices.Equal(got, want.accepted) {
			t.Fatalf("%d accepted, %d drained", len(want.accepted), len(got))
		}
		s := core.Stats()
		balance(t, s)
		if s.Submitted != uint64(want.calls) || s.Dropped.Of(ReasonFull) != uint64(want.refused[ErrFull]) ||
			s.Dropped.Of(ReasonClosed) != uint64(want.refused[ErrClosed]) || core.Pending() != 0 {
			t.Fatalf("%v; %d calls, %v", s, want.calls, want.refused)
		}
	}
}

// TestSharedUnderGC: the garbage collector makes the pool forget leases, again
// and again. No ring is lost for that, and no span.
func TestSharedUnderGC(t *testing.T) {
	core, _ := newTestCore(t, 0)
	random := seeded(t)
	const goroutines = 8
	tallies := make([]tally, goroutines)
	var all sync.WaitGroup
	for who := range goroutines {
		random := fork(random)
		all.Go(func() {
			for k := range uint64(rounds(20_000)) {
				n := uint64(who)<<32 | k
				tallies[who].note(n, core.TrySubmit(numbered(n)))
				if random.IntN(64) == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	var got []uint64
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		got = append(got, consume(t, core, 5000)...)
		if random.IntN(3) == 0 {
			runtime.GC()
		}
	}
	core.Close()
	got = append(got, consume(t, core, 1<<20)...)
	want := merge(tallies)
	if slices.Sort(got); !slices.Equal(got, want.accepted) {
		t.Errorf("%d accepted, %d consumed", len(want.accepted), len(got))
	}
	s := core.Stats()
	balance(t, s)
	if most := (max(2, runtime.GOMAXPROCS(0)) + 1) * 256 << 6; s.RingBytes > most {
		t.Errorf("%d bytes of rings, want at most %d", s.RingBytes, most)
	}
	if s.Submitted != uint64(want.calls) {
		t.Errorf("%v; %d calls", s, want.calls)
	}
}

// TestSharedLeases: with every lease forgotten, the producers come back by the
// cleanups, and until then the overflow takes the spans.
func TestSharedLeases(t *testing.T) {
	core, _ := newTestCore(t, 0)
	sh := &core.shared
	for range 3 {
		var held []*Producer
		for l := sh.lease(); l != nil; l = sh.lease() {
			held = append(held, l.producer) // and forget l
		}
		if len(held) != sh.max {
			t.Fatalf("%d leases, want %d", len(held), sh.max)
		}
		if err := core.TrySubmit(numbered(1)); err != nil || sh.overflow.producer == nil {
			t.Fatalf("with no lease left: %v", err)
		}
		eventually(t, "all producers are free again", func() bool {
			runtime.GC()
			sh.free.Lock()
			defer sh.free.Unlock()
			return len(sh.free.producers) == sh.max
		})
	}
	if n := len(consume(t, core, 10)); n != 3 || sh.made != sh.max {
		t.Errorf("%d spans, %d producers made", n, sh.made)
	}
}

// TestSharedClosed: a core closed before the first span has no producer to refuse it.
func TestSharedClosed(t *testing.T) {
	core, _ := newTestCore(t, 0)
	core.Close()
	if err := core.TrySubmit(numbered(1)); err != ErrClosed {
		t.Errorf("%v", err)
	}
	if err := core.Submit(t.Context(), numbered(1)); err != ErrClosed {
		t.Errorf("%v", err)
	}
	if s := core.Stats(); s.Submitted != 2 || s.Dropped.Of(ReasonClosed) != 2 || s.RingBytes != 0 {
		t.Errorf("%+v", s)
	}
}

// TestCoreIsCollected: the cleanups of leases do not keep a core alive.
func TestCoreIsCollected(t *testing.T) {
	gone := make(chan struct{})
	func() {
		core, _ := newTestCore(t, 1)
		for range 10 {
			core.TrySubmit(numbered(1))
		}
		core.Close()
		runtime.AddCleanup(core, func(gone chan struct{}) { close(gone) }, gone)
	}()
	eventually(t, "the core is garbage", func() bool {
		runtime.GC()
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
}

// TestSubmitWaits: Submit sleeps while the ring is full, and its context, room in
// the ring, or the end of the core wake it.
func TestSubmitWaits(t *testing.T) {
	for _, named := range []bool{true, false} {
		core, ps := newTestCore(t, 1)
		submit, try := ps[0].Submit, ps[0].TrySubmit
		if !named {
			core.shared.max = 0 // only the overflow's ring: no goroutine finds another that has room
			submit, try = core.Submit, core.TrySubmit
		}
		fill := func() {
			for try(numbered(0)) == nil {
			}
		}
		fill()
		wait := func(ctx context.Context, n uint64) chan error {
			done := make(chan error, 1)
			go func() { done <- submit(ctx, numbered(n)) }()
			eventually(t, "Submit waits", func() bool { return core.room.waiters.Load() == 1 })
			return done
		}
		before := core.Stats()
		ctx, cancel := context.WithCancel(context.Background())
		done := wait(ctx, 1)
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("%v", err)
		}
		if err := submit(ctx, numbered(2)); err != context.Canceled {
			t.Errorf("with an ended context: %v", err)
		}
		done = wait(context.Background(), 3)
		ns := consume(t, core, 1<<20)
		if err := <-done; err != nil {
			t.Errorf("%v", err)
		}
		if err := submit(ctx, numbered(4)); err != nil {
			t.Errorf("with an ended context, and room: %v", err)
		}
		if n := consume(t, core, 1<<20); len(n) != 2 || len(ns) == 0 {
			t.Errorf("consumed %d, then %v", len(ns), n)
		}
		fill()
		middle := core.Stats()
		done = wait(context.Background(), 5)
		core.Close()
		if err := <-done; err != ErrClosed {
			t.Errorf("woken by Close: %v", err)
		}
		after := core.Stats()
		balance(t, after)
		if n := middle.Dropped.Of(ReasonCanceled) - before.Dropped.Of(ReasonCanceled); n != 2 {
			t.Errorf("%d canceled, want 2", n)
		}
		if after.Submitted != middle.Submitted+1 || after.Dropped.Of(ReasonClosed) != 1 {
			t.Errorf("before %v, after %v", middle, after)
		}
	}
}

// submitting is a sampler that submits a span of its own, once.
type submitting struct {
	core *Core
	done bool
}

func (s *submitting) Sample(*Span) bool {
	if !s.done {
		s.done = true
		s.core.TrySubmit(numbered(2))
	}
	return true
}

// TestSamplerThatSubmits: no lock is held while the user's sampler runs, the one of the
// overflow least of all.
func TestSamplerThatSubmits(t *testing.T) {
	s := new(submitting)
	core, _ := newTestCore(t, 0, WithSampler(s))
	s.core = core
	core.shared.max = 0 // everything goes through the overflow
	if err := core.TrySubmit(numbered(1)); err != nil {
		t.Fatal(err)
	}
	if got := consume(t, core, 10); len(got) != 2 {
		t.Errorf("consumed %v, want two spans", got)
	}
	balance(t, core.Stats())
}
