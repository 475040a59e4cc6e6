package ringtail

import (
	"testing"
)

func TestTrySubmitAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	core, err := NewCore(WithRingBits(6))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := core.Register()
	b := core.NewBuilder()
	for _, n := range []int{0, 5} {
		s := benchSpan(n)
		s.Scope = &Scope{Name: "lib"}
		s.Status.Code = 1
		for name, submit := range map[string]func(*Span) error{"Producer": p.TrySubmit, "Core": core.TrySubmit} {
			round := func() {
				for range 10 {
					if err := submit(s); err != nil {
						t.Fatal(err)
					}
				}
				core.ConsumeUpTo(100, b)
				b.Reset()
			}
			for range 20 {
				round() // the builder grows, and the ring wraps
			}
			if got := testing.AllocsPerRun(1000, round); got != 0 {
				t.Errorf("%s, %d attributes: %v allocations in 10 submits and a poll", name, n, got)
			}
		}
		full := func() {
			for range 100 {
				p.TrySubmit(s)
			}
		}
		if got := testing.AllocsPerRun(100, full); got != 0 {
			t.Errorf("%v allocations in 100 refusals", got)
		}
		core.ConsumeUpTo(1000, b)
		b.Reset()
	}
}

// TestCollectorTrySubmitAllocs has the drainer and the exports running, which
// do allocate: a little, for thousands of spans.
func TestCollectorTrySubmitAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := start(t, discard{}, LowLatency())
	p, err := c.Register()
	if err != nil {
		t.Fatal(err)
	}
	s := benchSpan(5)
	for name, submit := range map[string]func(*Span) error{"Producer": p.TrySubmit, "Collector": c.TrySubmit} {
		const spans = 20_000
		if got := testing.AllocsPerRun(5, func() {
			for range spans {
				_ = submit(s) // ErrFull costs nothing, either
			}
		}); got > spans/100 {
			t.Errorf("%s: %v allocations for %d spans", name, got, spans)
		}
	}
}
