package oteltrace

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// resync is how often both clocks of the operating system are read. Between two readings
// the wall clock is taken to run as the monotonic clock does, which is off only where
// it is set, or where the machine slept: by a start that is at most this late to know of it.
const resync = 10 * time.Millisecond

// process is when this process began, by both clocks. The monotonic clock is counted
// from here.
var process = time.Now()

// monotonic reads the monotonic clock.
func monotonic() time.Duration { return time.Since(process) }

// clock tells the time as time.Now does, for less. That reads two clocks of the
// operating system; this one mostly reads the processor's counter, where that is what
// these clocks are made of (see counterUsable), and else one of them. And it tells it in
// nanoseconds, since the arithmetic of time.Time is not for nothing either.
//
// How far it can be off. A reading says that the counter stood at count when the monotonic
// clock said mono, or less than tight later. A line goes from there, with a slope that
// is measured between two readings at least resync apart, for resync by the counter. The
// two readings can make the slope wrong by tight in resync. So a line begins less than tight
// off, and ends less than 2·tight off. In practice tight is 50 ns, not 1 µs. To
// this comes by how much the kernel changes the rate of its clocks meanwhile: 500 ppm at
// most, which is 5 µs.
//
// It never goes back, from one line to the next: what a line tells is less than its
// base + resync, and the next one begins there or later. Where that is ahead of the
// monotonic clock, its slope is less by as much as brings it back in one resync.
//
// Whatever the counter does, what it says is compared with the monotonic clock once in
// resync. When the two are apart by more than any clock's rate is changed (a virtual
// machine moved, the machine slept, the kernel chose another clock), there is no line
// until two new readings agree; and after maxOdd such times there is none any more. A
// counter that jumps is believed for one line, so for resync at most.
type clock struct {
	counts func() bool // whether the counter may be used; nil: not
	last   atomic.Pointer[reading]
}

const (
	tight  = time.Microsecond      // a reading that took longer makes no line
	ahead  = 10 * time.Microsecond // a line that is more than this ahead is odd, as is
	rates  = 1000                  // a rate that differs by more than this part from the last one
	maxOdd = 5
	behind = 1024 // the part of resync by which processors' counters may seem apart
)

// startClock is the clock by which spans start and end. It is one for all, so that the
// starts of spans that different providers make are in order.
var startClock = clock{counts: counterUsable}

// instant is what all clocks said at one time.
type instant struct {
	count uint64        // of the counter; 0: not known
	mono  time.Duration // by the monotonic clock
	epoch int64         // the wall clock when the monotonic clock was 0; ns since 1970
}

// reading is an instant, and the line that begins there, if there is one.
type reading struct {
	instant
	base  time.Duration // what the line tells at count
	slope uint64        // in 2^-32 ns a count; 0: no line
	reach uint64        // the line's length in counts
	rate  uint64        // as it was measured; the slope but for what brings the line back
	odd   int
}

// tell returns the monotonic time at a count, or false if the line does not reach there.
// What it multiplies is less than resync·2^32, and does not overflow.
func (r *reading) tell(count uint64) (mono time.Duration, ok bool) {
	d := count - r.count // after a step back: beyond all reach
	return r.base + time.Duration(d*r.slope>>32), d < r.reach
}

// now returns the monotonic time, and the time since 1970 in nanoseconds.
func (c *clock) now() (mono time.Duration, wall int64) {
	if r := c.last.Load(); r != nil && r.slope != 0 {
		if mono, ok := r.tell(readCounter()); ok {
			return mono, r.epoch + int64(mono)
		}
	}
	mono, epoch := c.slow()
	return mono, epoch + int64(mono)
}

// mono returns the monotonic time.
func (c *clock) mono() time.Duration {
	if r := c.last.Load(); r != nil && r.slope != 0 {
		if mono, ok := r.tell(readCounter()); ok {
			return mono
		}
	}
	mono, _ := c.slow()
	return mono
}

// slow is for when there is no line that reaches to now. Of those who come here at
// once, one replaces the reading, and all use it: by a look at the time that comes after,
// for a reading may be old already if the thread was kept from running.
func (c *clock) slow() (mono time.Duration, epoch int64) {
	for {
		r := c.last.Load()
		if r != nil {
			if mono, ok := r.again(); ok {
				return mono, r.epoch
			}
		}
		c.last.CompareAndSwap(r, r.next(c.read()))
	}
}

// again asks a reading that another goroutine may just have made.
func (r *reading) again() (mono time.Duration, ok bool) {
	if r.slope == 0 {
		// A difference below zero or out of any reason comes from another clock, as that
		// of a testing/synctest bubble.
		mono = monotonic()
		return mono, uint64(mono-r.mono) < uint64(resync)
	}
	count := readCounter()
	// The counter may be read before the pointer was, or on a processor that is a
	// little late.
	if r.count-count < r.reach/behind {
		return r.base, true
	}
	return r.tell(count)
}

// next returns the reading that follows r, which may be nil, from what is read now.
func (r *reading) next(now instant) *reading {
	n := &reading{instant: now, base: now.mono}
	if r == nil {
		return n
	}
	n.odd = r.odd
	if now.count == 0 || r.count == 0 || r.odd >= maxOdd {
		return n
	}
	rate, ok := rateOf(now.mono-r.mono, now.count-r.count)
	if r.slope != 0 {
		n.base = max(n.base, r.base+resync)
		ok = ok && max(rate, r.rate)-min(rate, r.rate) <= r.rate/rates && n.base-now.mono <= ahead
	}
	if !ok {
		n.base = now.mono
		n.odd++
		return n
	}
	n.rate = rate
	n.slope = rate - rate*uint64(n.base-now.mono)/uint64(resync)
	n.reach = uint64(resync) << 32 / n.slope
	return n
}

// rateOf returns how long a count is, in 2^-32 ns, or false if no counter of between
// 100 MHz and 10 GHz can have counted so.
func rateOf(elapsed time.Duration, counted uint64) (rate uint64, ok bool) {
	hi, lo := bits.Mul64(uint64(elapsed), 1<<32)
	if elapsed < resync/2 || hi >= counted {
		return 0, false
	}
	rate, _ = bits.Div64(hi, lo, counted)
	return rate, rate > 1<<32/10 && rate < 10<<32
}

// read reads all clocks. A thread that was kept from running meanwhile would
// have all times wrong until the next reading, so of several attempts the quickest counts.
func (c *clock) read() instant {
	counts := c.counts != nil && c.counts()
	var best instant
	least := time.Duration(1<<63 - 1)
	for range 4 {
		before := time.Now()
		count := uint64(0)
		if counts {
			count = readCounter()
		}
		now := time.Now()
		if took := now.Sub(before); took < least {
			least = took
			mono := now.Sub(process)
			best = instant{count, mono - took, now.UnixNano() - int64(mono)}
		}
	}
	if least > tight {
		best.count = 0
	}
	return best
}
