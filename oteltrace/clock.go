package oteltrace

import (
	"sync/atomic"
	"time"
)

// resync is how often the wall clock is read. Between two readings it is taken to
// run as the monotonic clock does, which is off only where the wall clock is set, or
// where the machine slept: by a start that is at most this late to know of it.
const resync = 100 * time.Millisecond

// process is when this process began, by both clocks. The monotonic clock is counted
// from here.
var process = time.Now()

// monotonic reads the monotonic clock.
func monotonic() time.Duration { return time.Since(process) }

// clock tells the time as time.Now does, for less: that reads two clocks of the
// operating system, and this mostly one. And it tells it in nanoseconds, since the
// arithmetic of time.Time is not for nothing either.
type clock struct {
	last atomic.Pointer[reading]
}

// reading is what both clocks said at one time.
type reading struct {
	at    time.Duration // by the monotonic clock
	epoch int64         // by the other one, when the monotonic clock was 0; since 1970
}

// startClock is the clock by which spans start. It is one for all, so that the starts
// of spans that different providers make are in order.
var startClock clock

// now returns the monotonic time, and the time since 1970 in nanoseconds.
func (c *clock) now() (mono time.Duration, wall int64) {
	mono = monotonic()
	// A difference below zero or out of any reason comes from another clock, as that
	// of a testing/synctest bubble.
	if r := c.last.Load(); r != nil && uint64(mono-r.at) < uint64(resync) {
		return mono, r.epoch + int64(mono)
	}
	return c.resync()
}

func (c *clock) resync() (mono time.Duration, wall int64) {
	now := bothClocks()
	mono, wall = now.Sub(process), now.UnixNano()
	c.last.Store(&reading{mono, wall - int64(mono)})
	return mono, wall
}

// bothClocks is time.Now, but for readings between whose two halves the thread was
// kept from running: all starts until the next one would be off by that.
func bothClocks() time.Time {
	best, least := time.Time{}, time.Duration(1<<63-1)
	for range 4 {
		before := time.Now()
		now := time.Now()
		if took := now.Sub(before); took < least {
			best, least = now, took
		}
		if least < time.Microsecond {
			break
		}
	}
	return best
}
