package collector

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A sweeper ends gRPC requests whose bodies take too long to come: gRPC itself waits for
// as long as the client likes. One clock for all of them costs each of them two list
// operations, where a context with a timer costs five allocations and the timer.
type sweeper struct {
	every time.Duration
	limit uint64 // ticks

	mu    sync.Mutex
	tick  uint64
	first *watched // in the order of their starts; they all have the same time
	last  *watched

	stop func()
	done chan struct{}
}

// watched is a request under way. It is in the sweeper's list while its stream is not nil.
type watched struct {
	stream     transportStream
	start      uint64 // tick
	late       bool
	next, prev *watched
}

// newSweeper starts a sweeper that ends what takes longer than limit: up to an eighth
// or, from eight seconds on, a second longer.
func newSweeper(limit time.Duration) *sweeper {
	s := &sweeper{every: min(limit/8, time.Second), limit: 0, done: make(chan struct{})}
	s.limit = uint64((limit + s.every - 1) / s.every)
	stop := make(chan struct{})
	s.stop = sync.OnceFunc(func() { close(stop); <-s.done })
	go s.run(stop)
	return s
}

func (s *sweeper) run(stop <-chan struct{}) {
	defer close(s.done)
	clock := time.NewTicker(s.every)
	defer clock.Stop()
	for {
		select {
		case <-clock.C:
			s.sweep()
		case <-stop:
			return
		}
	}
}

var errLate = status.New(codes.DeadlineExceeded, "the request did not come within --body-timeout")

func (s *sweeper) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick++
	for w := s.first; w != nil && s.tick-w.start > s.limit; w = s.first {
		s.unlink(w)
		w.late = true
		// Under the lock, so that nobody is told so who has sent everything by now. It
		// queues a frame, and does not wait for the network.
		w.stream.WriteStatus(errLate)
		w.stream = nil
	}
}

// watch starts the time of a request.
func (s *sweeper) watch(w *watched, stream transportStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*w = watched{stream: stream, start: s.tick, prev: s.last}
	if s.last == nil {
		s.first = w
	} else {
		s.last.next = w
	}
	s.last = w
}

// came ends the watch, and says whether the request was too late.
func (s *sweeper) came(w *watched) (late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.stream != nil {
		s.unlink(w)
		w.stream = nil
	}
	return w.late
}

func (s *sweeper) unlink(w *watched) {
	if w.prev == nil {
		s.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		s.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
}
