package ringtail

import (
	"context"
	"sync"
	"sync/atomic"
)

// room lets submits sleep until the consumer has freed space.
//
// No wake-up is lost: a waiter counts itself, and only then looks at the ring; the
// consumer releases space in the ring, and only then looks at the count. Both
// are sequentially consistent atomics, so at least one of the two sees the other.
// Who finds nobody waiting, the usual case, pays one load.
type room struct {
	waiters atomic.Int32
	mu      sync.Mutex
	freed   chan struct{} // closed, and replaced, by announce
}

// wait calls try until it returns something else than ErrFull, each time after
// space was freed, or until ctx ends.
func (r *room) wait(ctx context.Context, try func() error) error {
	r.waiters.Add(1)
	defer r.waiters.Add(-1)
	for {
		r.mu.Lock()
		freed := r.freed
		r.mu.Unlock()
		if err := try(); err != ErrFull {
			return err
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// announce wakes all who wait.
func (r *room) announce() {
	if r.waiters.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.freed)
	r.freed = make(chan struct{})
}
