package ringtail

import (
	"sync"
	"time"
)

// intake is the way in for requests that are encoded already. They are large and
// few, so that a lock and a copy serve where spans have rings: what is taken is
// laid behind what came before, in a builder that goes the way of all batches.
type intake struct {
	mu       sync.Mutex
	builder  *Builder // nil until the first request
	closed   bool
	accepted uint64 // spans
	dropped  Drops
}

func (in *intake) take(to *sender, request []byte, spans int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		in.dropped[ReasonClosed] += uint64(spans)
		return ErrClosed
	}
	if in.builder == nil {
		in.builder = to.builder()
	}
	if in.builder.Full() {
		if !to.hasRoom() {
			in.dropped[ReasonFull] += uint64(spans)
			return ErrFull
		}
		in.pushLocked(to)
	}
	if in.builder.Len() == 0 {
		in.builder.opened = time.Now()
	}
	in.builder.appendRequest(request, spans)
	in.accepted += uint64(spans)
	if in.builder.Full() && to.hasRoom() {
		in.pushLocked(to)
	}
	return nil
}

// push queues what there is.
func (in *intake) push(to *sender) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.pushLocked(to)
}

func (in *intake) pushLocked(to *sender) {
	if in.builder != nil && in.builder.Len() > 0 {
		to.push(in.builder)
		in.builder = to.builder()
	}
}

// age queues what there is if it is older than that, and an export is free.
func (in *intake) age(to *sender, than time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.builder == nil || in.builder.Len() == 0 {
		return
	}
	if in.builder.Full() && to.hasRoom() || in.builder.opened.Before(than) && to.hasFree() {
		in.pushLocked(to)
	}
}

// refuse ends the taking of requests.
func (in *intake) refuse() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
}

// discard gives up what was not queued, and returns how many spans that is.
func (in *intake) discard() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.builder == nil {
		return 0
	}
	n := in.builder.Len()
	in.builder.Reset()
	return n
}

// refused adds what was refused.
func (in *intake) refused(d *Drops) {
	in.mu.Lock()
	defer in.mu.Unlock()
	d.add(&in.dropped)
}

// addTo adds the intake's part of the ledger; what it accepted counts as in flight.
func (in *intake) addTo(s *Stats) {
	in.mu.Lock()
	defer in.mu.Unlock()
	s.InFlight += in.accepted
	s.Submitted += in.accepted + in.dropped.Total()
	s.Dropped.add(&in.dropped)
}
