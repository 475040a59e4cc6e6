package ringtail

import (
	"testing"
	"time"
)

func TestPauseFollowsTheRings(t *testing.T) {
	p := pause{length: 100 * time.Millisecond, interval: 100 * time.Millisecond, ring: 1024}
	step := func(fullest uint64, want time.Duration) {
		t.Helper()
		p.fullest = fullest
		if p.next(); p.length != want {
			t.Fatalf("after a ring with %d of %d bytes: pause %v, want %v", fullest, p.ring, p.length, want)
		}
		if p.fullest != 0 {
			t.Fatal("what was seen before the pause counts after it")
		}
	}
	step(0, 100*time.Millisecond)
	step(200, 100*time.Millisecond)
	step(300, 50*time.Millisecond)
	step(1024, 25*time.Millisecond)
	step(200, 25*time.Millisecond) // between an eighth and a quarter: as it should be
	for range 20 {
		step(512, max(p.length/2, shortestPause))
	}
	step(512, shortestPause)
	step(100, 2*shortestPause)
	for range 20 {
		step(0, min(2*p.length, p.interval))
	}
	step(0, 100*time.Millisecond)

	// An interval below the shortest pause is what was asked for.
	p = pause{length: time.Millisecond / 2, interval: time.Millisecond / 2, ring: 1024}
	step(1024, time.Millisecond/2)
}
