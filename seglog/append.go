package seglog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Reservation is room for one frame. It belongs to one goroutine, which fills Bytes and
// ends it with Commit or Abort, soon: Close waits for it, and the memory around it is kept.
type Reservation struct {
	slot *slot
	turn uint32
	body []byte
}

// slot is what the log keeps of a reservation. Slots are reused; turn tells a
// reservation that it has ended.
type slot struct {
	log   *Log
	turn  uint32
	chunk *chunk
	start int // of the header in the chunk
	size  int // with the header
	time  time.Time

	count    uint32
	bodySum  uint32
	position Position
	done     func(Position, error) // for the committer
}

var errEnded = errors.New("the reservation was committed or aborted before")

// Reserve returns room for a frame with a body of n bytes. It never waits. Errors are
// [ErrTooLarge], [ErrClosed], [ErrFull], and what the disk says when it fails.
func (l *Log) Reserve(n int) (Reservation, error) {
	if n < 0 || n > l.opts.MaxFrameBytes {
		return Reservation{}, fmt.Errorf("cannot append %d bytes: %w: %d at most", n, ErrTooLarge, l.opts.MaxFrameBytes)
	}
	t := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	size := headerSize + n
	if err := l.admit(size, t); err != nil {
		l.stats.refused++
		return Reservation{}, err
	}
	c, err := l.room(size)
	if err != nil {
		l.stats.refused++
		return Reservation{}, err
	}
	s := l.takeSlot()
	s.chunk, s.start, s.size, s.time = c, c.used, size, t
	c.used += size
	c.refs++
	l.reserved++
	l.waiting += int64(size)
	body := c.buf[s.start+headerSize : s.start+size : s.start+size]
	return Reservation{slot: s, turn: s.turn, body: body}, nil
}

// admit says whether the log may grow by size bytes.
func (l *Log) admit(size int, t time.Time) error {
	if l.sealed {
		return ErrClosed
	}
	d := l.disk
	if d == nil {
		return nil // memory is counted in chunks
	}
	if d.fault != nil && t.Before(d.retry) {
		return d.fault
	}
	if l.waiting > 0 && l.waiting+int64(size) > l.opts.CacheBytes {
		return ErrFull
	}
	for int64(l.end-l.oldest)+l.waiting+int64(size) > l.opts.MaxBytes {
		if l.opts.WhenFull != DropOldest || !l.dropSegment(SkippedLimit) {
			kick(d.keepNow) // cursors may have passed more than is stored
			return ErrFull
		}
	}
	return nil
}

// room returns a chunk with room for size bytes. A frame larger than a chunk has one of
// its own.
func (l *Log) room(size int) (*chunk, error) {
	if c := l.open; c != nil {
		if c.refs == 1 && !c.kept {
			c.used = 0 // all that was in it is gone: warm memory comes first
		}
		if len(c.buf)-c.used >= size {
			return c, nil
		}
		l.open = nil
		l.memory.drop(c)
	}
	if l.disk != nil {
		l.open = l.memory.take(size)
		l.trimCache()
		return l.open, nil
	}
	// What only runs hold is not the log's any more: to drop more of the log frees none of it.
	for need := int64(l.memory.sizeFor(size)); l.memory.inUse-l.memory.lent+need > l.opts.MaxBytes; {
		if l.opts.WhenFull != DropOldest || !l.dropExtent(SkippedLimit) {
			return nil, ErrFull
		}
	}
	l.open = l.memory.take(size)
	return l.open, nil
}

func (l *Log) takeSlot() *slot {
	if k := len(l.slots) - 1; k >= 0 {
		s := l.slots[k]
		l.slots = l.slots[:k]
		return s
	}
	return &slot{log: l}
}

// freeSlot takes a slot back. Its reference to the chunk has gone elsewhere.
func (l *Log) freeSlot(s *slot) {
	s.chunk, s.done = nil, nil
	l.slots = append(l.slots, s)
	l.waiting -= int64(s.size)
	if l.reserved--; l.reserved == 0 {
		if l.sealed {
			l.wakeAll()
		}
		l.idle.Broadcast()
	}
}

// Bytes is what is to be filled, all of it: memory is reused and holds what was in it
// before. It must not be touched after Commit or Abort.
func (r Reservation) Bytes() []byte { return r.body }

// Commit publishes the frame and returns when it is as durable as Options.Sync promises.
// Count is how many of whatever the ledger counts (spans) the frame holds. If the error
// is that of the context, it is not known whether the frame is in the log, or will be;
// after any other error it is not.
func (r Reservation) Commit(ctx context.Context, count int) (Position, error) {
	if r.slot == nil || r.slot.log.disk == nil {
		return r.publish(count, nil)
	}
	w := waiters.Get().(*waiter)
	if _, err := r.publish(count, w.done); err != nil {
		waiters.Put(w)
		return 0, err
	}
	select {
	case <-w.answered:
	case <-ctx.Done():
		select {
		case <-w.answered: // both at once
		default:
			return 0, ctx.Err() // the answer will come: nobody else can have this waiter
		}
	}
	p, err := w.position, w.err
	w.err = nil
	waiters.Put(w)
	return p, err
}

// waiter is how Commit waits for done. Those that were answered are used again.
type waiter struct {
	answered chan struct{} // holds one
	position Position
	err      error
	done     func(Position, error) // made once: a method value would be memory for each commit
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{answered: make(chan struct{}, 1)}
	w.done = func(p Position, err error) {
		w.position, w.err = p, err
		w.answered <- struct{}{}
	}
	return w
}}

// CommitThen is Commit without waiting: it calls done, exactly once, with what Commit
// would return. In memory, or with a reservation that has ended or a count that is none,
// that is before CommitThen returns. On disk it is when the frame's group is written and
// synced, from the log's own goroutine, for one frame after the other in the order of their
// positions; the next group waits for all of them. So done is to be short. It may take
// locks that nobody holds for long, and call what returns at once: Stats, Reserve, Abort,
// CommitThen, commits of cursors. It must not wait for the log: Commit, Append and Close
// would never return. Close returns when done was called for all frames.
func (r Reservation) CommitThen(count int, done func(Position, error)) {
	if _, err := r.publish(count, done); err != nil {
		done(0, err)
	}
}

// publish makes the frame part of the log in memory, and then calls done, if there is one,
// or hands the frame to the committer, which will. It does not call done for an error of its
// own. The position is known in memory only.
func (r Reservation) publish(count int, done func(Position, error)) (Position, error) {
	s := r.slot
	if s == nil {
		return 0, errEnded
	}
	if count < 0 || uint64(count) > math.MaxUint32 {
		r.Abort()
		return 0, fmt.Errorf("cannot append a frame: its count is %d", count)
	}
	l := s.log
	var sum uint32
	if l.disk != nil {
		sum = bodySum(r.body)
	}
	l.mu.Lock()
	if s.turn != r.turn {
		l.mu.Unlock()
		return 0, errEnded
	}
	s.turn++
	s.count, s.bodySum = uint32(count), sum
	if d := l.disk; d != nil {
		s.done = done
		d.ready = append(d.ready, s)
		wake := d.idle && len(d.ready) >= d.want
		if wake {
			d.idle = false
		}
		l.mu.Unlock()
		if wake {
			kick(d.commit)
		}
		return 0, nil
	}
	h := header{
		length: len(r.body), position: l.end, before: l.count, time: s.time.UnixNano(), count: s.count,
	}
	h.put(s.chunk.buf[s.start:])
	l.extend(s)
	l.wakeReaders()
	if done != nil {
		l.mu.Unlock()
		done(h.position, nil)
		l.mu.Lock() // until now the slot is taken: Close waits
	}
	l.freeSlot(s)
	l.mu.Unlock()
	return h.position, nil
}

// Abort gives the room up. No reader ever sees it. After Commit or Abort it does
// nothing.
func (r Reservation) Abort() {
	s := r.slot
	if s == nil {
		return
	}
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.turn != r.turn {
		return
	}
	s.turn++
	if c := s.chunk; c.used == s.start+s.size {
		c.used = s.start
	}
	l.memory.drop(s.chunk)
	l.freeSlot(s)
}

// Append copies body into the log: Reserve, fill, Commit.
func (l *Log) Append(ctx context.Context, body []byte, count int) (Position, error) {
	r, err := l.Reserve(len(body))
	if err != nil {
		return 0, err
	}
	copy(r.Bytes(), body)
	return r.Commit(ctx, count)
}

// extend makes a frame the last one of the log. The reservation's reference to the chunk is
// now the extent's.
func (l *Log) extend(s *slot) {
	c, stop := s.chunk, s.start+s.size
	if e := l.lastExtent(); e != nil && e.chunk == c && e.start+len(e.data) == s.start {
		e.data = c.buf[e.start:stop]
		c.refs--
	} else {
		l.extents = append(l.extents, extent{
			base: l.end, count: l.count, data: c.buf[s.start:stop], chunk: c, start: s.start,
		})
	}
	l.lastExtent().newest = s.time
	l.end += Position(s.size)
	l.count += uint64(s.count)
	l.stats.frames++
}

func (l *Log) lastExtent() *extent {
	if n := len(l.extents); n > 0 {
		return &l.extents[n-1]
	}
	return nil
}
