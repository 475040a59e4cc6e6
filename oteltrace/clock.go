package oteltrace

import (
	"sync/atomic"
	"time"
)

// resync is how often the wall clock is read. Between two readings it is taken to
// run as the monotonic clock does, which is off only where the wall clock is set, or
// where the machine slept: by a start that is at most this late to know of it.
const resync = 100 * time.Millisecond

// clock tells the time as time.Now does, for less: that reads two clocks of the
// operating system, and this mostly one (20 in place of 35 ns).
type clock struct {
	base atomic.Pointer[time.Time] // the last reading of both
}

// startClock is the clock by which spans start. It is one for all, so that the starts
// of spans that different providers make are in order.
var startClock clock

func (c *clock) now() time.Time {
	if base := c.base.Load(); base != nil {
		// A difference below zero or out of any reason comes from another clock,
		// as that of a testing/synctest bubble.
		if d := time.Since(*base); uint64(d) < uint64(resync) {
			return base.Add(d)
		}
	}
	now := bothClocks()
	c.base.Store(&now)
	return now
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
