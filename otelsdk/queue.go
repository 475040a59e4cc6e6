package otelsdk

import (
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ring"
)

// queue holds ended spans for one consumer: a ring for each processor, lent to the
// goroutine that ends a span by a sync.Pool, so that two of them share nothing.
//
// What bounds it is credits, one a span. They are borrowed from a common count, but
// by the chunk, so that this count is touched once in a chunk. A lane keeps what is left
// of its chunk, at most chunk-1; so many more than size credits there are in all.
// Therefore a span is refused only when size spans are queued.
type queue struct {
	batch int // the number of spans that the consumer wants to hear of
	chunk int64
	all   int64  // credits there are
	wake  func() // tells the consumer that it should gather; never blocks

	rings *ring.MPSC[sdktrace.ReadOnlySpan]
	pool  sync.Pool // of *lease

	// free holds the lanes that the pool forgot; see the root package's shared.go.
	free struct {
		sync.Mutex
		lanes []*lane
		made  []*lane
		most  int
	}

	// spill takes what finds no lane, because all are in the hands of goroutines that
	// were preempted, or a full ring. Both are rare.
	spill struct {
		sync.Mutex
		spans         []sdktrace.ReadOnlySpan
		closed        bool
		taken         uint64
		full, refused uint64
	}

	room room

	_       [128]byte
	credits atomic.Int64 // not borrowed
	_       [128]byte
	// due is what the consumer waits for, when a batch is nearly there: the one whose
	// span brings it to 0 wakes it. Otherwise it is not above 0, and only read.
	due atomic.Int64
	_   [128]byte
}

// lane is one processor's way into the queue, for one goroutine at a time.
type lane struct {
	producer *ring.Producer[sdktrace.ReadOnlySpan]
	credits  int64

	full, refused atomic.Uint64 // written by the holder, read by counts
	_             [64]byte
}

// lease is the right to use a lane, held by a goroutine or the pool.
type lease struct{ *lane }

// Rings are as large as the queue, up to this many spans (16 MiB). Beyond it spans
// that the consumer does not come for in time are spilt.
const mostRing = 1 << 20

// mostChunk bounds the credits that a lane takes at once.
const mostChunk = 32

func newQueue(size, batch int, wake func()) *queue {
	lanes := min(max(2, runtime.GOMAXPROCS(0)), math.MaxInt16)
	q := &queue{batch: batch, wake: wake}
	q.chunk = int64(min(max(batch/(4*lanes), 1), mostChunk))
	q.all = int64(size) + int64(lanes)*(q.chunk-1)
	q.credits.Store(q.all)
	q.free.most = lanes
	q.rings = ring.NewMPSC[sdktrace.ReadOnlySpan](ring.Config{
		Capacity:     1 << bits.Len64(uint64(min(q.all, mostRing)-1)),
		MaxProducers: lanes,
	})
	q.room.freed = make(chan struct{})
	return q
}

// offer takes a span. The errors are [ringtail.ErrFull], which is counted only when
// final, and [ringtail.ErrClosed].
func (q *queue) offer(s sdktrace.ReadOnlySpan, final bool) error {
	l, _ := q.pool.Get().(*lease)
	if l == nil {
		if l = q.lease(); l == nil {
			return q.offerSpill(s, 0, final)
		}
	}
	err := q.offerLane(l.lane, s, final)
	q.pool.Put(l)
	return err
}

func (q *queue) offerLane(l *lane, s sdktrace.ReadOnlySpan, final bool) error {
	if l.credits == 0 {
		if l.credits = q.borrow(q.chunk); l.credits == 0 {
			if l.producer.Closed() {
				l.refused.Add(1)
				return ringtail.ErrClosed
			}
			if final {
				l.full.Add(1)
			}
			return ringtail.ErrFull
		}
	}
	if !l.producer.Push(s) {
		if l.producer.Closed() {
			l.refused.Add(1)
			return ringtail.ErrClosed
		}
		l.credits--
		return q.offerSpill(s, 1, final)
	}
	l.credits--
	q.took()
	return nil
}

// took tells the consumer that there is a span more, if it wants to know.
func (q *queue) took() {
	if q.due.Load() > 0 && q.due.Add(-1) == 0 {
		q.wake()
	}
}

// borrow takes up to n credits, none if there are none. It wakes the consumer when
// with these credits there could be a batch.
func (q *queue) borrow(n int64) int64 {
	for {
		left := q.credits.Load()
		if n = min(n, left); n <= 0 {
			return 0
		}
		if q.credits.CompareAndSwap(left, left-n) {
			if q.all-left+n >= int64(q.batch) && q.due.Load() <= 0 {
				q.wake()
			}
			return n
		}
	}
}

// borrowed returns the number of credits that are out: never less than what is queued.
func (q *queue) borrowed() int { return int(q.all - q.credits.Load()) }

// giveBack returns the credits of n spans that have left the queue.
func (q *queue) giveBack(n int) {
	q.credits.Add(int64(n))
	q.room.announce()
}

// offerSpill takes a span that no ring takes, with a credit that is there or not.
func (q *queue) offerSpill(s sdktrace.ReadOnlySpan, credit int64, final bool) error {
	q.spill.Lock()
	defer q.spill.Unlock()
	if q.spill.closed {
		q.spill.refused++
		return ringtail.ErrClosed
	}
	if credit == 0 && q.borrow(1) == 0 {
		if final {
			q.spill.full++
		}
		return ringtail.ErrFull
	}
	q.spill.spans = append(q.spill.spans, s)
	q.spill.taken++
	q.took()
	return nil
}

// lease returns a lease of a forgotten lane or of a new one, nil when all are in use,
// or the queue is closed.
func (q *queue) lease() *lease {
	q.free.Lock()
	defer q.free.Unlock()
	var got *lane
	if n := len(q.free.lanes); n > 0 {
		got, q.free.lanes = q.free.lanes[n-1], q.free.lanes[:n-1]
	} else if len(q.free.made) < q.free.most {
		p, err := q.rings.Register()
		if err != nil {
			return nil // closed
		}
		got = &lane{producer: p}
		q.free.made = append(q.free.made, got)
	} else {
		return nil
	}
	l := &lease{got}
	runtime.AddCleanup(l, q.forget, got)
	return l
}

// forget is the cleanup of a lease. Each lane has one lease at most.
func (q *queue) forget(l *lane) {
	q.free.Lock()
	defer q.free.Unlock()
	q.free.lanes = append(q.free.lanes, l)
}

// close refuses all further spans. What an offer has taken, before or meanwhile, is
// there for gather.
func (q *queue) close() {
	q.rings.Close()
	q.spill.Lock()
	q.spill.closed = true
	q.spill.Unlock()
	q.room.announce()
}

// gather appends everything that is visible, which is at least what was taken before
// the call. It is the consumer's, as all that follows.
func (q *queue) gather(dst []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	q.rings.ConsumeUpTo(math.MaxInt, func(_ int, spans []sdktrace.ReadOnlySpan) {
		dst = append(dst, spans...)
	})
	q.spill.Lock()
	defer q.spill.Unlock()
	dst = append(dst, q.spill.spans...)
	clear(q.spill.spans)
	q.spill.spans = q.spill.spans[:0]
	if cap(q.spill.spans) > 1<<12 {
		q.spill.spans = nil
	}
	return dst
}

// await gathers, and has the consumer woken as soon as there are batch spans with
// those it has. It reports whether there are already.
func (q *queue) await(dst []sdktrace.ReadOnlySpan) (_ []sdktrace.ReadOnlySpan, ready bool) {
	q.due.Store(0)
	if dst = q.gather(dst); len(dst) >= q.batch {
		return dst, true
	}
	if q.borrowed() < q.batch {
		return dst, false // the borrower of the credits that make it possible wakes
	}
	// Every span counts now, in dst or in due. A span that is pushed after due is set
	// may count in both, which wakes the consumer early; none counts in neither.
	const many = 1 << 40
	q.due.Store(many)
	dst = q.gather(dst)
	if q.due.Add(int64(q.batch-len(dst))-many) <= 0 {
		q.due.Store(0)
		return dst, true
	}
	return dst, false
}

// counts returns how many spans were taken, and how many refused for either reason.
func (q *queue) counts() (taken, full, refused uint64) {
	taken = q.rings.Stats().Sent
	q.spill.Lock()
	taken += q.spill.taken
	full, refused = q.spill.full, q.spill.refused
	q.spill.Unlock()
	q.free.Lock()
	defer q.free.Unlock()
	for _, l := range q.free.made {
		full += l.full.Load()
		refused += l.refused.Load()
	}
	return taken, full, refused
}
