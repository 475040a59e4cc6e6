package seglog

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	done     chan error // what became of it on disk; holds one
	left     bool       // nobody waits for done: the committer frees the slot
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
		if c.refs == 1 {
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
	for need := int64(l.memory.sizeFor(size)); l.memory.inUse+need > l.opts.MaxBytes; {
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
	return &slot{log: l, done: make(chan error, 1)}
}

// freeSlot ends a reservation. Its reference to the chunk has gone elsewhere.
func (l *Log) freeSlot(s *slot) {
	s.turn++
	s.chunk, s.left = nil, false
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
	s.count, s.bodySum = uint32(count), sum
	if l.disk != nil {
		return l.await(ctx, s)
	}
	defer l.mu.Unlock()
	h := header{
		length: len(r.body), position: l.end, before: l.count, time: s.time.UnixNano(), count: s.count,
	}
	h.put(s.chunk.buf[s.start:])
	l.extend(s)
	l.wakeReaders()
	l.freeSlot(s)
	return h.position, nil
}

// await hands a frame to the committer and waits. It unlocks Log.mu.
func (l *Log) await(ctx context.Context, s *slot) (Position, error) {
	d := l.disk
	d.ready = append(d.ready, s)
	wake := d.idle && len(d.ready) >= d.want
	if wake {
		d.idle = false
	}
	l.mu.Unlock()
	if wake {
		kick(d.commit)
	}
	var err error
	select {
	case err = <-s.done:
		l.mu.Lock()
	case <-ctx.Done():
		l.mu.Lock()
		select {
		case err = <-s.done: // both at once
		default:
			s.left = true
			s.turn++
			l.mu.Unlock()
			return 0, ctx.Err()
		}
	}
	p := s.position
	l.freeSlot(s)
	l.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return p, nil
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
