package ring

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// Errors of [MPSC.Register].
var (
	// ErrTooManyProducers: every slot has a producer, or had one whose values
	// the consumer has not drained yet.
	ErrTooManyProducers = errors.New("ring: too many producers")
	// ErrClosed: the channel is closed.
	ErrClosed = errors.New("ring: closed")
)

// Config says how large an [MPSC] may become. The zero value of a field means
// its default.
type Config struct {
	// Capacity is the number of values in each producer's ring, rounded up to
	// a power of two. Default 4096.
	Capacity int
	// MaxProducers is the number of producers at one time. Default 16. The
	// consumer looks at this many slots each time.
	MaxProducers int
	// Metrics turns on the counting that costs something: Stats.Full and
	// Stats.Batches.
	Metrics bool
}

// Stats are counts since the channel was made. They only grow.
type Stats struct {
	Sent     uint64 // values that producers published
	Received uint64 // values that the consumer removed; Sent - Received are in the rings
	Full     uint64 // pushes and reservations refused, because of a full or closed ring; 0 without Config.Metrics
	Batches  uint64 // slices passed to the consumer's function; 0 without Config.Metrics
}

// MPSC is a channel from many producers to one consumer, made of one [NewSPSC]
// ring a producer, so that producers never contend with one another. Values of
// one producer arrive in the order in which it sent them; between producers
// there is no order.
//
// ConsumeUpTo and Done are for one goroutine at a time, the consumer. All
// other methods are for any goroutine.
type MPSC[T any] struct {
	slots   []slot[T]
	config  Config
	next    int           // the consumer's: slot to begin with the next time
	batches atomic.Uint64 // written by the consumer

	mu     sync.Mutex // serializes Register, Close and Stats
	closed atomic.Bool
}

// slot is the place of one producer. Its ring is made when the slot is first used and
// then kept.
//
// While live is set the consumer owns the reading end; while it is not,
// whoever holds mu does. Setting and clearing it hands the reading end over.
type slot[T any] struct {
	live     atomic.Bool
	consumer *Consumer[T]

	skipped uint64        // positions that Reopen passed over; guarded by mu
	full    atomic.Uint64 // written by the producer, only when it finds no room

	_ [line - 4 - 4 - 3*8]byte // a full ring's counter is kept off its neighbour's flag
}

// NewMPSC makes a channel. It panics when a field of the configuration is
// negative or Capacity is above 2^30. A ring is allocated when a producer first
// needs it, and then reused: memory is at most MaxProducers × Capacity values.
func NewMPSC[T any](config Config) *MPSC[T] {
	if config.Capacity == 0 {
		config.Capacity = 4096
	}
	if config.MaxProducers == 0 {
		config.MaxProducers = 16
	}
	if config.Capacity < 0 || config.Capacity > maxSlots {
		panic(fmt.Sprintf("ring: Config.Capacity %d is not between 0 and %d", config.Capacity, maxSlots))
	}
	if config.MaxProducers < 0 || config.MaxProducers > math.MaxInt16 {
		panic(fmt.Sprintf("ring: Config.MaxProducers %d is not between 0 and %d", config.MaxProducers, math.MaxInt16))
	}
	return &MPSC[T]{slots: make([]slot[T], config.MaxProducers), config: config}
}

// Register adds a producer, for one goroutine at a time. Its Close unregisters it:
// what it sent is still drained, and once that is done the next Register may
// reuse its slot and memory. A producer that is dropped without Close keeps its
// slot. A producer must not be used after its Close.
//
// The error is [ErrTooManyProducers] or [ErrClosed].
func (m *MPSC[T]) Register() (*Producer[T], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return nil, ErrClosed
	}
	for i := range m.slots {
		s := &m.slots[i]
		if s.live.Load() {
			continue
		}
		p := s.take(m.config.Capacity)
		if m.config.Metrics {
			p.full = &s.full
		}
		s.live.Store(true)
		return p, nil
	}
	return nil, ErrTooManyProducers
}

// take readies the ring of a slot that is not live.
func (s *slot[T]) take(capacity int) *Producer[T] {
	if s.consumer == nil {
		p, c := NewSPSC[T](capacity)
		s.consumer = c
		return p
	}
	s.skipped += s.consumer.span()
	return s.consumer.Reopen()
}

// ConsumeUpTo takes what is visible in the rings, at most limit values, and
// passes it to f in batches, each of one producer. It returns the number of
// values. Producers are numbered from 0 to MaxProducers-1; a number is reused
// after its producer has closed and everything it sent has been passed on. A
// batch is valid during the call of f; when f panics, its values stay in the
// ring.
//
// When there is more than limit, the rings share it: each is first offered
// an equal part, at least one value, and what is left goes to those that have
// more. Who comes first rotates. So with n producers a ring that is not empty is
// served within ⌈n/limit⌉ polls, however busy the others are, and rings
// that are always full get equal shares in the long run.
func (m *MPSC[T]) ConsumeUpTo(limit int, f func(producer int, batch []T)) int {
	live := 0
	for i := range m.slots {
		if m.slots[i].live.Load() {
			live++
		}
	}
	if live == 0 || limit < 1 {
		return 0
	}
	start := m.next
	total, more := m.poll(start, limit, max(1, limit/live), f)
	if more && total < limit {
		// Every ring that had something was served. Those that get nothing of
		// what is left are first the next time.
		n, _ := m.poll(start, limit-total, limit-total, f)
		total += n
	}
	return total
}

// poll visits each ring once, from slot start on, until limit values are
// passed on, at most share of one ring. More tells whether some ring gave all
// of its share and so may have more.
func (m *MPSC[T]) poll(start, limit, share int, f func(producer int, batch []T)) (total int, more bool) {
	i, served := start, 0
	for range m.slots {
		if total == limit {
			m.next = i // cut short: the rest are first the next time
			break
		}
		s := &m.slots[i]
		live := s.live.Load()
		slot := i
		if i++; i == len(m.slots) {
			i = 0
		}
		if !live {
			continue
		}
		if n := m.drain(slot, min(share, limit-total), f); n > 0 {
			total += n
			more = more || n == share
			if served++; served == 1 {
				m.next = i
			}
		}
		if s.consumer.seenDone() {
			s.live.Store(false)
		}
	}
	return total, more
}

// drain passes on at most limit values of one ring.
func (m *MPSC[T]) drain(producer, limit int, f func(producer int, batch []T)) int {
	batches := uint64(0)
	n := m.slots[producer].consumer.ConsumeUpTo(limit, func(batch []T) {
		batches++
		f(producer, batch)
	})
	if m.config.Metrics {
		m.batches.Store(m.batches.Load() + batches)
	}
	return n
}

// Close refuses further producers and further values from those there are.
// Everything that was taken before is still passed on: consume until Done. Close may be
// called more than once.
func (m *MPSC[T]) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed.Store(true)
	for i := range m.slots {
		if s := &m.slots[i]; s.consumer != nil {
			s.consumer.Close()
		}
	}
}

// Done reports whether the channel is closed and everything ever taken has
// been passed to the consumer. It is for the consumer's goroutine.
func (m *MPSC[T]) Done() bool {
	if !m.closed.Load() {
		return false
	}
	for i := range m.slots {
		if s := &m.slots[i]; s.live.Load() && !s.consumer.Done() {
			return false
		}
	}
	return true
}

// Stats reads the counts. Sent and Received are the rings' own positions and are
// always there; taken while others run, the counts are of slightly different
// moments, but Sent is never below Received.
func (m *MPSC[T]) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	stats := Stats{Batches: m.batches.Load()}
	for i := range m.slots {
		s := &m.slots[i]
		if s.consumer == nil {
			continue
		}
		// Head first, so that it is not read beyond the tail.
		stats.Received += (s.consumer.ends.head.Load() - s.skipped) / step
		stats.Sent += (s.consumer.ends.tail.Load()&^closedBit - s.skipped) / step
		stats.Full += s.full.Load()
	}
	return stats
}
