package oteltrace

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// world is a machine's clocks, for which the test says how they go: the counter as
// one would like it to be, and what goes wrong with it.
type world struct {
	rng     *rand.Rand
	perNs   float64       // counts a ns
	ppm     float64       // by which the monotonic clock runs faster than that
	count   float64       // of the counter, since it was from
	from    uint64        //
	mono    float64       // of the monotonic clock
	jitter  time.Duration // by which a reading may be late
	epoch   int64
	reading *reading
}

func newWorld(seed uint64, ghz float64) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 1)), perNs: ghz, from: 1e12, mono: 1e9, jitter: 50, epoch: 1e18}
}

func (w *world) counter() uint64 { return w.from + uint64(int64(w.count)) }

func (w *world) pass(d time.Duration) {
	w.count += float64(d) * w.perNs
	w.mono += float64(d) * (1 + w.ppm/1e6)
}

// instant is what clock.read would find.
func (w *world) instant() instant {
	late := time.Duration(w.rng.Int64N(int64(w.jitter) + 1))
	return instant{w.counter(), time.Duration(w.mono) - late, w.epoch}
}

// tell is clock.mono without its atomics. off is how far the answer is from the truth,
// and line whether the counter gave it.
func (w *world) tell() (mono, off time.Duration, line bool) {
	if r := w.reading; r != nil && r.slope != 0 {
		if mono, ok := r.tell(w.counter()); ok {
			return mono, mono - time.Duration(w.mono), true
		}
	} else if r != nil && uint64(time.Duration(w.mono)-r.mono) < uint64(resync) {
		return time.Duration(w.mono), 0, false
	}
	w.reading = w.reading.next(w.instant())
	return w.reading.base, w.reading.base - time.Duration(w.mono), w.reading.slope != 0
}

// TestCounterClock: with a counter that is as it should be, times are off by what the
// comment of clock says at most, and never go back, whether many spans are made or few.
func TestCounterClock(t *testing.T) {
	for seed := range uint64(20) {
		for _, ghz := range []float64{0.2, 1, 2.1, 3.999, 5.5} {
			w := newWorld(seed, ghz)
			w.jitter = []time.Duration{0, 50, 999}[seed%3]
			last, lines := time.Duration(0), 0
			for i := range 20000 {
				// What the kernel changes the rate by is changed now and then.
				if i%1000 == 0 {
					w.ppm = w.rng.Float64()*500 - 250
				}
				step := time.Duration(w.rng.ExpFloat64() * float64(20*time.Microsecond))
				if i%2000 == 1999 {
					step = time.Duration(w.rng.Int64N(int64(time.Hour)))
				}
				w.pass(step)
				mono, off, line := w.tell()
				if line {
					lines++
				}
				bound := 2*w.jitter + 5*time.Microsecond + 5
				if off > bound || off < -bound {
					t.Fatalf("seed %d, %v GHz, span %d: off by %v", seed, ghz, i, off)
				}
				if mono < last && line {
					t.Fatalf("seed %d, %v GHz, span %d: %v back", seed, ghz, i, last-mono)
				}
				last = mono
			}
			if lines < 15000 || w.reading.odd != 0 {
				t.Errorf("seed %d, %v GHz: the counter was used %d times of 20000, and found odd %d times", seed, ghz, lines, w.reading.odd)
			}
		}
	}
}

// TestCounterFaults: whatever the counter does, times are off by no more than resync, for
// no longer than one line, and the counter is used again where it has come to its senses.
func TestCounterFaults(t *testing.T) {
	for name, fault := range map[string]func(*world){
		"a step forward":                  func(w *world) { w.count += 1e7 * w.perNs / 2 },
		"a leap forward":                  func(w *world) { w.count += 1e12 },
		"a step back":                     func(w *world) { w.count -= 1e7 * w.perNs / 2 },
		"from 0 again":                    func(w *world) { w.count, w.from = 1, 0 },
		"a machine of another rate":       func(w *world) { w.perNs = 7.5 - w.perNs }, // twice, or half
		"sleep that only it counts":       func(w *world) { w.count += 3600e9 * w.perNs },
		"sleep that it does not count":    func(w *world) { w.mono += 3600e9 },
		"the monotonic clock is a bubble": func(w *world) { w.mono = 5 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1, 2.5)
			run := func(spans int) (worst time.Duration, lines int) {
				for range spans {
					w.pass(10 * time.Microsecond)
					_, off, line := w.tell()
					worst = max(worst, off, -off)
					if line {
						lines++
					}
				}
				return worst, lines
			}
			for i := range maxOdd {
				if worst, lines := run(10000); worst > time.Microsecond || lines < 6000 {
					t.Fatalf("before fault %d: off by %v, the counter used %d times", i, worst, lines)
				}
				fault(w)
				// A line is as many counts long as ever, so that at half the rate it lasts twice as long.
				if worst, _ := run(2 * int(resync/(10*time.Microsecond))); worst > resync && name != "the monotonic clock is a bubble" && name != "sleep that it does not count" {
					t.Errorf("off by %v", worst)
				}
			}
			run(10000)
			if w.reading.odd < maxOdd {
				t.Fatalf("found odd %d times", w.reading.odd)
			}
			if worst, lines := run(10000); worst > w.jitter || lines > 0 {
				t.Errorf("after %d faults off by %v, the counter used %d times", maxOdd, worst, lines)
			}
		})
	}
}

// TestCounterWraps: the counter may pass the end of its 64 bits.
func TestCounterWraps(t *testing.T) {
	w := newWorld(1, 3)
	w.from = 1<<64 - 1e9
	for range 100000 {
		w.pass(10 * time.Microsecond)
		if _, off, _ := w.tell(); off > time.Microsecond || off < -time.Microsecond {
			t.Fatalf("off by %v", off)
		}
	}
	if w.counter() > 1<<63 || w.reading.slope == 0 || w.reading.odd != 0 {
		t.Errorf("at %d, reading %+v", w.counter(), *w.reading)
	}
}

// TestNoLineWithoutTightReadings: a reading that was interrupted makes no line.
func TestNoLineWithoutTightReadings(t *testing.T) {
	r := (*reading)(nil).next(instant{count: 1000, mono: time.Second})
	interrupted := r.next(instant{mono: 2 * time.Second})
	again := interrupted.next(instant{count: 3e9, mono: 3 * time.Second})
	line := again.next(instant{count: 4e9, mono: 4 * time.Second})
	if interrupted.slope != 0 || again.slope != 0 || line.slope == 0 || line.odd != 0 {
		t.Errorf("slopes %d, %d, %d", interrupted.slope, again.slope, line.slope)
	}
}

// TestCounter runs the clock on this machine's counter, from several goroutines.
func TestCounter(t *testing.T) {
	if !counterTrusted() {
		t.Skip("this machine's clocks are not made of a counter")
	}
	c := clock{counts: counterTrusted}
	const slack = 100 * time.Microsecond
	var lines atomic.Int64
	var wg sync.WaitGroup
	deadline := monotonic() + 20*resync
	for range 4 {
		wg.Go(func() {
			for last := time.Duration(0); last < deadline; {
				before, wallBefore := monotonic(), time.Now()
				mono, wall := c.now()
				after, wallAfter := c.mono(), time.Now()
				if mono < before-slack || mono > monotonic()+slack || after < mono-slack || mono < last-slack {
					t.Errorf("%v is not between %v and %v, and after %v", mono, before, after, last)
				}
				if at := time.Unix(0, wall); at.Before(wallBefore.Add(-slack)) || at.After(wallAfter.Add(slack)) {
					t.Errorf("%v is not between %v and %v", at, wallBefore, wallAfter)
				}
				if c.last.Load().slope != 0 {
					lines.Add(1)
				}
				last = mono
			}
		})
	}
	wg.Wait()
	if lines.Load() == 0 {
		t.Log("the machine was too busy for two tight readings")
	}
}

// useCounter lets spans run by the counter, as they do outside of tests.
func useCounter(tb testing.TB) {
	before := startClock.counts
	startClock.counts = counterTrusted
	startClock.last.Store(nil)
	tb.Cleanup(func() {
		startClock.counts = before
		startClock.last.Store(nil)
	})
}

// TestTimesByCounter: the times of a span agree with one another and with time.Now,
// also if the counter is given up while it runs.
func TestTimesByCounter(t *testing.T) {
	useCounter(t)
	h := newHarness(t)
	for end := monotonic() + 5*resync; monotonic() < end; {
		before := time.Now()
		s := h.start()
		s.AddEvent("e")
		if before.Nanosecond()%7 == 0 {
			startClock.last.Store(nil)
		}
		s.End()
		after := time.Now()
		spans := h.spans()
		got := spans[len(spans)-1]
		const slack = time.Millisecond
		event := got.Events[0].Time
		if got.End.Before(got.Start) || event.Before(got.Start) || event.After(got.End.Add(slack)) {
			t.Fatalf("start %v, event %v, end %v", got.Start, event, got.End)
		}
		if got.Start.Before(before.Add(-slack)) || got.End.After(after.Add(slack)) {
			t.Fatalf("from %v to %v, want between %v and %v", got.Start, got.End, before, after)
		}
	}
}

// TestNoCounterInTests: a bubble's clock is not made of the counter.
func TestNoCounterInTests(t *testing.T) {
	if counterUsable() {
		t.Error("the counter is used in a test")
	}
}

// TestLineComesBack: a line that has to begin ahead of the monotonic clock meets it one
// resync later.
func TestLineComesBack(t *testing.T) {
	const late = 2 * time.Microsecond
	at := func(mono time.Duration) instant { return instant{count: uint64(mono) * 2, mono: mono} }
	r := (*reading)(nil).next(at(1 * time.Second)).next(at(1*time.Second + resync))
	second := at(1*time.Second + 2*resync)
	second.mono -= late
	n := r.next(second)
	if n.base != second.mono+late || n.slope >= n.rate {
		t.Fatalf("base %v, slope %d, rate %d", n.base, n.slope, n.rate)
	}
	mono, _ := n.tell(second.count + uint64(resync)<<32/n.rate)
	if off := mono - (second.mono + resync); off > 5 || off < -5 {
		t.Errorf("off by %v", off)
	}
}

func TestRateOf(t *testing.T) {
	for _, tt := range []struct {
		elapsed time.Duration
		counted uint64
		want    uint64
		ok      bool
	}{
		{time.Second, 1e9, 1 << 32, true},
		{time.Second, 4e9, 1 << 30, true},
		{1<<63 - 1, 1<<63 - 1, 1 << 32, true},
		{time.Second, 0, 0, false},
		{time.Second, 1e7, 0, false},
		{time.Second, 1e11, 0, false},
		{time.Second, 1<<64 - 5, 0, false}, // it went back
		{0, 1, 0, false},
		{-time.Second, 1e9, 0, false},
	} {
		rate, ok := rateOf(tt.elapsed, tt.counted)
		if ok != tt.ok || ok && rate != tt.want {
			t.Errorf("%v, %d: %d %v", tt.elapsed, tt.counted, rate, ok)
		}
	}
}

// TestCounterOfAnotherProcessor: one that is a little behind a new line gets its beginning.
func TestCounterOfAnotherProcessor(t *testing.T) {
	if !counterTrusted() {
		t.Skip("this machine's clocks are not made of a counter")
	}
	const second = 1e9 // counts, more or less
	r := &reading{instant: instant{count: readCounter() + 10*second}, base: 7, slope: 1 << 31, reach: 100 * behind * second}
	if mono, ok := r.again(); !ok || mono != 7 {
		t.Errorf("%v %v", mono, ok)
	}
	r.count += 1000 * second
	if _, ok := r.again(); ok {
		t.Error("a line that is far ahead is in use")
	}
}

// TestClocksApart: where the counter and the monotonic clock are a little apart, a
// span does not end, and nothing happens in it, before it starts.
func TestClocksApart(t *testing.T) {
	r := &record{wall: 1e18, began: monotonic() + time.Hour}
	start := r.startTime()
	if end := r.timeIs(); !end.Equal(start) {
		t.Errorf("ends %v after its start", end.Sub(start))
	}
	for before, want := range map[time.Duration]time.Duration{time.Microsecond: 0, time.Millisecond: time.Millisecond, -time.Microsecond: -time.Microsecond} {
		if at := r.timeOf(process.Add(r.began - before)); start.Sub(at) != want {
			t.Errorf("an event %v before the start is %v before it", before, start.Sub(at))
		}
	}
}

// BenchmarkClockError reports how far the clock is from the monotonic clock at most, by
// readings of that right before and after, and how far it has gone back.
func BenchmarkClockError(b *testing.B) {
	if !counterTrusted() {
		b.Skip("this machine's clocks are not made of a counter")
	}
	c := clock{counts: counterTrusted}
	var last, off, back time.Duration
	for b.Loop() {
		before := monotonic()
		mono := c.mono()
		after := monotonic()
		if after-before < 100 { // nothing came between
			middle := before + (after-before)/2
			off = max(off, mono-middle, middle-mono)
		}
		back, last = max(back, last-mono), mono
	}
	b.ReportMetric(float64(off), "ns-off")
	b.ReportMetric(float64(back), "ns-back")
}
