package ringtail

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/otlp"
)

// patience ends a wait for something that never comes. Nothing is measured by it.
const patience = 30 * time.Second

// seeded returns a source of random numbers and prints how to get it again.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func fork(random *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(random.Uint64(), 1)) }

// numbered returns a small span whose id is n, and whose trace id has n, too.
func numbered(n uint64) *Span {
	s := &Span{Name: "work", Start: time.Unix(1, 0), End: time.Unix(2, 0)}
	setNumber(s, n)
	return s
}

func setNumber(s *Span, n uint64) {
	binary.BigEndian.PutUint64(s.SpanID[:], n+1)
	binary.BigEndian.PutUint64(s.TraceID[:], n+1)
}

func numberOf(id trace.SpanID) uint64 { return binary.BigEndian.Uint64(id[:]) - 1 }

// numbers returns the numbers of the spans of a batch, in its order.
func numbers(t testing.TB, b *Batch) []uint64 {
	var ns []uint64
	if b == nil {
		return nil
	}
	for ref := range otlp.Spans(b.Bytes()) {
		v, err := otlp.ParseSpan(ref.Body)
		if err != nil {
			t.Fatal(err)
		}
		ns = append(ns, numberOf(v.SpanID))
	}
	if len(ns) != b.Len() {
		t.Fatalf("a batch of %d spans says that it has %d", len(ns), b.Len())
	}
	return ns
}

// backend is an exporter that notes which spans it took, and does what it is told.
type backend struct {
	// behave runs before the spans are taken. With take it says how many of the
	// batch's spans, from the first one, the backend takes; the error is passed on.
	behave func(ctx context.Context, b *Batch) (take int, err error)
	end    func(context.Context) error // Shutdown; may be nil

	mu    sync.Mutex
	taken map[uint64]int // by number: how often
	sizes []int          // of batches, in the order in which their exports ended
	ended int
}

func (e *backend) Export(ctx context.Context, b *Batch) error {
	take, err := b.Len(), error(nil)
	if e.behave != nil {
		take, err = e.behave(ctx, b)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.taken == nil {
		e.taken = make(map[uint64]int)
	}
	e.sizes = append(e.sizes, b.Len())
	for ref := range otlp.Spans(b.Bytes()) {
		if take--; take < 0 {
			break
		}
		v, _ := otlp.ParseSpan(ref.Body)
		e.taken[numberOf(v.SpanID)]++
	}
	return err
}

func (e *backend) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	e.ended++
	e.mu.Unlock()
	if e.end != nil {
		return e.end(ctx)
	}
	return nil
}

// total returns how many spans the backend took. None may have come twice.
func (e *backend) total(t testing.TB) int {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for n, times := range e.taken {
		if times != 1 {
			t.Errorf("span %d arrived %d times", n, times)
		}
	}
	return len(e.taken)
}

// hang returns a behaviour that ignores its context and blocks until the test ends,
// and a channel that says when an export has begun.
func hang(t testing.TB) (behave func(context.Context, *Batch) (int, error), begun chan struct{}) {
	checkLeaks(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	begun = make(chan struct{}, 1000)
	return func(context.Context, *Batch) (int, error) {
		begun <- struct{}{}
		<-release
		return 0, context.Canceled
	}, begun
}

var quiet = WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))

// start makes a collector that is shut down, and leaves no goroutine, at the end of the test.
func start(t testing.TB, e Exporter, opts ...Option) *Collector {
	t.Helper()
	checkLeaks(t)
	c, err := New(e, append([]Option{quiet, WithResource(&Resource{})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		c.Shutdown(ended)
	})
	return c
}

// leaksChecked has the names of the tests for which checkLeaks was called.
var leaksChecked = make(map[string]bool)

// checkLeaks fails the test if it leaves goroutines of this package behind, after
// all cleanups that are registered later.
func checkLeaks(t testing.TB) {
	if leaksChecked[t.Name()] {
		return
	}
	leaksChecked[t.Name()] = true
	t.Cleanup(func() {
		delete(leaksChecked, t.Name())
		deadline := time.Now().Add(patience)
		for {
			left := ownGoroutines()
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
				return
			}
			runtime.Gosched()
			time.Sleep(time.Millisecond)
		}
	})
}

// ownGoroutines returns the stacks of the goroutines that a collector started.
func ownGoroutines() []string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var own []string
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, "ringtail.(*Collector).drain") || strings.Contains(stack, "ringtail.(*sender).run") ||
			strings.Contains(stack, "ringtail.within") {
			own = append(own, stack)
		}
	}
	return own
}

// eventually waits until ok, which another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		runtime.Gosched()
		time.Sleep(100 * time.Microsecond)
	}
}

// within30s returns a context that saves the test from hanging.
func within30s(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// balance checks that a ledger balances.
func balance(t testing.TB, s Stats) {
	t.Helper()
	if s.Submitted != s.Exported+s.Dropped.Total()+s.InFlight || s.InFlight > s.Submitted {
		t.Fatalf("the ledger does not balance: %v", s)
	}
}
