package ringtail

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// moody is a backend that stalls, fails, takes some, panics and hangs, at random,
// and keeps its own account of what it took and what it said.
type moody struct {
	backend
	mu     sync.Mutex
	random *rand.Rand
	gone   chan struct{} // closed when the test is over: hung exports return
	slow   bool
}

func (e *moody) decide(ctx context.Context, b *Batch) (take int, err error) {
	e.mu.Lock()
	mood, part := e.random.IntN(20), e.random.IntN(b.Len()+1)
	slow := e.slow && e.random.IntN(3) == 0
	e.mu.Unlock()
	if slow {
		time.Sleep(time.Duration(part%500) * time.Microsecond)
	}
	switch {
	case mood < 3:
		return 0, errors.New("down")
	case mood < 6:
		return b.Len() - part, &ExportError{Spans: part, Reason: ReasonRejected}
	case mood < 7:
		half := part / 2
		return b.Len() - part, errors.Join(&ExportError{Spans: half, Reason: ReasonUnavailable}, &ExportError{Spans: part - half, Reason: ReasonTimeout})
	case mood < 8:
		panic("moody")
	case mood < 9 && e.slow:
		select {
		case <-ctx.Done(): // gives up when it is told to
		case <-e.gone:
		}
		return 0, context.Canceled
	case mood < 10:
		runtime.Gosched()
	}
	return b.Len(), nil
}

// TestLedger: under random stalls, failures, partial failures, panics, flushes,
// producers that come and go, and a shutdown at a random moment, the ledger
// balances at every instant, and at the end it says to the span what the callers
// were told and what the backend has.
func TestLedger(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for round := range uint64(rounds(150)) {
		ledgerRound(t, seed+round)
		if t.Failed() {
			t.Fatalf("seed %d", seed+round)
		}
	}
	t.Logf("last seed %d", seed)
}

func ledgerRound(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	e := &moody{random: fork(random), gone: make(chan struct{}), slow: random.IntN(2) == 0}
	e.behave = e.decide
	m := newMeters()
	c, err := New(e, quiet, WithMeterProvider(m), WithResource(&Resource{}), WithRingBits(6+random.IntN(3)), WithMaxProducers(2),
		WithInterval(time.Millisecond), WithBatchAge(time.Millisecond), WithMaxPoll(1+random.IntN(500)),
		WithBatchSpans(1+random.IntN(300)), WithBatchBytes(1<<(10+random.IntN(6))), WithQueueBytes(1<<(11+random.IntN(6))),
		WithConcurrentExports(1+random.IntN(4)), WithExportTimeout(time.Duration(1+random.IntN(20))*time.Millisecond),
		func(c *config) { c.adaptive = random.IntN(2) == 0 },
		WithSampler(samplerFunc(func(s *Span) bool { return numberOf(s.SpanID)%10 != 3 })))
	if err != nil {
		t.Fatal(err)
	}
	tallies := make([]tally, 7)
	for i := range tallies {
		tallies[i].refused = make(map[error]int)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for who := range tallies {
		random := fork(random)
		all.Go(func() { submitAtRandom(c, who, &tallies[who], random, stop) })
	}
	all.Go(func() { // an observer
		for last := uint64(0); ; runtime.Gosched() {
			s := c.Stats()
			if s.Submitted != s.Exported+s.Dropped.Total()+s.InFlight || s.InFlight > s.Submitted || s.Submitted < last {
				t.Errorf("the ledger does not balance: %v; before there were %d", s, last)
			}
			last = s.Submitted
			checkMeters(t, m.collect())
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	flushing := fork(random)
	all.Go(func() {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(flushing.IntN(3000))*time.Microsecond)
			_ = c.Flush(ctx)
			cancel()
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	time.Sleep(time.Duration(random.IntN(30_000)) * time.Microsecond)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(40_000))*time.Microsecond)
	told := c.Shutdown(ctx)
	cancel()
	close(stop)
	all.Wait()
	s := c.Stats() // before what was given up ends
	close(e.gone)
	c.sender.wg.Wait()
	if again := c.Stats(); again.Submitted != s.Submitted || again.Exported != s.Exported || again.Dropped != s.Dropped {
		t.Errorf("after the end %v became %v", s, again)
	}
	balance(t, s)
	want := merge(tallies)
	sampled := 0
	for i := range tallies {
		sampled += tallies[i].sampled
	}
	check := func(what string, got uint64, want int) {
		if got != uint64(want) {
			t.Errorf("%s: the ledger says %d, and it is %d (%v)", what, got, want, s)
		}
	}
	check("submitted", s.Submitted, want.calls)
	check("in flight", s.InFlight, 0)
	check("sampled", s.Dropped.Of(ReasonSampled), sampled)
	for err, reason := range map[error]Reason{ErrFull: ReasonFull, ErrClosed: ReasonClosed, ErrInvalidSpan: ReasonInvalid, context.DeadlineExceeded: ReasonCanceled} {
		check(reason.String(), s.Dropped.Of(reason), want.refused[err])
	}
	// What an export that was given up took after all, the ledger has as lost.
	arrived := e.total(t)
	if s.Dropped.Of(ReasonShutdown) == 0 {
		check("exported", s.Exported, arrived)
	} else if s.Exported > uint64(arrived) {
		t.Errorf("exported: the ledger says %d, and %d arrived", s.Exported, arrived)
	} else if told == nil {
		t.Errorf("%v, and Shutdown says nothing", s)
	}
	final := m.final(t)
	checkMeters(t, final)
	check("exported by the metrics", s.Exported, int(final["exporter.span.exported"]))
	for reason, n := range s.Dropped.All() {
		if reason > ReasonCanceled { // those at the submit go on after the end
			check(reason.String()+" by the metrics", n,
				int(final["processor.span.processed "+reason.String()]+final["exporter.span.exported "+reason.String()]))
		}
	}
	accepted := make(map[uint64]bool)
	for _, n := range want.accepted {
		accepted[n] = true
	}
	for n := range e.taken {
		if !accepted[n] || n%10 == 3 {
			t.Errorf("span %d arrived, and was not accepted", n)
		}
	}
}

// submitAtRandom submits by one way in after the other until the collector is closed.
func submitAtRandom(c *Collector, who int, a *tally, random *rand.Rand, stop chan struct{}) {
	var p *Producer
	s := numbered(0)
	for k := uint64(0); ; k++ {
		n := (uint64(who)<<32 | k) * 10 // a multiple of ten is not sampled out
		if random.IntN(20) == 0 {
			n += 3
		}
		setNumber(s, n)
		offer := s
		if random.IntN(50) == 0 {
			offer = &Span{SpanID: s.SpanID}
		}
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if random.IntN(50) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(200))*time.Microsecond)
		}
		var err error
		switch way := random.IntN(6); {
		case way == 0:
			err = c.Submit(ctx, offer)
		case way == 1 || p == nil:
			err = c.TrySubmit(offer)
		case way == 2:
			err = p.Submit(ctx, offer)
		default:
			err = p.TrySubmit(offer)
		}
		cancel()
		if a.calls++; err != nil {
			a.refused[err]++
		} else if n%10 == 3 {
			a.sampled++
		} else {
			a.accepted = append(a.accepted, n)
		}
		switch {
		case p == nil && random.IntN(30) == 0:
			p, _ = c.Register()
		case p != nil && random.IntN(300) == 0:
			p.Close() // and go on with it
			if random.IntN(2) == 0 {
				p = nil
			}
		}
		if err == ErrFull || random.IntN(40) == 0 {
			runtime.Gosched()
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}
