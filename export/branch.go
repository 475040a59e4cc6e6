package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// branch is one exporter of a fan-out, with all that makes it independent of the
// others: its queue, its goroutines, its ledger. The goroutines are started for
// work and end without it.
type branch struct {
	cfg    Branch
	full   throttle.Log // of the log
	failed throttle.Log

	ctx    context.Context // of all exports; ends when they are given up
	cancel context.CancelFunc
	wg     sync.WaitGroup // of the goroutines that export

	mu          sync.Mutex
	queue       []*delivery
	outstanding map[*delivery]struct{} // queued or being exported, and not given up
	bytes       int                    // of these, and of exports given up that have not returned
	exporting   int

	received, exported uint64
	dropped            ringtail.Drops
	batches            uint64
}

// delivery is a batch on its way through one branch.
type delivery struct {
	batch *ringtail.Batch // shared with the other branches
	done  chan struct{}   // closed when it is settled
}

func newBranch(cfg Branch) *branch {
	cfg.QueueBytes = cmp.Or(cfg.QueueBytes, 64<<20)
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 1)
	cfg.Timeout = cmp.Or(cfg.Timeout, 90*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	b := &branch{cfg: cfg, outstanding: make(map[*delivery]struct{})}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// offer queues the batch, unless the queue is full. It never waits.
func (b *branch) offer(batch *ringtail.Batch) bool {
	size := len(batch.Bytes())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.received += uint64(batch.Len())
	if b.bytes > 0 && size > b.cfg.QueueBytes-b.bytes {
		b.dropped[ringtail.ReasonFull] += uint64(batch.Len())
		return false
	}
	d := &delivery{batch: batch, done: make(chan struct{})}
	b.bytes += size
	b.outstanding[d] = struct{}{}
	b.queue = append(b.queue, d)
	if b.exporting < b.cfg.Concurrency {
		b.exporting++
		b.wg.Go(b.run)
	}
	return true
}

func (b *branch) reportFull(batch *ringtail.Batch) {
	b.full.Warn(b.cfg.Logger, "queue is full, spans are dropped", slog.String("branch", b.cfg.Name),
		slog.Int("spans", batch.Len()), slog.Int("queue_bytes", b.cfg.QueueBytes))
}

// run exports queued batches until there are none.
func (b *branch) run() {
	for d := b.next(); d != nil; d = b.next() {
		b.deliver(d)
	}
}

// deliver exports a batch and settles it, even if the exporter ends the goroutine
// (runtime.Goexit, as a test's FailNow does): then another one takes its place.
func (b *branch) deliver(d *delivery) {
	var losses ringtail.Drops
	err, returned := errGoexit, false
	defer func() {
		if !returned {
			losses[ringtail.ReasonPanic] = uint64(d.batch.Len())
			b.wg.Go(b.run)
		}
		b.settle(d, losses, err)
	}()
	losses, err = b.export(d.batch)
	returned = true
}

var errGoexit = errors.New("exporter ended its goroutine")

func (b *branch) next() *delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.exporting--
		return nil
	}
	d := b.queue[0]
	b.queue[0] = nil
	b.queue = b.queue[1:]
	return d
}

// export calls the exporter within the time allowed, and asks its error what was
// lost. It turns a panic of either into an error.
func (b *branch) export(batch *ringtail.Batch) (losses ringtail.Drops, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.cfg.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = lost(batch, ringtail.ReasonPanic, fmt.Errorf("exporter panicked: %v\n%s", p, debug.Stack()))
			losses = ringtail.Losses(err, batch.Len())
		}
	}()
	err = b.cfg.Exporter.Export(ctx, batch)
	return ringtail.Losses(err, batch.Len()), err
}

// settle enters an export's end into the ledger, unless it was given up before.
func (b *branch) settle(d *delivery, losses ringtail.Drops, err error) {
	b.mu.Lock()
	b.bytes -= len(d.batch.Bytes())
	if _, open := b.outstanding[d]; open {
		for r, n := range losses.All() {
			b.dropped[r] += n
		}
		b.exported += uint64(d.batch.Len()) - losses.Total()
		b.close(d)
	}
	b.mu.Unlock()
	if err != nil {
		b.failed.Warn(b.cfg.Logger, "cannot export spans", slog.String("branch", b.cfg.Name),
			slog.Int("spans", d.batch.Len()), slog.Any("error", err))
	}
}

// close takes a delivery off the outstanding ones. The lock is held.
func (b *branch) close(d *delivery) {
	delete(b.outstanding, d)
	b.batches++
	close(d.done)
}

// await returns when all that is outstanding now is settled, or ctx ends.
func (b *branch) await(ctx context.Context) error {
	b.mu.Lock()
	deliveries := make([]*delivery, 0, len(b.outstanding))
	for d := range b.outstanding {
		deliveries = append(deliveries, d)
	}
	b.mu.Unlock()
	for _, d := range deliveries {
		select {
		case <-d.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b *branch) flush(ctx context.Context) error {
	if err := b.await(ctx); err != nil {
		return err
	}
	return within(ctx, func() error { return flush(ctx, b.cfg.Exporter) })
}

// shutdown is called once, after the last offer.
func (b *branch) shutdown(ctx context.Context) error {
	before := b.lost()
	_ = b.await(ctx)
	b.abandon()
	var errs []error
	if n := b.lost() - before; n > 0 {
		errs = append(errs, fmt.Errorf("%d spans were not delivered: %w", n, cmp.Or(ctx.Err(), errExports)))
	}
	if err := within(ctx, func() error { return b.cfg.Exporter.Shutdown(ctx) }); err != nil {
		errs = append(errs, fmt.Errorf("cannot shut down: %w", err))
	}
	_ = within(ctx, func() error { b.wg.Wait(); return nil })
	return errors.Join(errs...)
}

// errExports is the reason of a loss at shutdown that the context is not to blame for.
var errExports = errors.New("exports failed; the errors are in the log, and the reasons in Stats")

// abandon gives up all that is outstanding, and ends the exports under way: what
// they still answer is not counted any more.
func (b *branch) abandon() {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.queue {
		b.bytes -= len(d.batch.Bytes())
	}
	b.queue = nil
	for d := range b.outstanding {
		b.dropped[ringtail.ReasonShutdown] += uint64(d.batch.Len())
		b.close(d)
	}
}

func (b *branch) lost() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped.Total()
}

func (b *branch) stats() BranchStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := BranchStats{
		Name: b.cfg.Name, Received: b.received, Exported: b.exported, Dropped: b.dropped,
		Batches: b.batches, QueuedBatches: len(b.queue), QueuedBytes: b.bytes, Exporting: b.exporting,
	}
	for d := range b.outstanding {
		s.InFlight += uint64(d.batch.Len())
	}
	return s
}

// within calls f, and leaves it alone when ctx ends first. Its panic, and its end of
// the goroutine, become an error. f is called even if ctx has ended.
func within(ctx context.Context, f func() error) error {
	answer := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("exporter panicked: %v\n%s", p, debug.Stack())
			}
			answer <- err
		}()
		err = f()
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
