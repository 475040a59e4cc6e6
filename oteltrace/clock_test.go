package oteltrace

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	var c clock
	now := func() (mono time.Duration, wall time.Time) {
		m, w := c.now()
		return m, time.Unix(0, w)
	}
	before := monotonic()
	last := time.Now()
	for range 1000 {
		m, w := now()
		if d := w.Sub(last); d < -time.Millisecond || d > time.Minute || m < before {
			t.Fatalf("%v after %v, monotonic %v after %v", w, last, m, before)
		}
		before, last = m, w
	}
	old := *c.last.Load()
	for name, at := range map[string]time.Duration{
		"old":               old.mono - resync,
		"from the future":   old.mono + time.Hour,
		"of another bubble": old.mono - 1e9*time.Second,
	} {
		r := reading{instant: instant{mono: at, epoch: old.epoch + int64(time.Hour)}}
		c.last.Store(&r)
		if _, w := now(); time.Until(w) > time.Minute || c.last.Load() == &r {
			t.Errorf("a reading is in use that is %s", name)
		}
	}
	// A bubble's clock has nothing to do with the world's.
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			if _, w := now(); time.Until(w) < -time.Minute || time.Until(w) > time.Minute {
				t.Errorf("%v off in a bubble", time.Until(w))
			}
			time.Sleep(time.Hour)
		}
	})
	if _, w := now(); time.Until(w) < -time.Minute || time.Until(w) > time.Minute {
		t.Errorf("%v off after a bubble", time.Until(w))
	}
}
