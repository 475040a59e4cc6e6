package ring

import (
	"fmt"
	"math/bits"
	"sync/atomic"
)

// # Closing is part of the commit
//
// Tail is always a multiple of 8, so bit 0 of its word is free to mean
// "closed", and the one word says both what was published and whether more may
// be. Commit is a single compare-and-swap of that word from the producer's own
// position to the next; closing is a single or of the bit. Both are
// read-modify-write operations on one word, so they have one order:
//
//   - Commit before close. The close sees the new tail. Go's atomics are
//     sequentially consistent and an atomic that observes another's effect
//     synchronizes after it, so everything the producer wrote before Commit (header,
//     payload, padding) happens before anything done after the close. A drain
//     that starts after Close returned loads this tail or a later one and
//     finds the record.
//   - Close before commit. The word no longer equals the producer's position,
//     the compare-and-swap fails, tail does not move, and nobody ever looks at what
//     lies beyond tail.
//
// There is no third case, hence no record that Commit accepted and a drain
// after Close missed, and none that Commit refused and somebody read. A flag
// in a word of its own needs a second look after the store to get half of
// that; the model in model/ring.pml shows the interleaving that loses the
// record.
//
// In the other direction: the consumer's reads of a record happen before its
// store of head in Release, and the producer reuses bytes only after a load of
// head observed that store. The cached copies of head and tail are merely old
// values of words that only grow: an old head makes the ring look fuller than it is,
// an old tail makes it look emptier, and neither makes anybody touch bytes of
// the other side.

// BytesProducer is the writing end of a byte ring: a queue of
// variable-length records with one producer and one consumer, in one
// contiguous region without Go pointers.
//
// Its methods are for one goroutine at a time, except Close and Closed, which any
// goroutine may call at any time. Handing the producer to another goroutine
// needs the synchronization that handing over any variable needs.
type BytesProducer struct {
	records []byte
	tail    uint64 // own position, closed bit never set; equals the word until closed
	head    uint64 // last seen head: never beyond the real one
	at      uint64 // where the record of the current reservation starts
	granted uint64 // its length + 1; 0: no reservation
	max     uint64 // MaxRecord + 1; 0: known to be closed

	tailWord *atomic.Uint64
	headWord *atomic.Uint64

	_ [line - 24 - 5*8 - 2*8]byte // producers of different rings do not share a line
}

// BytesConsumer is the reading end of a byte ring.
//
// Its methods are for one goroutine at a time, except Close and Closed, which any
// goroutine may call at any time.
type BytesConsumer struct {
	records []byte
	read    uint64 // position of the next record to return
	tail    uint64 // last seen tail: never beyond the real one
	counted uint64 // position up to which pending counts records
	pending int    // records between read and counted; at 0 the two are equal

	tailWord *atomic.Uint64
	headWord *atomic.Uint64
	region   []byte

	_ [line - 24 - 4*8 - 2*8 - 24]byte
}

// NewBytes makes a byte ring over a fresh region on the heap. Capacity counts
// the bytes for records with their headers of 8 bytes each, and is rounded up
// to a power of two, at least 1 KiB. It panics when capacity is negative
// or above 1 GiB.
func NewBytes(capacity int) (*BytesProducer, *BytesConsumer) {
	return newBytesAt(capacity, 0)
}

// newBytesAt is NewBytes with a first position other than 0.
func newBytesAt(capacity int, start uint64) (*BytesProducer, *BytesConsumer) {
	if capacity < 0 || capacity > maxBytes {
		panic(fmt.Sprintf("ring: capacity of %d bytes is not between 0 and %d", capacity, maxBytes))
	}
	size := max(minBytes, 1<<bits.Len(uint(max(capacity, 1)-1)))
	region := alignedBytes(recordsAt + size)
	format(region, uint64(size), start)
	c := newBytesConsumer(region, start, start)
	return c.newProducer(start), c
}

// OpenBytes attaches a consumer to a region that holds a byte ring already:
// one that another process left behind or still writes to, or a snapshot. The
// region must be writable and start on a multiple of 8, as mapped memory does;
// bytes after the ring are ignored. It stays in use until the consumer and all
// producers got from it are dropped, and there must be no other consumer.
//
// Everything that Next relies on is validated, each record header up to the
// tail included, so that a damaged region is an error here and nothing worse later.
// Payloads are the application's to verify. The errors wrap [ErrNotRing],
// [ErrVersion] or [ErrCorrupt].
//
// To write to a region whose producer is gone, Close it, drain it, and
// [BytesConsumer.Reopen] it.
func OpenBytes(region []byte) (*BytesConsumer, error) {
	capacity, head, tail, err := inspect(region)
	if err != nil {
		return nil, err
	}
	end := recordsAt + capacity
	return newBytesConsumer(region[:end:end], head, tail), nil
}

func newBytesConsumer(region []byte, head, tail uint64) *BytesConsumer {
	return &BytesConsumer{
		records:  region[recordsAt:],
		read:     head,
		tail:     tail,
		counted:  head,
		tailWord: word(region, tailAt),
		headWord: word(region, headAt),
		region:   region,
	}
}

func (c *BytesConsumer) newProducer(at uint64) *BytesProducer {
	return &BytesProducer{
		records:  c.records,
		tail:     at,
		head:     at,
		max:      maxRecord(uint64(len(c.records))) + 1,
		tailWord: c.tailWord,
		headWord: c.headWord,
	}
}

// Reserve returns n contiguous bytes of the ring to write a record's payload
// into, starting on a multiple of 8. The bytes hold what was there before. They are
// the caller's until Commit, or until the next Reserve, which abandons the
// reservation; nothing is visible to the consumer before Commit.
//
// It returns nil when n does not fit now, when n is negative or greater than MaxRecord
// and so never fits, and when the producer knows that the ring is closed. "Does not
// fit" is exact at the moment that head was read, and may be outdated when
// Reserve returns. A close by somebody else is not looked for as long as there
// is room: Commit is what finds it, without fail.
func (p *BytesProducer) Reserve(n int) []byte {
	if uint64(n) >= p.max {
		p.granted = 0
		return nil
	}
	records := p.records
	capacity := uint64(len(records))
	need := recordSize(uint64(n))
	at := p.tail
	offset := at & (capacity - 1)
	if rest := capacity - offset; need > rest {
		at += rest
		offset = 0
	}
	if at+need-p.head > capacity && !p.makeRoom(at+need) {
		return nil
	}
	if at != p.tail {
		// Free like the rest of the reservation, and published with it.
		putHeader(records[p.tail&(capacity-1):], padding, 0)
	}
	p.at = at
	p.granted = uint64(n) + 1
	start := offset + headerSize
	end := start + uint64(n)
	return records[start:end:end]
}

// makeRoom is Reserve's way when the ring looks full: look again. It reports
// whether the records up to end fit.
func (p *BytesProducer) makeRoom(end uint64) bool {
	p.granted = 0
	p.head = p.headWord.Load()
	if end-p.head <= uint64(len(p.records)) {
		return true
	}
	if p.Closed() {
		p.max = 0
	}
	return false
}

// Commit publishes the first n bytes of the reservation as one record with
// the given tag, and ends the reservation. The remaining bytes are not used up.
//
// False means that the ring was closed before, by either side. The record was
// not published and never will be seen; the producer is of no more use. True
// means that whoever drains the ring after closing it gets the record.
//
// Commit panics when there is no reservation or n is outside it.
func (p *BytesProducer) Commit(n int, tag uint32) bool {
	if uint64(n) >= p.granted {
		panic("ring: Commit of more bytes than Reserve gave")
	}
	p.granted = 0
	putHeader(p.records[p.at&uint64(len(p.records)-1):], uint32(n), tag)
	next := p.at + recordSize(uint64(n))
	// The release of everything written since Reserve; the load that observes
	// it is in Next (or Pending). See the top of this file.
	if !p.tailWord.CompareAndSwap(p.tail, next) {
		p.max = 0
		return false
	}
	p.tail = next
	return true
}

// MaxRecord is the longest payload that Reserve can give: half the capacity
// less a header. Once the ring is empty, a reservation of MaxRecord bytes succeeds
// whatever the position.
func (p *BytesProducer) MaxRecord() int { return int(maxRecord(uint64(len(p.records)))) }

// Cap is the number of bytes for records, headers and padding included.
func (p *BytesProducer) Cap() int { return len(p.records) }

// Backlog is the number of bytes that were in the ring when head was last
// read, plus those committed since: never too small, often too large. It is
// two loads from the producer's own memory.
func (p *BytesProducer) Backlog() uint64 { return p.tail - p.head }

// Refresh reads head again and returns the backlog in bytes, exact at that moment.
func (p *BytesProducer) Refresh() uint64 {
	p.head = p.headWord.Load()
	return p.tail - p.head
}

// Close refuses all further commits, including that of a reservation handed
// out already. What was committed before is still drained. Close may be
// called by any goroutine and more than once.
func (p *BytesProducer) Close() { p.tailWord.Or(closedBit) }

// Closed reports whether the ring is closed. Any goroutine may call it.
// False may be outdated on return, true never is.
func (p *BytesProducer) Closed() bool { return p.tailWord.Load()&closedBit != 0 }

// Next returns the next record and its tag, oldest first; false when all that is
// published has been returned. The record's bytes lie in the ring. They may
// be read, and even written, until Release.
//
// False is exact at the moment that tail was read. After the ring was seen closed,
// it is final.
func (c *BytesConsumer) Next() (record []byte, tag uint32, ok bool) {
	records := c.records
	capacity := uint64(len(records))
	for {
		if c.read == c.tail {
			// The acquire for all records up to this tail.
			c.tail = c.tailWord.Load() &^ closedBit
			if c.read == c.tail {
				return nil, 0, false
			}
		}
		offset := c.read & (capacity - 1)
		n, tag := header(records[offset:])
		if n == padding {
			c.skip(capacity - offset)
			continue
		}
		c.read += recordSize(uint64(n))
		if c.pending != 0 {
			c.pending--
		} else {
			c.counted = c.read
		}
		start := offset + headerSize
		end := start + uint64(n)
		return records[start:end:end], tag, true
	}
}

// skip moves over padding, which pending does not count.
func (c *BytesConsumer) skip(size uint64) {
	c.read += size
	if c.pending == 0 {
		c.counted = c.read
	}
}

// Release gives the bytes of all records that Next has returned back to the
// producer, with one atomic store. Those records must not be touched any more.
func (c *BytesConsumer) Release() { c.headWord.Store(c.read) }

// Pending is the number of records that are published and not yet returned by
// Next. It looks at the header of each record once, however often it is
// called, and may be outdated on return in one direction only: there may be more.
func (c *BytesConsumer) Pending() int {
	c.tail = c.tailWord.Load() &^ closedBit
	capacity := uint64(len(c.records))
	for c.counted != c.tail {
		offset := c.counted & (capacity - 1)
		n, _ := header(c.records[offset:])
		if n == padding {
			c.counted += capacity - offset
			continue
		}
		c.counted += recordSize(uint64(n))
		c.pending++
	}
	return c.pending
}

// Len is the number of bytes published and not yet returned by Next, headers
// and padding included. There may be more on return, never fewer.
func (c *BytesConsumer) Len() uint64 { return c.tailWord.Load()&^closedBit - c.read }

// Cap is the number of bytes for records, headers and padding included.
func (c *BytesConsumer) Cap() int { return len(c.records) }

// Close refuses all further commits. What was committed before is still
// drained: once Next returns false after Close has returned, everything
// that any Commit accepted has been returned. Close may be called by any goroutine and
// more than once.
func (c *BytesConsumer) Close() { c.tailWord.Or(closedBit) }

// Closed reports whether the ring is closed. Any goroutine may call it.
// False may be outdated on return, true never is.
func (c *BytesConsumer) Closed() bool { return c.tailWord.Load()&closedBit != 0 }

// Done reports whether the ring is closed and Next has returned every record.
func (c *BytesConsumer) Done() bool { return c.tailWord.Load() == c.read|closedBit }

// Region is the memory of the ring, header included: what [OpenBytes] takes.
// A copy is a usable snapshot only if neither side runs meanwhile.
func (c *BytesConsumer) Region() []byte { return c.region }

// Reopen readies a ring that is Done for its next producer, over the same
// region, and returns that producer. It releases what Next has returned. If
// the ring is not Done, it changes nothing and returns nil.
//
// The caller knows that the former producer is no longer in use: its goroutine
// has seen a refusal or closed it, and that is synchronized with this call.
// Should that producer be used again nevertheless, its commits are refused,
// but a reservation it already holds is memory of the next producer.
func (c *BytesConsumer) Reopen() *BytesProducer {
	if !c.Done() {
		return nil
	}
	// The rest of this lap becomes padding. Positions only grow, so the
	// former producer's position never returns and its compare-and-swap can not
	// succeed by mistake; and the region is a valid ring after every step.
	capacity := uint64(len(c.records))
	offset := c.read & (capacity - 1)
	next := c.read + capacity - offset
	c.Release()
	putHeader(c.records[offset:], padding, 0)
	c.tailWord.Store(next)
	c.headWord.Store(next)
	c.read, c.tail, c.counted, c.pending = next, next, next, 0
	return c.newProducer(next)
}
