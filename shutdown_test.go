package ringtail

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// TestShutdownRace lets thousands of shutdowns race with submits of every kind.
// With a live exporter what arrives is exactly what was accepted.
func TestShutdownRace(t *testing.T) {
	random := seeded(t)
	for range rounds(200) {
		e := new(backend)
		c, err := New(e, quiet, WithResource(&Resource{}), WithRingBits(6), WithBatchSpans(1+random.IntN(200)),
			WithBatchBytes(1<<12), WithQueueBytes(1<<13), WithConcurrentExports(1+random.IntN(3)))
		if err != nil {
			t.Fatal(err)
		}
		p, _ := c.Register()
		tallies := make([]tally, 5)
		for i := range tallies {
			tallies[i].refused = make(map[error]int)
		}
		encoded := request(t, 3<<32, 1)
		submits := []func(*Span) error{p.TrySubmit, c.TrySubmit,
			func(s *Span) error { return c.Submit(context.Background(), s) }, nil, c.TrySubmit}
		var all sync.WaitGroup
		for who, submit := range submits {
			spins := random.IntN(3)
			all.Go(func() {
				s := numbered(0)
				for k := uint64(0); k < 1<<20; k++ {
					n := uint64(who)<<32 | k
					setNumber(s, n)
					var err error
					if submit == nil {
						if k > 0 {
							return
						}
						_, err = c.TrySubmitRequest(encoded)
					} else {
						err = submit(s)
					}
					if tallies[who].note(n, err); err == ErrClosed {
						return
					}
					for range spins {
						runtime.Gosched()
					}
				}
			})
		}
		for range random.IntN(300) {
			runtime.Gosched()
		}
		if err := c.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		want := merge(tallies)
		var got []uint64
		for n := range e.taken {
			got = append(got, n)
		}
		if slices.Sort(got); !slices.Equal(got, want.accepted) || e.total(t) != len(got) {
			t.Fatalf("%d accepted, %d arrived", len(want.accepted), len(got))
		}
		s := c.Stats()
		balance(t, s)
		if s.Submitted != uint64(want.calls) || s.Exported != uint64(len(got)) || s.InFlight != 0 ||
			s.Dropped.Of(ReasonFull) != uint64(want.refused[ErrFull]) || s.Dropped.Of(ReasonClosed) != uint64(want.refused[ErrClosed]) {
			t.Fatalf("%v; %d calls, %d arrived, %v", s, want.calls, len(got), want.refused)
		}
	}
}

func TestUseAfterShutdown(t *testing.T) {
	e := new(backend)
	c := start(t, e)
	p, _ := c.Register()
	p.TrySubmit(numbered(1))
	for range 3 {
		if err := c.Shutdown(ended); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	for _, err := range []error{p.TrySubmit(numbered(2)), p.Submit(t.Context(), numbered(2)), c.TrySubmit(numbered(2)),
		c.Submit(t.Context(), numbered(2)), func() error { _, err := c.Register(); return err }()} {
		if err != ErrClosed {
			t.Errorf("%v, want %v", err, ErrClosed)
		}
	}
	if err := errors.Join(c.Flush(t.Context()), p.Close()); err != nil {
		t.Error(err)
	}
	s := c.Stats()
	balance(t, s)
	if s.Submitted != 5 || s.Dropped.Of(ReasonClosed) != 4 || s.InFlight != 0 {
		t.Errorf("%v", s)
	}
}

// TestShutdownOfAHungExporter: Shutdown returns with its context, says what was lost,
// and counts it, even if no export ever ends.
func TestShutdownOfAHungExporter(t *testing.T) {
	behave, begun := hang(t)
	e := &backend{behave: behave, end: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	c := start(t, e, WithBatchSpans(10), WithConcurrentExports(2), WithRingBits(6))
	for n := range uint64(35) {
		if err := c.TrySubmit(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	c.wake()
	<-begun
	<-begun
	waiting := make(chan error, 2)
	first, cancel := context.WithCancel(context.Background())
	go func() { waiting <- c.Shutdown(first) }()
	eventually(t, "Shutdown has begun", c.shutdown.begun.Load)
	// A second caller is bound by its own context alone.
	if err := c.Shutdown(ended); err != context.Canceled {
		t.Errorf("a second Shutdown: %v", err)
	}
	go func() { waiting <- c.Shutdown(context.Background()) }()
	cancel()
	for range 2 {
		err := <-waiting
		if !errors.Is(err, context.Canceled) || !strings.Contains(fmt.Sprint(err), "35 spans were not delivered") ||
			!strings.Contains(err.Error(), "cannot shut down the exporter") {
			t.Errorf("%v", err)
		}
	}
	for range 20 {
		if err := c.Shutdown(ended); err == nil || !strings.Contains(err.Error(), "35 spans") {
			t.Errorf("once more, when all is over: %v", err)
		}
	}
	s := c.Stats()
	balance(t, s)
	if s.Dropped.Of(ReasonShutdown) != 35 || s.InFlight != 0 || s.Exported != 0 {
		t.Errorf("%v", s)
	}
}

// TestShutdownCountsNothingTwice: what an export that was given up says later is ignored.
func TestShutdownCountsNothingTwice(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	e := &backend{behave: func(_ context.Context, b *Batch) (int, error) { begun <- struct{}{}; <-release; return b.Len(), nil }}
	c := start(t, e)
	c.TrySubmit(numbered(1))
	<-begun
	if err := c.Shutdown(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	c.sender.wg.Wait()
	if s := c.Stats(); s.Dropped.Of(ReasonShutdown) != 1 || s.Exported != 0 || s.InFlight != 0 || s.Submitted != 1 {
		t.Errorf("%v", s)
	}
}

// TestShutdownWithAnEndedContext abandons what is there, wherever it is.
func TestShutdownWithAnEndedContext(t *testing.T) {
	for range rounds(300) {
		e := new(backend)
		c := start(t, e, WithBatchSpans(7), WithBatchBytes(1<<10))
		p, _ := c.Register()
		for n := range uint64(100) {
			if err := p.TrySubmit(numbered(n)); err != nil {
				t.Fatal(err)
			}
		}
		c.TrySubmitRequest(request(t, 1000, 3))
		err := c.Shutdown(ended)
		s := c.Stats()
		balance(t, s)
		lost := s.Dropped.Of(ReasonShutdown) + s.Dropped.Of(ReasonExport)
		if s.Submitted != 103 || s.InFlight != 0 || s.Exported+lost != 103 {
			t.Fatalf("%v, %v", s, err)
		}
		if lost > 0 && !strings.Contains(fmt.Sprint(err), fmt.Sprint(lost, " spans were not delivered")) {
			t.Fatalf("%d lost: %v", lost, err)
		}
		// An export that ended well after it was given up may have delivered more.
		c.sender.wg.Wait()
		if n := e.total(t); n < int(s.Exported) {
			t.Fatalf("%v; %d arrived", s, n)
		}
	}
}

// TestShutdownWakesSubmit: a Submit that waits for a dead backend ends with ErrClosed.
func TestShutdownWakesSubmit(t *testing.T) {
	behave, _ := hang(t)
	c := start(t, &backend{behave: behave}, WithRingBits(6), WithQueueBytes(1<<10), WithBatchSpans(10))
	p, _ := c.Register()
	done := make(chan error)
	go func() {
		var err error
		for err == nil {
			err = p.Submit(context.Background(), numbered(2))
		}
		done <- err
	}()
	eventually(t, "Submit waits", func() bool { return c.core.room.waiters.Load() == 1 })
	c.Shutdown(ended)
	if err := <-done; err != ErrClosed {
		t.Errorf("%v", err)
	}
}

// TestShutdownExporterErrors: the exporter's error or panic is joined to what was lost.
func TestShutdownExporterErrors(t *testing.T) {
	boom := errors.New("boom")
	for _, end := range []func(context.Context) error{
		func(context.Context) error { return boom },
		func(context.Context) error { panic("boom") },
	} {
		e := &backend{behave: func(context.Context, *Batch) (int, error) { return 0, errors.New("down") }, end: end}
		c := start(t, e, WithInterval(time.Hour))
		c.TrySubmit(numbered(1))
		err := c.Shutdown(t.Context())
		if err == nil || !strings.Contains(err.Error(), "1 spans were not delivered: exports failed") || !strings.Contains(err.Error(), "boom") {
			t.Errorf("%v", err)
		}
	}
}

// TestShutdownDelivers: Shutdown does not wait for an interval or a batch's age.
func TestShutdownDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(backend)
		c := start(t, e, WithInterval(time.Hour), WithBatchAge(time.Hour))
		for n := range uint64(1000) {
			c.TrySubmit(numbered(n))
		}
		c.TrySubmitRequest(request(t, 5000, 2))
		before := time.Now()
		if err := c.Shutdown(t.Context()); err != nil || e.total(t) != 1002 || time.Since(before) != 0 {
			t.Errorf("%v, %d arrived after %v", err, e.total(t), time.Since(before))
		}
	})
}

// TestShutdownThousandsOfTimes: a collector's whole life, as short as it can be, over and
// over: what a submit accepted has arrived when Shutdown returns.
func TestShutdownThousandsOfTimes(t *testing.T) {
	checkLeaks(t)
	random := seeded(t)
	total := 0
	for range rounds(3000) {
		e := new(backend)
		c, err := New(e, quiet, WithResource(&Resource{}), WithRingBits(6), WithInterval(time.Millisecond), WithBatchSpans(1+random.IntN(64)))
		if err != nil {
			t.Fatal(err)
		}
		p, _ := c.Register()
		var accepted [3]uint64
		var all, begun sync.WaitGroup
		for who, submit := range []func(*Span) error{p.TrySubmit, c.TrySubmit,
			func(s *Span) error { return c.Submit(context.Background(), s) }} {
			begun.Add(1)
			all.Go(func() {
				for k := uint64(0); ; k++ {
					s := numbered(uint64(who)<<32 | k)
					switch err := submit(s); err {
					case nil:
						accepted[who]++
					case ErrClosed:
						if k == 0 {
							begun.Done()
						}
						return
					}
					if k == 0 {
						begun.Done()
					}
					runtime.Gosched()
				}
			})
		}
		if random.IntN(2) == 0 {
			begun.Wait()
		}
		for range random.IntN(20) {
			runtime.Gosched()
		}
		if err := c.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		arrived := e.total(t) // before the submits have ended: Shutdown is what it waits for
		all.Wait()
		if want := accepted[0] + accepted[1] + accepted[2]; uint64(arrived) != want || c.Stats().Exported != want {
			t.Fatalf("%d arrived, %d accepted: %v", arrived, want, c.Stats())
		}
		total += arrived
	}
	if total == 0 {
		t.Error("no span was ever accepted: the test has shown nothing")
	}
}

// TestShutdownSaysWhatIsLost: the error of Shutdown has the number of the spans that the
// ledger has as dropped, whatever happened to them, and there is none if it is zero.
func TestShutdownSaysWhatIsLost(t *testing.T) {
	random := seeded(t)
	said := regexp.MustCompile(`^ringtail: shutdown: (\d+) spans were not delivered: `)
	for range rounds(200) {
		begun := make(chan struct{}) // Shutdown: what is lost before is no matter of it
		moods := fork(random)
		var mu sync.Mutex
		e := &backend{behave: func(ctx context.Context, b *Batch) (int, error) {
			<-begun
			mu.Lock()
			mood, part := moods.IntN(5), moods.IntN(b.Len()+1)
			mu.Unlock()
			switch mood {
			case 0: // dead
				<-ctx.Done()
				return 0, ctx.Err()
			case 1:
				return 0, errors.New("down")
			case 2:
				return b.Len() - part, &ExportError{Spans: part, Reason: ReasonRejected}
			case 3:
				return b.Len() - part, errors.Join(&ExportError{Spans: part, Reason: ReasonClosed}, &ExportError{Reason: ReasonTimeout})
			}
			return b.Len(), nil
		}}
		c := start(t, e, WithBatchSpans(1+random.IntN(50)), WithConcurrentExports(1+random.IntN(3)), WithRingBits(7))
		for n := range uint64(random.IntN(200)) {
			c.TrySubmit(numbered(n))
		}
		if random.IntN(2) == 0 {
			c.TrySubmitRequest(request(t, 1000, 3))
		}
		if random.IntN(2) == 0 {
			c.wake()
		}
		c.TrySubmit(&Span{}) // refused, and not lost
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(3000))*time.Microsecond)
		done := make(chan error)
		go func() { done <- c.Shutdown(ctx) }()
		eventually(t, "Shutdown has begun", func() bool {
			c.core.register.Lock()
			defer c.core.register.Unlock()
			return c.core.closed
		})
		close(begun)
		err := <-done
		cancel()
		s := c.Stats()
		balance(t, s)
		lost := s.Dropped.Total() - s.Dropped.Of(ReasonInvalid) - s.Dropped.Of(ReasonFull)
		told := "0"
		if m := said.FindStringSubmatch(fmt.Sprint(err)); m != nil {
			told = m[1]
		}
		// The time may be over when all is delivered, and the exporter is still to be shut down.
		silent := err == nil || lost == 0 && errors.Is(err, context.DeadlineExceeded)
		if told != fmt.Sprint(lost) || s.InFlight != 0 || silent != (lost == 0) {
			t.Fatalf("%v; Shutdown says: %v", s, err)
		}
	}
}
