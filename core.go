package ringtail

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ringtail-otel/ringtail/ring"
)

// Core is the synchronous half of a collector: rings that take spans, and one
// consumer that moves them into batches. It has no goroutine and no clock, so
// that it does exactly what it is told, when it is told. A [Collector] drives
// one; programs that have a loop of their own may do it by hand:
//
//	core, err := ringtail.NewCore()
//	p, err := core.Register()
//	b := core.NewBuilder()
//	for running {
//		p.TrySubmit(&span)
//		core.ConsumeUpTo(1000, b)
//		if b.Full() {
//			err := exporter.Export(ctx, b.Batch())
//			b.Reset()
//		}
//	}
//
// All methods may be called from any goroutine.
type Core struct {
	cfg     config
	sampler Sampler
	scopes  *scopes
	wake    func() // called by a submit when its ring passes the watermark; may be nil

	// consume is the consumer's side of all rings: whoever holds it is the one
	// consumer. It guards next, consumed, and each lane's consumer.
	consume  sync.Mutex
	next     int // lane to go on with at the next poll, for fairness
	consumed uint64
	retired  counts // of producers that are gone
	late     counts // what was offered to producers after their Close

	// lanes holds every ring. The slice is replaced, never changed, when a lane
	// is added, so that the consumer reads it without a lock.
	register sync.Mutex // guards adding and removing of lanes, and closed
	lanes    atomic.Pointer[[]*lane]
	spare    []*ring.BytesConsumer // drained rings, for the next to register
	closed   bool
	named    int // lanes that came by Register

	shared shared
	room   room
}

// lane is one ring as the consumer sees it.
type lane struct {
	producer *Producer
	consumer *ring.BytesConsumer
	consumed uint64
	named    bool // came by Register, and counts towards the maximum
}

// Sampler decides at the head, in front of a submit: a span for which Sample
// returns false is not encoded, and counted as [ReasonSampled]. It is called by
// every submitting goroutine at once. Package sample has the usual ones.
type Sampler interface {
	Sample(*Span) bool
}

// NewCore makes a core. Options that concern time or exports are of no effect.
func NewCore(opts ...Option) (*Core, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return newCore(cfg), nil
}

func newCore(cfg config) *Core {
	c := &Core{
		cfg:     cfg,
		sampler: cfg.sampler,
		scopes:  newScopes(cfg.resource),
	}
	c.lanes.Store(new([]*lane))
	c.room.freed = make(chan struct{})
	c.shared.init(c)
	return c
}

// Register returns a new producer with a ring of its own. The errors are
// [ErrTooManyProducers] and [ErrClosed]. A closed producer counts towards the
// maximum until its ring has been drained.
func (c *Core) Register() (*Producer, error) {
	c.register.Lock()
	defer c.register.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	// A closed producer keeps its place until its ring is drained.
	if c.sweep(); c.named >= c.cfg.maxProducers {
		return nil, fmt.Errorf("%w: %d are registered, which is the maximum; Close one, or raise WithMaxProducers",
			ErrTooManyProducers, c.cfg.maxProducers)
	}
	c.named++
	return c.addLane(true), nil
}

// addLane makes a ring, or takes a spare one. register is held.
func (c *Core) addLane(named bool) *Producer {
	var rp *ring.BytesProducer
	var rc *ring.BytesConsumer
	if n := len(c.spare); n > 0 {
		rc, c.spare = c.spare[n-1], c.spare[:n-1]
		rp = rc.Reopen()
	} else {
		rp, rc = ring.NewBytes(c.cfg.ringBytes())
	}
	p := &Producer{core: c, ring: rp, room: leastRoom, known: make(map[*Scope]uint32), watermark: uint64(rp.Cap() / 2)}
	p.pressureAt = p.watermark
	old := *c.lanes.Load()
	lanes := append(old[:len(old):len(old)], &lane{producer: p, consumer: rc, named: named})
	c.lanes.Store(&lanes)
	return p
}

// sweep removes the lanes that are closed and drained. register is held.
func (c *Core) sweep() {
	c.consume.Lock()
	defer c.consume.Unlock()
	old := *c.lanes.Load()
	kept := make([]*lane, 0, len(old))
	for _, l := range old {
		if !l.consumer.Done() {
			kept = append(kept, l)
			continue
		}
		c.retired.take(&l.producer.counts)
		if l.named {
			c.named--
		}
		c.spare = append(c.spare, l.consumer)
	}
	c.lanes.Store(&kept)
}

// ConsumeUpTo moves up to limit spans from the rings into b, and returns how
// many. It stops early when b is full. All rings are polled in turn, each poll going
// on where the last one stopped, and none getting more than its share of limit
// before the others were asked. The order within a ring is kept.
func (c *Core) ConsumeUpTo(limit int, b *Builder) int {
	moved, _ := c.consumeUpTo(limit, b)
	return moved
}

// consumeUpTo also says how full the fullest ring was, in bytes.
func (c *Core) consumeUpTo(limit int, b *Builder) (moved int, fullest uint64) {
	c.consume.Lock()
	defer c.consume.Unlock()
	lanes := *c.lanes.Load()
	if len(lanes) == 0 || limit <= 0 {
		return 0, 0
	}
	c.next %= len(lanes)
	share := max(limit/len(lanes), 1)
	for more := true; more && moved < limit && !b.Full(); {
		more = false
		for i := 0; i < len(lanes) && moved < limit && !b.Full(); i++ {
			l := lanes[c.next%len(lanes)]
			c.next++
			fullest = max(fullest, l.consumer.Len())
			n := l.drain(min(share, limit-moved), b)
			moved += n
			more = more || n == share
		}
	}
	c.consumed += uint64(moved)
	if moved > 0 {
		c.room.announce()
	}
	return moved, fullest
}

// drain moves up to limit spans into b. They leave the ring by one store.
func (l *lane) drain(limit int, b *Builder) int {
	n := 0
	for n < limit && !b.Full() {
		body, scope, ok := l.consumer.Next()
		if !ok {
			break
		}
		b.appendSpan(scope, body)
		n++
	}
	if n > 0 {
		l.consumer.Release()
		l.consumed += uint64(n)
	}
	return n
}

// NewBuilder returns an empty builder for batches of this core's spans.
func (c *Core) NewBuilder() *Builder {
	return &Builder{
		scopes:   c.scopes,
		maxSpans: c.cfg.batchSpans,
		maxBytes: c.cfg.batchBytes,
	}
}

// Close refuses all further spans and producers. A submit that has returned nil
// before or during Close is in its ring, for ConsumeUpTo to find; one that has
// not, returns [ErrClosed]. There is nothing in between: see package ring.
func (c *Core) Close() {
	c.register.Lock()
	defer c.register.Unlock()
	c.closed = true
	for _, l := range *c.lanes.Load() {
		l.consumer.Close()
	}
	c.room.announce()
}

// discard empties the rings and returns how many spans they held.
func (c *Core) discard() int {
	c.consume.Lock()
	defer c.consume.Unlock()
	n := 0
	for _, l := range *c.lanes.Load() {
		for _, _, ok := l.consumer.Next(); ok; _, _, ok = l.consumer.Next() {
			n++
			l.consumed++
		}
		l.consumer.Release()
	}
	c.consumed += uint64(n)
	return n
}

// Pending returns the number of spans that the rings hold.
func (c *Core) Pending() int {
	c.consume.Lock()
	defer c.consume.Unlock()
	n := 0
	for _, l := range *c.lanes.Load() {
		n += l.consumer.Pending()
	}
	return n
}

// Stats returns the core's part of the ledger. What it has handed to builders
// counts as in flight.
func (c *Core) Stats() Stats {
	c.register.Lock()
	defer c.register.Unlock()
	c.consume.Lock()
	defer c.consume.Unlock()
	s := Stats{InFlight: c.consumed}
	c.retired.addTo(&s)
	for _, l := range *c.lanes.Load() {
		l.producer.counts.addTo(&s)
		s.InFlight += uint64(l.consumer.Pending())
		s.RingBytes += l.consumer.Cap()
		if l.named && !l.consumer.Closed() {
			s.Producers++
		}
	}
	c.late.addTo(&s)
	for _, r := range c.spare {
		s.RingBytes += r.Cap()
	}
	s.Submitted = s.InFlight + s.Dropped.Total()
	return s
}

// refused returns what submits have dropped. Other than Stats it does not look at the rings.
func (c *Core) refused() Drops {
	c.register.Lock()
	defer c.register.Unlock()
	var s Stats
	c.retired.addTo(&s)
	for _, l := range *c.lanes.Load() {
		l.producer.counts.addTo(&s)
	}
	c.late.addTo(&s)
	return s.Dropped
}

func (n *counts) addTo(s *Stats) {
	s.Mended += n.mended.Load()
	for i := range n.dropped {
		s.Dropped[i] += n.dropped[i].Load()
	}
}

// take adds the counts of a closed producer, which do not change any more.
func (n *counts) take(o *counts) {
	n.mended.Add(o.mended.Load())
	for i := range o.dropped {
		n.dropped[i].Add(o.dropped[i].Load())
	}
}

// mark remembers what every ring holds, for passed to tell when it has been consumed.
func (c *Core) mark() map[*lane]uint64 {
	c.consume.Lock()
	defer c.consume.Unlock()
	m := make(map[*lane]uint64)
	for _, l := range *c.lanes.Load() {
		if n := l.consumer.Pending(); n > 0 {
			m[l] = l.consumed + uint64(n)
		}
	}
	return m
}

// passed removes from m the rings that are consumed up to the mark, and reports
// whether none is left.
func (c *Core) passed(m map[*lane]uint64) bool {
	c.consume.Lock()
	defer c.consume.Unlock()
	for l, target := range m {
		if l.consumed >= target {
			delete(m, l)
		}
	}
	return len(m) == 0
}
