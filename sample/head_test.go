package sample_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/sample"
)

func span(id uint64, parent, remote, sampled bool) *ringtail.Span {
	s := &ringtail.Span{SpanID: trace.SpanID{1}, ParentRemote: remote}
	s.TraceID[0] = 1
	binary.BigEndian.PutUint64(s.TraceID[8:], id)
	if parent {
		s.ParentID = trace.SpanID{2}
	}
	if sampled {
		s.Flags = trace.FlagsSampled
	}
	return s
}

func TestRatioKeepsLowIDs(t *testing.T) {
	for _, c := range []struct {
		fraction float64
		id       uint64
		want     bool
	}{
		{0, 0, false}, {-1, 0, false}, {math.NaN(), 0, false},
		{1, math.MaxUint64, true}, {2, math.MaxUint64, true},
		// Half keeps the ids whose top bit is clear, whatever the lowest bit.
		{0.5, 1<<63 - 1, true}, {0.5, 1 << 63, false},
		{0.25, 1<<62 - 1, true}, {0.25, 1 << 62, false},
		{1e-300, 0, false},
	} {
		if got := sample.Ratio(c.fraction).Sample(span(c.id, false, false, false)); got != c.want {
			t.Errorf("Ratio(%v) of id %#x = %v, want %v", c.fraction, c.id, got, c.want)
		}
	}
}

func TestRatioIsNestedAndFair(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	low, high := sample.Ratio(0.2), sample.Ratio(0.3)
	kept := 0
	const n = 100_000
	for range n {
		s := span(rnd.Uint64(), true, true, false)
		if low.Sample(s) {
			kept++
			if !high.Sample(s) {
				t.Fatalf("trace %s is kept at 0.2 and not at 0.3", s.TraceID)
			}
		}
	}
	// Five standard deviations of a binomial distribution.
	if d := math.Abs(float64(kept) - 0.2*n); d > 5*math.Sqrt(0.2*0.8*n) {
		t.Errorf("kept %d of %d at 0.2", kept, n)
	}
}

func TestParentBased(t *testing.T) {
	byDefault := sample.ParentBased(sample.Never())
	inverted := sample.ParentBasedOn(sample.Always(), sample.Parents{
		RemoteSampled: sample.Never(), RemoteNotSampled: sample.Always(),
		LocalSampled: sample.Never(), LocalNotSampled: sample.Always(),
	})
	for _, remote := range []bool{false, true} {
		for _, sampled := range []bool{false, true} {
			s := span(1, true, remote, sampled)
			if got := byDefault.Sample(s); got != sampled {
				t.Errorf("default: remote %v, sampled %v: kept %v", remote, sampled, got)
			}
			if got := inverted.Sample(s); got == sampled {
				t.Errorf("inverted: remote %v, sampled %v: kept %v", remote, sampled, got)
			}
		}
	}
	if byDefault.Sample(span(1, false, false, true)) || !inverted.Sample(span(1, false, false, false)) {
		t.Error("a root span is not for the root sampler")
	}
}

func TestRateLimited(t *testing.T) {
	now := time.Unix(1000, 0)
	s := sample.RateLimited(10, 3, func() time.Time { return now })
	offer := func(n int) (kept int) {
		for range n {
			if s.Sample(nil) {
				kept++
			}
		}
		return kept
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{
		{0, 3},                      // the burst
		{99 * time.Millisecond, 0},  // not yet
		{1 * time.Millisecond, 1},   // a tenth of a second: one more
		{250 * time.Millisecond, 2}, // two, and half a one kept
		{50 * time.Millisecond, 1},  // the other half
		{time.Hour, 3},              // a pause fills the burst, and no more than it
		{-time.Hour, 0},             // a clock set back keeps nothing and breaks nothing
	} {
		now = now.Add(step.after)
		if got := offer(10); got != step.want {
			t.Errorf("%v later: kept %d, want %d", step.after, got, step.want)
		}
	}
	for _, rate := range []float64{0, -1, math.NaN()} {
		if sample.RateLimited(rate, 5, nil).Sample(nil) {
			t.Errorf("RateLimited(%v) keeps a span", rate)
		}
	}
	if s := sample.RateLimited(1e-300, 1, nil); !s.Sample(nil) || s.Sample(nil) {
		t.Error("a tiny rate must keep its first span, and not the second")
	}
}

func TestRateLimitedConcurrently(t *testing.T) {
	now := time.Unix(0, 0)
	s := sample.RateLimited(1, 1000, func() time.Time { return now })
	var kept atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if s.Sample(nil) {
					kept.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if kept.Load() != 1000 {
		t.Errorf("8 goroutines kept %d of a burst of 1000", kept.Load())
	}
}

func TestDescriptions(t *testing.T) {
	for want, s := range map[string]ringtail.Sampler{
		"AlwaysOnSampler":         sample.Always(),
		"AlwaysOffSampler":        sample.Never(),
		"TraceIDRatioBased{0.25}": sample.Ratio(0.25),
		"ParentBased{root:TraceIDRatioBased{0.5},remoteParentSampled:AlwaysOnSampler," +
			"remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}": sample.ParentBased(sample.Ratio(0.5)),
		"RateLimited{2.5}": sample.RateLimited(2.5, 1, nil),
	} {
		if got := fmt.Sprint(s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func BenchmarkSample(b *testing.B) {
	for name, s := range map[string]ringtail.Sampler{
		"ratio": sample.Ratio(0.1), "parent": sample.ParentBased(sample.Ratio(0.1)), "rate": sample.RateLimited(1000, 1000, nil),
	} {
		b.Run(name, func(b *testing.B) {
			sp := span(1<<40, true, true, true)
			b.ReportAllocs()
			for b.Loop() {
				s.Sample(sp)
			}
		})
	}
}
