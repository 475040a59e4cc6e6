package collector

import (
	"context"
	"sync"
	"time"
)

// waiting is the context that a sink gets: its parent, with a limit that starts when
// somebody wants to wait. A sink that never waits pays for no timer.
type waiting struct {
	context.Context
	limit time.Duration

	started sync.Once
	timed   context.Context
	cancel  context.CancelFunc
}

func patience(parent context.Context, limit time.Duration) *waiting {
	return &waiting{Context: parent, limit: limit}
}

func (w *waiting) start() context.Context {
	w.started.Do(func() { w.timed, w.cancel = context.WithTimeout(w.Context, w.limit) })
	return w.timed
}

func (w *waiting) Done() <-chan struct{}       { return w.start().Done() }
func (w *waiting) Err() error                  { return w.start().Err() }
func (w *waiting) Deadline() (time.Time, bool) { return w.start().Deadline() }

// end gives the timer back. The context has ended then, if it ever started.
func (w *waiting) end() {
	w.started.Do(func() { w.timed, w.cancel = w.Context, func() {} })
	w.cancel()
}
