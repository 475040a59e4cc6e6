package otelsdk

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// TestFullBatchLeaves: however the spans are spread over goroutines, a batch leaves with
// its last span, and not before. In a bubble the timer does not help.
func TestFullBatchLeaves(t *testing.T) {
	random := seeded(t)
	for range 300 {
		seed := random.Uint64()
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			size := 1 + random.IntN(600)
			batch := 1 + random.IntN(size)
			h := start(t, paths["typed"], never, sdktrace.WithMaxQueueSize(size), sdktrace.WithMaxExportBatchSize(batch))
			total := 0
			for range 1 + random.IntN(5) {
				var wg sync.WaitGroup
				for range 1 + random.IntN(4) {
					n := random.IntN((size-batch+1)/4 + 1) // so that nothing is dropped
					first := total
					total += n
					wg.Go(func() { h.end(first, n) })
				}
				wg.Wait()
				synctest.Wait()
				if got, want := h.backend.Counts().Spans, total/batch*batch; got != want {
					t.Errorf("seed %d: %d of %d spans have left, want %d: size %d, batch %d", seed, got, total, want, size, batch)
					break
				}
			}
			h.mustShutdown()
			h.wantAll(total)
		})
	}
}

// TestQueueBounds: nothing is refused below the size, little is taken above it, and
// the credits come back.
func TestQueueBounds(t *testing.T) {
	random := seeded(t)
	for range 200 {
		size := 1 + random.IntN(500)
		q := newQueue(size, min(size, 1+random.IntN(200)), func() {})
		for range 3 {
			_, before, _ := q.counts()
			var wg sync.WaitGroup
			var mu sync.Mutex
			taken := 0
			for range 1 + random.IntN(6) {
				n := random.IntN(2 * size)
				wg.Go(func() {
					mine := 0
					for range n {
						if err := q.offer(numbered(1), true); err == nil {
							mine++
						} else if err != ringtail.ErrFull {
							t.Error(err)
						}
						if n%7 == 0 {
							runtime.Gosched()
						}
					}
					mu.Lock()
					taken += mine
					mu.Unlock()
				})
			}
			wg.Wait()
			_, full, _ := q.counts()
			if int64(taken) > q.all || full > before && taken < size {
				t.Fatalf("size %d: took %d, refused %d", size, taken, full-before)
			}
			for q.offer(numbered(1), false) == nil {
				taken++
			}
			if taken < size || int64(taken) > q.all {
				t.Fatalf("size %d: took %d, at most %d", size, taken, q.all)
			}
			got := q.gather(nil)
			if len(got) != taken {
				t.Fatalf("took %d, gathered %d", taken, len(got))
			}
			q.giveBack(taken)
		}
	}
}

// TestSpill: what finds no room in a ring, or no lane, waits behind the lock, within the
// same bounds.
func TestSpill(t *testing.T) {
	q := newQueue(100, 50, func() {})
	lanes := q.free.most
	var leases []*lease
	for range lanes {
		leases = append(leases, q.lease())
	}
	if q.lease() != nil {
		t.Fatal("a lease too many")
	}
	for i := range q.all {
		if err := q.offer(numbered(int(i)), true); err != nil {
			t.Fatalf("span %d of %d: %v", i, q.all, err)
		}
	}
	if err := q.offer(numbered(0), true); err != ringtail.ErrFull {
		t.Errorf("beyond the size: %v", err)
	}
	if got := q.gather(nil); len(got) != int(q.all) {
		t.Errorf("gathered %d, want %d", len(got), q.all)
	}
	q.giveBack(int(q.all))
	for leases[0].producer.Push(numbered(0)) { // fills its ring
	}
	if err := q.offerLane(leases[0].lane, numbered(0), true); err != nil || len(q.spill.spans) != 1 {
		t.Errorf("full ring: %v, %d spilt", err, len(q.spill.spans))
	}
	q.close()
	if err := q.offer(numbered(0), true); err != ringtail.ErrClosed {
		t.Errorf("closed: %v", err)
	}
	if err := q.offerLane(leases[1].lane, numbered(0), true); err != ringtail.ErrClosed {
		t.Errorf("closed lane: %v", err)
	}
	if _, full, refused := q.counts(); full != 1 || refused != 2 {
		t.Errorf("%d full, %d refused; want 1, 2", full, refused)
	}
	runtime.KeepAlive(leases)
}

// TestForgottenLanes: the garbage collector may empty the pool at any time.
func TestForgottenLanes(t *testing.T) {
	q := newQueue(1000, 500, func() {})
	n := 0
	for range 50 {
		for range 10 {
			if q.offer(numbered(n), true) == nil {
				n++
			}
		}
		runtime.GC()
		runtime.GC()
	}
	for end := time.Now().Add(patience); ; runtime.GC() {
		q.free.Lock()
		free := len(q.free.lanes)
		q.free.Unlock()
		if free > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a forgotten lane does not come back")
		}
	}
	if got := len(q.gather(nil)); got != n || n != 500 {
		t.Errorf("%d spans are there, %d were taken", got, n)
	}
	if len(q.free.made) > q.free.most {
		t.Errorf("%d lanes", len(q.free.made))
	}
}
