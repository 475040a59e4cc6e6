package ringtail

import (
	"context"
	"runtime"
	"sync"
)

// shared is the way in for goroutines that have no Producer: a handful of
// producers that go from hand to hand. A sync.Pool does the handing out, since
// it keeps what it is given local to the processor: two goroutines on two
// processors use two rings and share nothing. (A table of rings with a lock each
// costs two more atomic operations a span, and contention where two goroutines
// pick the same one; the figures are in docs/design/shared-path.md.)
//
// The pool forgets what it holds when the garbage collector says so. What it
// holds are leases, therefore, and the cleanup of a forgotten lease puts its
// producer on the free list.
type shared struct {
	core *Core
	pool sync.Pool // of *lease
	made int       // producers made so far; guarded by core.register
	max  int

	// free holds the producers whose lease was forgotten. It is not a channel,
	// since those of a testing/synctest bubble are closed to cleanups.
	free struct {
		sync.Mutex
		producers []*Producer
	}

	// overflow takes over when all producers are out: their borrowers were
	// preempted between taking and giving back. It is behind a lock, which is
	// as rare as that.
	overflow struct {
		sync.Mutex
		producer *Producer
	}
}

// lease is the right to use a producer, held by a goroutine or the pool.
type lease struct{ producer *Producer }

func (sh *shared) init(c *Core) {
	sh.core = c
	sh.max = max(2, runtime.GOMAXPROCS(0))
}

// TrySubmit encodes the span into a ring local to the running thread. Any
// goroutine may call it. It answers as [Producer.TrySubmit] does. Spans of one
// goroutine may pass one another on their way to the exporter.
func (c *Core) TrySubmit(s *Span) error {
	p, err := c.shared.offer(s, false)
	if err != nil {
		return c.refuse(p, err)
	}
	return nil
}

// Submit is TrySubmit, but waits while the ring is full; see [Producer.Submit].
func (c *Core) Submit(ctx context.Context, s *Span) error {
	p, err := c.shared.offer(s, false)
	if err == ErrFull {
		err = c.room.wait(ctx, func() (err error) {
			p, err = c.shared.offer(s, true)
			return err
		})
	}
	if err != nil {
		return c.refuse(p, err)
	}
	return nil
}

// refuse counts a refusal with the producer that gave it, if there was one.
func (c *Core) refuse(p *Producer, err error) error {
	if p != nil {
		return p.refuse(err)
	}
	c.late.dropped[refusal(err)].Add(1)
	return err
}

// offer is Producer.offer on a borrowed producer, which it also returns; nil if
// there is none left since the core is closed.
func (sh *shared) offer(s *Span, sampled bool) (*Producer, error) {
	l, _ := sh.pool.Get().(*lease)
	if l == nil {
		if l = sh.lease(); l == nil {
			return sh.offerOverflow(s, sampled)
		}
	}
	p := l.producer
	err := p.offer(s, sampled)
	sh.pool.Put(l)
	return p, err
}

// lease returns a lease of a forgotten producer or of a new one, nil when all
// are in use.
func (sh *shared) lease() *lease {
	p := sh.forgotten()
	if p == nil {
		if p = sh.newProducer(); p == nil {
			return nil
		}
	}
	l := &lease{producer: p}
	runtime.AddCleanup(l, sh.forget, p)
	return l
}

func (sh *shared) forgotten() *Producer {
	sh.free.Lock()
	defer sh.free.Unlock()
	n := len(sh.free.producers)
	if n == 0 {
		return nil
	}
	p := sh.free.producers[n-1]
	sh.free.producers = sh.free.producers[:n-1]
	return p
}

// forget is the cleanup of a lease. Each producer has one lease at most.
func (sh *shared) forget(p *Producer) {
	sh.free.Lock()
	defer sh.free.Unlock()
	sh.free.producers = append(sh.free.producers, p)
}

func (sh *shared) newProducer() *Producer {
	c := sh.core
	c.register.Lock()
	defer c.register.Unlock()
	if c.closed || sh.made >= sh.max {
		return nil
	}
	sh.made++
	return c.addLane(false)
}

func (sh *shared) offerOverflow(s *Span, sampled bool) (*Producer, error) {
	// The sampler is the user's, and may submit spans of its own: not under the lock.
	if c := sh.core; c.sampler != nil && !sampled && valid(s) {
		if !c.sampler.Sample(s) {
			c.late.dropped[ReasonSampled].Add(1)
			return nil, nil
		}
		sampled = true
	}
	sh.overflow.Lock()
	defer sh.overflow.Unlock()
	if sh.overflow.producer == nil {
		c := sh.core
		c.register.Lock()
		if !c.closed {
			sh.overflow.producer = c.addLane(false)
		}
		c.register.Unlock()
		if sh.overflow.producer == nil {
			return nil, ErrClosed
		}
	}
	return sh.overflow.producer, sh.overflow.producer.offer(s, sampled)
}
