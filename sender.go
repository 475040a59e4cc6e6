package ringtail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// sender is a collector's outgoing half: closed batches wait here, in order, for
// one of a bounded number of concurrent exports, and the ledger learns how each
// one ended.
type sender struct {
	cfg        *config
	exporter   Exporter
	newBuilder func() *Builder
	settled    func()   // called without the lock when an export has ended
	metrics    *metrics // may be nil
	trouble    [numReasons]throttle.Log

	// spare holds builders that have been used. A pool and not a list, so that what
	// a burst needed is kept while it lasts, and the garbage collector has it back later.
	spare sync.Pool

	ctx    context.Context // of all exports; ends when they are abandoned
	cancel context.CancelFunc
	wg     sync.WaitGroup // of the export goroutines

	mu          sync.Mutex
	queue       []*Builder
	queuedBytes int
	exporting   int
	usual       int                 // bytes of the last batch that was pushed
	number      uint64              // of the last batch that was pushed
	outstanding map[uint64]*Builder // pushed and not settled
	progress    chan struct{}       // closed, and replaced, when a batch is settled
	pace        pacer
	out         outcome
}

// outcome is the sender's part of the ledger.
type outcome struct {
	handed   uint64 // spans given to the exporter
	exported uint64 // of those: delivered
	lost     Drops  // of those: not delivered
	unsent   uint64 // given up at shutdown, before the exporter had them
	batches  uint64
}

// dropped returns how many spans were dropped, by reason.
func (o *outcome) dropped() Drops {
	d := o.lost
	d[ReasonShutdown] += o.unsent
	return d
}

func newSender(cfg *config, exporter Exporter, newBuilder func() *Builder, settled func()) *sender {
	s := &sender{
		cfg: cfg, exporter: exporter, newBuilder: newBuilder, settled: settled,
		outstanding: make(map[uint64]*Builder),
		progress:    make(chan struct{}),
		pace:        newPacer(cfg),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// builder returns an empty builder, one that has been used if there is any.
func (s *sender) builder() *Builder {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := s.spare.Get().(*Builder)
	if b == nil {
		b = s.newBuilder()
		b.expected = s.usual
	}
	b.maxSpans = s.pace.batchSpans
	return b
}

// hasRoom reports whether another batch may be queued.
func (s *sender) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queuedBytes < s.cfg.queueBytes
}

// hasFree reports whether a batch pushed now would be exported at once. If not, a
// batch that is not full yet may as well go on growing.
func (s *sender) hasFree() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exporting < s.pace.exports
}

// push queues a batch that is not empty and returns its number.
func (s *sender) push(b *Builder) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	b.number = s.number
	s.outstanding[b.number] = b
	s.queue = append(s.queue, b)
	s.queuedBytes += b.memory()
	s.usual = b.bytes
	if s.exporting < s.pace.exports {
		s.exporting++
		s.wg.Go(s.run)
	}
	return s.number
}

// run exports queued batches until there are none, or fewer exports are wanted.
func (s *sender) run() {
	for b := s.pop(); b != nil; b = s.pop() {
		s.deliver(b)
	}
}

// deliver exports a batch and settles it, even if the exporter ends the goroutine
// (runtime.Goexit, as a test's FailNow does): then another one takes its place.
func (s *sender) deliver(b *Builder) {
	batch := b.Batch()
	started := time.Now()
	ctx, operation := s.metrics.exportBegins(s.ctx)
	var lost Drops
	err, returned := errGoexit, false
	defer func() {
		if !returned {
			lost[ReasonPanic] = uint64(batch.Len())
			s.wg.Go(s.run)
		}
		took := time.Since(started)
		s.metrics.exportEnded(took, lost, err, operation) // before a Flush can see that it has ended
		s.settle(b, batch.Len(), lost, took)
		s.settled()
		s.complain(batch.Len(), lost, err)
	}()
	lost, err = s.export(ctx, batch)
	returned = true
}

var errGoexit = errors.New("the exporter ended its goroutine")

func (s *sender) pop() *Builder {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.exporting > s.pace.exports {
		s.exporting--
		return nil
	}
	b := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.queuedBytes -= b.memory()
	s.out.handed += uint64(b.Len())
	return b
}

// export calls the exporter within the time allowed, and asks its error what was
// lost. It turns a panic of either into an error.
func (s *sender) export(ctx context.Context, b *Batch) (lost Drops, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.exportTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			b.Keep() // what it has started may go on
			err = &ExportError{Spans: b.Len(), Reason: ReasonPanic, Err: fmt.Errorf("exporter panicked: %v\n%s", p, debug.Stack())}
			lost = Losses(err, b.Len())
		}
	}()
	err = s.exporter.Export(ctx, b)
	return Losses(err, b.Len()), err
}

// complain logs an export's error, each kind at most once a period.
func (s *sender) complain(spans int, lost Drops, err error) {
	if err == nil {
		return
	}
	reason := mainReason(lost)
	s.trouble[reason].Warn(s.cfg.logger, "cannot export spans", slog.Int("spans", spans),
		slog.String("reason", reason.String()), slog.Any("error", err))
}

// mainReason returns the reason for which most spans were lost; ReasonExport when
// none were.
func mainReason(lost Drops) Reason {
	main := ReasonExport
	for r, n := range lost {
		if n > lost[main] {
			main = Reason(r)
		}
	}
	return main
}

// settle enters an export's end into the ledger, unless it was given up before.
func (s *sender) settle(b *Builder, spans int, lost Drops, took time.Duration) {
	s.mu.Lock()
	if _, open := s.outstanding[b.number]; open {
		s.out.lost.add(&lost)
		s.out.exported += uint64(spans) - lost.Total()
		s.close(b)
	}
	s.pace.observe(spans, took, len(s.queue) > 0)
	for n := min(len(s.queue), s.pace.exports-s.exporting); n > 0; n-- {
		s.exporting++
		s.wg.Go(s.run)
	}
	s.mu.Unlock()
	b.Reset()
	s.spare.Put(b)
}

// close takes a batch off the outstanding ones. The lock is held.
func (s *sender) close(b *Builder) {
	delete(s.outstanding, b.number)
	s.out.batches++
	close(s.progress)
	s.progress = make(chan struct{})
}

// await returns when the batches up to a number are settled, or ctx ends.
func (s *sender) await(ctx context.Context, number uint64) error {
	for {
		s.mu.Lock()
		open := false
		for n := range s.outstanding {
			open = open || n <= number
		}
		progress := s.progress
		s.mu.Unlock()
		if !open {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// abandon gives up all that is outstanding, and more spans that never became a
// batch, and ends the exports under way: what they still answer is not counted any
// more.
func (s *sender) abandon(more int) {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	unsent := more
	for _, b := range s.queue {
		unsent += b.Len()
		s.close(b)
	}
	s.out.unsent += uint64(unsent)
	for _, b := range s.outstanding {
		s.out.lost[ReasonShutdown] += uint64(b.Len())
		s.close(b)
	}
	s.queue, s.queuedBytes = nil, 0
}

// lastNumber returns the number of the last batch that was pushed.
func (s *sender) lastNumber() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// lost returns how many spans are lost, for any reason.
func (s *sender) lost() uint64 {
	out := s.outcome()
	return out.dropped().Total()
}

func (s *sender) outcome() outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out
}

// addTo adds the sender's part of the ledger.
func (s *sender) addTo(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped := s.out.dropped()
	st.Exported = s.out.exported
	st.Dropped.add(&dropped)
	st.Batches = s.out.batches
	st.QueuedBatches = len(s.queue)
	st.QueuedBytes = s.queuedBytes
	st.Exporting = s.exporting
}
