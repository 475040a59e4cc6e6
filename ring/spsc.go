package ring

import (
	"fmt"
	"math/bits"
	"reflect"
	"sync/atomic"
)

// ends are the two words that both sides of a typed ring look at, each written
// by one side and 128 bytes from everything else.
//
// A position is twice a sequence number: it moves in steps of 2, and bit 0 of
// tail means closed, so that commit and close are ordered by one word. The
// argument stands in bytes.go; it is the same protocol. Positions wrap at
// 2^64, which a capacity that is a power of two does not notice.
type ends struct {
	_    [line]byte
	tail atomic.Uint64 // position of the next value to be pushed, and closedBit
	_    [line - 8]byte
	head atomic.Uint64 // position of the oldest value in use
	_    [line - 8]byte
}

const (
	step     = 2
	maxSlots = 1 << 30
)

// Producer is the writing end of a typed ring: a bounded queue of values
// with one producer and one consumer.
//
// Its methods are for one goroutine at a time, except Close and Closed, which
// any goroutine may call at any time. Handing the producer to another
// goroutine needs the synchronization that handing over any variable needs.
type Producer[T any] struct {
	slots   []T
	tail    uint64 // own position, closed bit never set
	limit   uint64 // tail at which the ring looks full: last seen head + capacity
	granted uint64 // slots of the current reservation + 1; 0: none
	ends    *ends
	full    *atomic.Uint64 // counts refusals when not nil

	_ [line - 24 - 3*8 - 2*8]byte // producers of different rings do not share a line
}

// Consumer is the reading end of a typed ring.
//
// Its methods are for one goroutine at a time, except Close and Closed, which
// any goroutine may call at any time.
type Consumer[T any] struct {
	slots    []T
	head     uint64 // position of the oldest value not released
	tail     uint64 // last seen tail: never beyond the real one
	ends     *ends
	closed   bool // the tail last seen was closed: final
	pointers bool // T holds pointers: released slots are cleared

	_ [line - 24 - 2*8 - 2*8]byte
}

// NewSPSC makes a ring for capacity values, rounded up to a power of two. It
// panics when capacity is below 1 or above 2^30. All memory is allocated here.
func NewSPSC[T any](capacity int) (*Producer[T], *Consumer[T]) {
	return newSPSCAt[T](capacity, 0)
}

// newSPSCAt is NewSPSC with a first position other than 0.
func newSPSCAt[T any](capacity int, start uint64) (*Producer[T], *Consumer[T]) {
	if capacity < 1 || capacity > maxSlots {
		panic(fmt.Sprintf("ring: capacity of %d values is not between 1 and %d", capacity, maxSlots))
	}
	c := &Consumer[T]{
		slots:    make([]T, 1<<bits.Len(uint(capacity-1))),
		head:     start,
		tail:     start,
		ends:     new(ends),
		pointers: hasPointers(reflect.TypeFor[T]()),
	}
	c.ends.tail.Store(start)
	c.ends.head.Store(start)
	return c.newProducer(start), c
}

func (c *Consumer[T]) newProducer(at uint64) *Producer[T] {
	return &Producer[T]{slots: c.slots, tail: at, limit: at + c.span(), ends: c.ends}
}

// span is the capacity as a distance between positions.
func (c *Consumer[T]) span() uint64 { return step * uint64(len(c.slots)) }

// hasPointers reports whether values of type t can keep other memory alive.
func hasPointers(t reflect.Type) bool {
	switch k := t.Kind(); {
	case k >= reflect.Bool && k <= reflect.Complex128:
		return false
	case k == reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	case k == reflect.Struct:
		for f := range t.Fields() {
			if hasPointers(f.Type) {
				return true
			}
		}
		return false
	default:
		return true
	}
}

// Push appends v. False means that v was not taken and never will be seen:
// the ring was full when head was last read, or it is closed, and Closed tells
// which. True means that the consumer gets v, even when the ring is closed
// right afterwards. A Push that succeeds abandons a reservation.
func (p *Producer[T]) Push(v T) bool {
	if p.tail == p.limit && !p.makeRoom() {
		return false
	}
	p.granted = 0
	p.slots[p.tail/step&uint64(len(p.slots)-1)] = v
	if !p.ends.tail.CompareAndSwap(p.tail, p.tail+step) {
		return p.refused(1)
	}
	p.tail += step
	return true
}

// Reserve returns up to n free slots, one behind another in memory, to write
// values into: fewer at the end of the ring's memory or when there is less
// room, nil when there is none or the ring is closed. The slots hold the zero
// value or something pushed or abandoned before. They are the caller's until Commit or
// the next Reserve or Push, and nothing is visible to the consumer before
// Commit. A second call after a short first one gives the rest.
func (p *Producer[T]) Reserve(n int) []T {
	p.granted = 0
	if n < 1 {
		return nil
	}
	if free := (p.limit - p.tail) / step; free < uint64(n) && !p.makeRoom() {
		return nil
	}
	first := p.tail / step & uint64(len(p.slots)-1)
	count := min(uint64(n), (p.limit-p.tail)/step, uint64(len(p.slots))-first)
	p.granted = count + 1
	return p.slots[first : first+count : first+count]
}

// Commit publishes the first n slots of the reservation, all at once, and ends
// the reservation. False means that the ring was closed before, by either
// side: none of the values was published and none will be seen. True means that the
// consumer gets them all.
//
// A slot that was written and not committed keeps what it refers to alive until
// it is written again. Commit panics when n is outside the reservation.
func (p *Producer[T]) Commit(n int) bool {
	if uint64(n) >= p.granted {
		panic("ring: Commit of more values than Reserve gave")
	}
	granted := p.granted - 1
	p.granted = 0
	// The release of all slots up to next; the load that observes it is in
	// Consumer.see.
	next := p.tail + step*uint64(n)
	if !p.ends.tail.CompareAndSwap(p.tail, next) {
		return p.refused(granted)
	}
	p.tail = next
	return true
}

// refused clears the slots that were written in vain, so that they keep
// nothing alive, and sends every later call into makeRoom.
func (p *Producer[T]) refused(written uint64) bool {
	first := p.tail / step & uint64(len(p.slots)-1)
	clear(p.slots[first : first+written])
	p.limit = p.tail
	return false
}

// makeRoom looks at head again when the ring looks too full. It reports
// whether there is a free slot in a ring that is not closed.
func (p *Producer[T]) makeRoom() bool {
	if !p.Closed() {
		p.limit = p.ends.head.Load() + step*uint64(len(p.slots))
		if p.limit != p.tail {
			return true
		}
	}
	if p.full != nil {
		p.full.Add(1)
	}
	return false
}

// Len is the number of values in the ring. There may be fewer on return, never more.
func (p *Producer[T]) Len() int { return int((p.tail - p.ends.head.Load()) / step) }

// Cap is the number of values that the ring holds when full.
func (p *Producer[T]) Cap() int { return len(p.slots) }

// Close refuses all further values, a reservation handed out already
// included. What was taken before is still there for the consumer. Close may be called by
// any goroutine and more than once.
func (p *Producer[T]) Close() { p.ends.tail.Or(closedBit) }

// Closed reports whether the ring is closed. Any goroutine may call it.
// False may be outdated on return, true never is.
func (p *Producer[T]) Closed() bool { return p.ends.tail.Load()&closedBit != 0 }

// Read returns up to limit of the oldest values, one behind another in memory:
// fewer when there are fewer or at the end of the ring's memory, nil when the
// ring is empty or limit is below 1. They stay in the ring, and may be read and even
// written, until Release; a second call before that returns the same ones, and
// perhaps more.
func (c *Consumer[T]) Read(limit int) []T {
	count := c.see(limit)
	if count == 0 {
		return nil
	}
	first := c.head / step & uint64(len(c.slots)-1)
	end := min(first+count, uint64(len(c.slots)))
	return c.slots[first:end:end]
}

// see returns how many values there are, at most limit. It looks at tail again
// only when the values seen before do not satisfy limit.
func (c *Consumer[T]) see(limit int) uint64 {
	if limit < 1 {
		return 0
	}
	if (c.tail-c.head)/step < uint64(limit) {
		word := c.ends.tail.Load()
		c.tail = word &^ closedBit
		c.closed = word != c.tail
	}
	return min(uint64(limit), (c.tail-c.head)/step)
}

// Release gives the n oldest slots back to the producer, with one atomic
// store; slots of a type that holds pointers are cleared before. It panics
// when n is negative or greater than what the consumer has seen.
func (c *Consumer[T]) Release(n int) {
	if uint64(n) > (c.tail-c.head)/step {
		panic("ring: Release of more values than Read returned")
	}
	if c.pointers {
		first := c.head / step & uint64(len(c.slots)-1)
		end := min(first+uint64(n), uint64(len(c.slots)))
		clear(c.slots[first:end])
		clear(c.slots[:uint64(n)-(end-first)])
	}
	c.head += step * uint64(n)
	c.ends.head.Store(c.head)
}

// Pop removes the oldest value; false when there is none. After the ring was seen closed,
// false is final.
func (c *Consumer[T]) Pop() (v T, ok bool) {
	if c.see(1) == 0 {
		return v, false
	}
	v = c.slots[c.head/step&uint64(len(c.slots)-1)]
	c.Release(1)
	return v, true
}

// ConsumeUpTo passes the oldest values to f, at most limit, and then removes
// them, with one atomic store. It returns their number. The values come in at most two batches,
// in order; a batch is valid during the call. When f panics, the values
// stay in the ring.
func (c *Consumer[T]) ConsumeUpTo(limit int, f func(batch []T)) int {
	count := c.see(limit)
	if count == 0 {
		return 0
	}
	first := c.head / step & uint64(len(c.slots)-1)
	end := min(first+count, uint64(len(c.slots)))
	f(c.slots[first:end:end])
	if rest := count - (end - first); rest > 0 {
		f(c.slots[:rest:rest])
	}
	c.Release(int(count))
	return int(count)
}

// Len is the number of values in the ring. There may be more on return, never fewer.
func (c *Consumer[T]) Len() int {
	return int((c.ends.tail.Load()&^closedBit - c.head) / step)
}

// Cap is the number of values that the ring holds when full.
func (c *Consumer[T]) Cap() int { return len(c.slots) }

// Close refuses all further values. What was taken before is still there: once
// the ring is found empty after Close has returned, every value that was ever taken has
// been read. Close may be called by any goroutine and more than once.
func (c *Consumer[T]) Close() { c.ends.tail.Or(closedBit) }

// Closed reports whether the ring is closed. Any goroutine may call it.
// False may be outdated on return, true never is.
func (c *Consumer[T]) Closed() bool { return c.ends.tail.Load()&closedBit != 0 }

// Done reports whether the ring is closed and every value has been released.
func (c *Consumer[T]) Done() bool { return c.ends.tail.Load() == c.head|closedBit }

// seenDone is Done by what see saw last: no look at the producer's cache line.
func (c *Consumer[T]) seenDone() bool { return c.closed && c.head == c.tail }

// Reopen readies a ring that is Done for its next producer, with the same
// memory, and returns that producer. If the ring is not Done, it changes
// nothing and returns nil.
//
// The caller knows that the former producer is no longer in use, and is
// synchronized with its last use. Should it be used again nevertheless, what
// it pushes is refused, but it writes to a slot of the next producer before.
func (c *Consumer[T]) Reopen() *Producer[T] {
	if !c.Done() {
		return nil
	}
	// A lap further, so that the former producer's compare-and-swap can not
	// succeed by mistake.
	next := c.head + c.span()
	c.head, c.tail, c.closed = next, next, false
	c.ends.head.Store(next)
	c.ends.tail.Store(next)
	return c.newProducer(next)
}
