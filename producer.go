package ringtail

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/ring"
)

// What a submit can answer. The refused span stays its owner's, unchanged, and
// is counted under the [Reason] named here.
var (
	ErrFull             = errors.New("ringtail: ring is full")                                             // ReasonFull
	ErrClosed           = errors.New("ringtail: closed")                                                   // ReasonClosed
	ErrInvalidSpan      = errors.New("ringtail: span has no trace id or no span id")                       // ReasonInvalid
	ErrTooLarge         = errors.New("ringtail: encoded span is larger than half a ring")                  // ReasonTooLarge
	ErrTooManyScopes    = fmt.Errorf("ringtail: more than %d different instrumentation scopes", maxScopes) // ReasonScopeLimit
	ErrTooManyProducers = errors.New("ringtail: too many producers")
)

// A Producer submits spans through a ring of its own. It belongs to one
// goroutine at a time, with all of its methods. Its spans reach the exporter in
// the order of their submission.
type Producer struct {
	core   *Core
	ring   *ring.BytesProducer
	closed bool // by Close: the ring may have another owner since

	// room is how much ring to reserve for a span: what the largest one so far took,
	// within reason. See offer.
	room int

	// The scope of the last span, and those before it. The map is this
	// producer's alone, so that looking up costs no lock.
	scope       *Scope
	scopeNumber uint32
	known       map[*Scope]uint32

	// The consumer is called when the backlog passes watermark; see pressure.
	watermark  uint64
	pressureAt uint64

	counts counts
	_      [64]byte // the next producer's fields are on a line of their own
}

// counts are the ledger's entries that arise at the submit, one set a producer,
// so that counting is as free of contention as the rings. They are written by
// the one who submits, and read by Stats.
type counts struct {
	mended  atomic.Uint64
	dropped [ReasonCanceled + 1]atomic.Uint64
}

// A producer's first reservation is leastRoom, and none is more than a part in
// mostRoom of its ring, so that the ring does not look full while much of it is free.
const (
	leastRoom = 512
	mostRoom  = 16
)

// maxKnownScopes bounds the scopes that a producer remembers by address.
const maxKnownScopes = 256

// TrySubmit encodes the span into the producer's ring. It never blocks, and does
// not allocate unless an attribute is an array or a map, or something needs
// mending. A nil error means that the span is on its way, or that the head sampler
// decided against it. The errors are [ErrFull], [ErrClosed], [ErrInvalidSpan],
// [ErrTooLarge] and [ErrTooManyScopes].
func (p *Producer) TrySubmit(s *Span) error {
	if err := p.offer(s, false); err != nil {
		return p.refuse(err)
	}
	return nil
}

// Submit is TrySubmit, but while the ring is full it waits, asleep, until there is
// room or ctx ends; then it returns the context's error, and the span counts as
// [ReasonCanceled]. A context that has ended already is noticed only when there is
// something to wait for. A collector that closes ends the wait with [ErrClosed].
func (p *Producer) Submit(ctx context.Context, s *Span) error {
	err := p.offer(s, false)
	if err == ErrFull {
		err = p.core.room.wait(ctx, func() error { return p.offer(s, true) })
	}
	if err != nil {
		return p.refuse(err)
	}
	return nil
}

// offer is TrySubmit but for the count of a refusal, which Submit makes only
// once it gives up. sampled says that the sampler has been asked before.
func (p *Producer) offer(s *Span, sampled bool) error {
	if p.closed {
		return ErrClosed
	}
	if !valid(s) {
		return ErrInvalidSpan
	}
	if p.core.sampler != nil && !sampled && !p.core.sampler.Sample(s) {
		p.counts.dropped[ReasonSampled].Add(1)
		return nil
	}
	if s.Scope != p.scope && !p.setScope(s.Scope) {
		return ErrTooManyScopes
	}
	// How long the span will be is not worked out, which would be another look at
	// each attribute (6 of 70 ns for five): what is reserved and not used costs nothing.
	// The encoder appends, so that a span which needs more moves out of the
	// reservation by itself.
	space := p.ring.Reserve(p.room)
	if space == nil {
		return p.noRoom()
	}
	body, mended := appendSpan(space[:0], s)
	if &body[0] != &space[0] {
		p.room = max(p.room, min(len(body)+len(body)/4, p.ring.Cap()/mostRoom))
		return p.offerBody(body, mended)
	}
	return p.commit(len(body), mended)
}

// valid reports whether there is a span, and it has its ids.
func valid(s *Span) bool {
	return s != nil && s.TraceID != (trace.TraceID{}) && s.SpanID != (trace.SpanID{})
}

func (p *Producer) commit(n int, mended bool) error {
	if !p.ring.Commit(n, p.scopeNumber) {
		return ErrClosed
	}
	if mended {
		p.counts.mended.Add(1)
	}
	if p.ring.Backlog() >= p.pressureAt {
		p.pressure()
	}
	return nil
}

// offerBody copies an encoded span into the ring.
func (p *Producer) offerBody(body []byte, mended bool) error {
	space := p.ring.Reserve(len(body))
	if space == nil {
		if len(body) > p.ring.MaxRecord() {
			return ErrTooLarge
		}
		return p.noRoom()
	}
	copy(space, body)
	return p.commit(len(body), mended)
}

func (p *Producer) noRoom() error {
	if p.ring.Closed() {
		return ErrClosed
	}
	p.pressure()
	return ErrFull
}

// refuse counts a span under its error's reason.
func (p *Producer) refuse(err error) error {
	if p.closed {
		p.core.late.dropped[refusal(err)].Add(1)
	} else {
		p.counts.dropped[refusal(err)].Add(1)
	}
	return err
}

func refusal(err error) Reason {
	switch err {
	case ErrFull:
		return ReasonFull
	case ErrClosed:
		return ReasonClosed
	case ErrInvalidSpan:
		return ReasonInvalid
	case ErrTooLarge:
		return ReasonTooLarge
	case ErrTooManyScopes:
		return ReasonScopeLimit
	}
	return ReasonCanceled
}

func (p *Producer) setScope(s *Scope) bool {
	n, known := uint32(0), s == nil
	if !known {
		n, known = p.known[s]
	}
	if !known {
		var ok bool
		if n, ok = p.core.scopes.intern(s); !ok {
			return false
		}
		if len(p.known) >= maxKnownScopes {
			clear(p.known)
		}
		p.known[s] = n
	}
	p.scope, p.scopeNumber = s, n
	return true
}

// pressure calls the consumer early when the ring is fuller than the watermark.
// The producer's idea of the backlog is never too small, but mostly out of date:
// so first it looks again, and then sets the point from which to ask next, an
// eighth of a ring further on, to keep this off the common path.
func (p *Producer) pressure() {
	backlog := p.ring.Refresh()
	if backlog < p.watermark {
		p.pressureAt = p.watermark
		return
	}
	p.pressureAt = backlog + uint64(p.ring.Cap()/8)
	if p.core.wake != nil {
		p.core.wake()
	}
}

// Close unregisters the producer. What it has submitted is still exported; its
// ring is used again by a later Register. Submitting afterwards returns
// [ErrClosed]. Closing twice does nothing.
func (p *Producer) Close() error {
	if !p.closed {
		p.closed = true
		p.ring.Close() // the last touch: from here on the ring may be given away
	}
	return nil
}
