package otelsdk

import (
	"sync"
	"sync/atomic"

	"github.com/ringtail-otel/ringtail"
)

// room lets OnEnd sleep until the consumer has taken spans from the queue.
//
// No wake-up is lost: a waiter counts itself, and only then tries; the consumer
// gives credits back, and only then looks at the count. Both are sequentially
// consistent atomics, so at least one of the two sees the other.
type room struct {
	waiters atomic.Int32
	mu      sync.Mutex
	freed   chan struct{} // closed, and replaced, by announce
}

// wait calls try until it returns something else than [ringtail.ErrFull], each time
// after room was made or the queue closed.
func (r *room) wait(try func() error) error {
	r.waiters.Add(1)
	defer r.waiters.Add(-1)
	for {
		r.mu.Lock()
		freed := r.freed
		r.mu.Unlock()
		if err := try(); err != ringtail.ErrFull {
			return err
		}
		<-freed
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
