package ringtail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// newTestCore returns a core with n producers.
func newTestCore(t testing.TB, n int, opts ...Option) (*Core, []*Producer) {
	t.Helper()
	core, err := NewCore(append([]Option{WithResource(&Resource{}), WithRingBits(6)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return core, registered(t, core, n)
}

func registered(t testing.TB, core *Core, n int) []*Producer {
	t.Helper()
	var ps []*Producer
	for range n {
		p, err := core.Register()
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

// consume moves up to limit spans and returns their numbers.
func consume(t testing.TB, core *Core, limit int) []uint64 {
	t.Helper()
	b := core.NewBuilder()
	if n := core.ConsumeUpTo(limit, b); n != b.Len() {
		t.Fatalf("ConsumeUpTo = %d, the builder has %d", n, b.Len())
	}
	return numbers(t, b.Batch())
}

// TestConsumeUpToIsFair: with every ring full, no producer is left behind, whatever
// the limit, and the order of each is kept.
func TestConsumeUpToIsFair(t *testing.T) {
	for producers := 1; producers <= 5; producers++ {
		for limit := 1; limit <= 13; limit++ {
			core, ps := newTestCore(t, producers)
			sent, got := make([]uint64, producers), make([]uint64, producers)
			for poll := 0; poll < 60; poll++ {
				for i, p := range ps {
					for p.TrySubmit(numbered(uint64(i)<<32|sent[i])) == nil {
						sent[i]++
					}
				}
				ns := consume(t, core, limit)
				if len(ns) != limit {
					t.Fatalf("%d producers: ConsumeUpTo(%d) gave %d", producers, limit, len(ns))
				}
				for _, n := range ns {
					i, k := n>>32, n&(1<<32-1)
					if k != got[i] {
						t.Fatalf("producer %d: span %d, want %d", i, k, got[i])
					}
					got[i]++
				}
				// A limit that is no multiple of the number of rings is spent unevenly,
				// but nobody starves; where a share is one span, all is even.
				share := uint64(max(limit/producers, 1))
				least, most := slices.Min(got), slices.Max(got)
				if share == 1 && most-least > 1 || most > least*3/2+2*share {
					t.Fatalf("%d producers, limit %d, poll %d: %v", producers, limit, poll, got)
				}
			}
		}
	}
}

func TestConsumeUpToStopsWhenFull(t *testing.T) {
	core, ps := newTestCore(t, 2, WithBatchSpans(5))
	for n := range uint64(20) {
		if err := ps[n%2].TrySubmit(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for _, want := range []int{5, 5, 5, 5, 0} {
		ns := consume(t, core, 100)
		if total += len(ns); len(ns) != want || core.Pending() != 20-total {
			t.Errorf("%d spans, want %d; %d pending", len(ns), want, core.Pending())
		}
	}
	if n := core.ConsumeUpTo(0, core.NewBuilder()) + core.ConsumeUpTo(-1, core.NewBuilder()); n != 0 {
		t.Errorf("%d spans of none", n)
	}
}

func TestRegister(t *testing.T) {
	core, ps := newTestCore(t, 3, WithMaxProducers(3))
	if s := core.Stats(); s.Producers != 3 || s.RingBytes != 3*256<<6 {
		t.Errorf("%+v", s)
	}
	_, err := core.Register()
	if !errors.Is(err, ErrTooManyProducers) || !strings.Contains(err.Error(), "3 are registered") || !strings.Contains(err.Error(), "WithMaxProducers") {
		t.Errorf("a fourth producer: %v", err)
	}
	if err := ps[1].TrySubmit(numbered(7)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ps[1].Close(); err != nil {
			t.Error(err)
		}
	}
	if n := core.Stats().Producers; n != 2 {
		t.Errorf("%d producers after a Close, want 2", n)
	}
	if err := ps[1].TrySubmit(numbered(8)); err != ErrClosed {
		t.Errorf("submit after Close: %v", err)
	}
	if err := ps[1].Submit(t.Context(), numbered(8)); err != ErrClosed {
		t.Errorf("submit after Close: %v", err)
	}
	// Its place is not free before its span has been consumed.
	if _, err := core.Register(); !errors.Is(err, ErrTooManyProducers) {
		t.Errorf("a ring that is not drained was given away: %v", err)
	}
	if ns := consume(t, core, 10); !slices.Equal(ns, []uint64{7}) {
		t.Errorf("spans %v", ns)
	}
	again := registered(t, core, 1)[0]
	if err := ps[1].TrySubmit(numbered(9)); err != ErrClosed {
		t.Errorf("a closed producer, whose ring has a new owner: %v", err)
	}
	if err := again.TrySubmit(numbered(10)); err != nil {
		t.Error(err)
	}
	ps[1].Close() // must not close its successor's ring
	if err := again.TrySubmit(numbered(11)); err != nil {
		t.Error(err)
	}
	if ns := consume(t, core, 10); !slices.Equal(ns, []uint64{10, 11}) {
		t.Errorf("spans %v", ns)
	}
	s := core.Stats()
	if s.RingBytes != 3*256<<6 || s.Submitted != 6 || s.Dropped.Of(ReasonClosed) != 3 || s.InFlight != 3 {
		t.Errorf("%v, %d bytes", s, s.RingBytes)
	}
	balance(t, s)
	core.Close()
	if _, err := core.Register(); err != ErrClosed {
		t.Errorf("Register after Close: %v", err)
	}
}

// TestProducerChurn: rings and counts of producers that come and go neither leak nor vanish.
func TestProducerChurn(t *testing.T) {
	core, _ := newTestCore(t, 0, WithMaxProducers(4))
	b := core.NewBuilder()
	for n := range uint64(500) {
		p := registered(t, core, 1)[0]
		p.TrySubmit(numbered(n))
		p.TrySubmit(nil)
		p.Close()
		core.ConsumeUpTo(10, b)
		b.Reset()
	}
	s := core.Stats()
	if s.RingBytes > 4*256<<6 || s.Producers != 0 || s.Submitted != 1000 || s.Dropped.Of(ReasonInvalid) != 500 {
		t.Errorf("%+v", s)
	}
	balance(t, s)
}

// TestRefusals offers what cannot be taken, each by both ways in.
func TestRefusals(t *testing.T) {
	big := numbered(1)
	big.Attributes = []attribute.KeyValue{attribute.String("k", strings.Repeat("x", 10<<20))}
	many := numbered(2)
	for i := range 10_000 {
		many.Attributes = append(many.Attributes, attribute.Int(fmt.Sprint("attribute.", i), i))
	}
	noTrace, noSpan := numbered(3), numbered(4)
	noTrace.TraceID, noSpan.SpanID = trace.TraceID{}, trace.SpanID{}
	for _, test := range []struct {
		name   string
		span   *Span
		bits   int
		err    error
		reason Reason
	}{
		{"nil", nil, 6, ErrInvalidSpan, ReasonInvalid},
		{"no trace id", noTrace, 6, ErrInvalidSpan, ReasonInvalid},
		{"no span id", noSpan, 6, ErrInvalidSpan, ReasonInvalid},
		{"10 MB", big, 13, ErrTooLarge, ReasonTooLarge},
		{"10 MB in a large ring", big, 17, nil, 0},
		{"10 000 attributes", many, 10, ErrTooLarge, ReasonTooLarge},
		{"10 000 attributes in a default ring", many, 13, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			core, ps := newTestCore(t, 1, WithRingBits(test.bits), WithBatchBytes(1<<26))
			for i, submit := range []func(*Span) error{ps[0].TrySubmit, core.TrySubmit,
				func(s *Span) error { return ps[0].Submit(t.Context(), s) }, func(s *Span) error { return core.Submit(t.Context(), s) }} {
				if err := submit(test.span); err != test.err {
					t.Fatalf("way %d: %v, want %v", i, err, test.err)
				}
				s := core.Stats()
				balance(t, s)
				if s.Submitted != uint64(2*i+1) || test.err != nil && s.Dropped.Of(test.reason) != uint64(i+1) {
					t.Errorf("way %d: %v", i, s)
				}
				b := core.NewBuilder()
				if core.ConsumeUpTo(5, b); (b.Len() == 1) != (test.err == nil) {
					t.Fatalf("%d spans", b.Len())
				}
				if b.Len() == 1 {
					equal(t, "span", official(t, b.Batch()).ResourceSpans[0].ScopeSpans[0].Spans[0], officialSpan(test.span))
				}
				if err := submit(numbered(5)); err != nil {
					t.Fatalf("the next span: %v", err)
				}
				if ns := consume(t, core, 5); !slices.Equal(ns, []uint64{5}) {
					t.Fatalf("the next span: %v", ns)
				}
			}
		})
	}
}

// TestFull fills a ring with spans of the sizes around its limits.
func TestFull(t *testing.T) {
	for size := 0; size < 9000; size += 97 {
		core, ps := newTestCore(t, 1)
		s := numbered(0)
		s.Attributes = []attribute.KeyValue{attribute.String("k", strings.Repeat("x", size))}
		accepted := uint64(0)
		var err error
		for err = ps[0].TrySubmit(s); err == nil; err = ps[0].TrySubmit(s) {
			accepted++
			setNumber(s, accepted)
		}
		body, _ := appendSpan(nil, s)
		switch limit := ps[0].ring.MaxRecord(); {
		case len(body) > limit:
			if err != ErrTooLarge || accepted != 0 {
				t.Errorf("%d bytes: %v after %d", len(body), err, accepted)
			}
		case err != ErrFull || accepted == 0:
			t.Errorf("%d of %d bytes: %v after %d", len(body), limit, err, accepted)
		}
		if ns := consume(t, core, 1000); uint64(len(ns)) != accepted {
			t.Errorf("%d accepted, %d consumed", accepted, len(ns))
		}
		balance(t, core.Stats())
	}
}

func TestScopeLimit(t *testing.T) {
	core, ps := newTestCore(t, 1)
	b := core.NewBuilder()
	for n := 1; n < maxScopes; n++ {
		s := numbered(uint64(n))
		s.Scope = &Scope{Name: fmt.Sprint(n)}
		if err := ps[0].TrySubmit(s); err != nil {
			t.Fatal(n, err)
		}
		core.ConsumeUpTo(1, b)
		b.Reset()
	}
	s := numbered(0)
	s.Scope = &Scope{Name: "one too many"}
	if err := ps[0].TrySubmit(s); err != ErrTooManyScopes {
		t.Errorf("%v", err)
	}
	if err := core.TrySubmit(s); err != ErrTooManyScopes {
		t.Errorf("%v", err)
	}
	if s.Scope = (&Scope{Name: "1"}); ps[0].TrySubmit(s) != nil {
		t.Error("a known scope is refused")
	}
	if s.Scope = nil; ps[0].TrySubmit(s) != nil {
		t.Error("no scope is refused")
	}
	if s := core.Stats(); s.Dropped.Of(ReasonScopeLimit) != 2 || len(ps[0].known) > maxKnownScopes {
		t.Errorf("%v, %d scopes remembered", s, len(ps[0].known))
	}
}

type samplerFunc func(*Span) bool

func (f samplerFunc) Sample(s *Span) bool { return f(s) }

func TestSampler(t *testing.T) {
	asked := 0
	core, ps := newTestCore(t, 1, WithSampler(samplerFunc(func(s *Span) bool { asked++; return numberOf(s.SpanID)%2 == 0 })))
	for n := range uint64(10) {
		if ps[0].TrySubmit(numbered(n)) != nil || core.TrySubmit(numbered(n+10)) != nil {
			t.Fatal("refused")
		}
	}
	core.TrySubmit(nil)
	ns := consume(t, core, 100)
	if slices.Sort(ns); !slices.Equal(ns, []uint64{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}) {
		t.Errorf("spans %v", ns)
	}
	if s := core.Stats(); s.Mended != 0 || s.Dropped.Of(ReasonSampled) != 10 || s.Submitted != 21 || asked != 20 {
		t.Errorf("%v, the sampler was asked %d times", s, asked)
	}
}

func TestMendedIsCounted(t *testing.T) {
	core, ps := newTestCore(t, 1)
	bad := numbered(1)
	bad.Name = "\xff"
	for range 3 {
		if ps[0].TrySubmit(bad) != nil || ps[0].TrySubmit(numbered(2)) != nil || core.TrySubmit(bad) != nil {
			t.Fatal("refused")
		}
	}
	if s := core.Stats(); s.Mended != 6 || s.Submitted != 9 || s.Dropped.Total() != 0 {
		t.Errorf("%v, %d mended", s, s.Mended)
	}
	ps[0].Close()
	consume(t, core, 100)
	registered(t, core, 1) // the closed producer's counts are kept
	if s := core.Stats(); s.Mended != 6 {
		t.Errorf("%d mended after the producer is gone", s.Mended)
	}
}

// TestSamplerIsAskedOnce, however often a waiting Submit tries.
func TestSamplerIsAskedOnce(t *testing.T) {
	asked := 0
	core, ps := newTestCore(t, 1, WithSampler(samplerFunc(func(s *Span) bool { asked++; return true })))
	tries := 0
	for ps[0].TrySubmit(numbered(1)) == nil {
		tries++
	}
	done := make(chan error)
	asked = 0
	go func() { done <- ps[0].Submit(context.Background(), numbered(2)) }()
	eventually(t, "Submit waits", func() bool { return core.room.waiters.Load() == 1 })
	consume(t, core, tries)
	if err := <-done; err != nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}
