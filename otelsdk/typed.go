package otelsdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// typed is the pipeline to an exporter of somebody else's. The spans themselves wait
// in a queue: they are snapshots, which nobody changes. One goroutine, the worker,
// gathers them into batches, and is the only one that calls the exporter.
type typed struct {
	exporter sdktrace.SpanExporter
	options  sdktrace.BatchSpanProcessorOptions
	queue    *queue
	drops    dropLog
	trouble  throttle.Log

	wakeup chan struct{} // of one element: look at the queue now
	stop   chan struct{} // closed by shutdown, after the queue
	ended  chan struct{} // closed when the worker has shut the exporter down

	ctx    context.Context // of all exports; ends when they are abandoned
	cancel context.CancelFunc

	// The worker's own.
	spans    []sdktrace.ReadOnlySpan // gathered; those before head are with the exporter, or gone
	head     int
	batch    []sdktrace.ReadOnlySpan // what ExportSpans is given
	timer    *time.Timer
	waiting  []*flushing // what the pass under way will answer
	failures []error     // of this pass

	mu        sync.Mutex
	flushes   []*flushing // what the next pass will answer
	exported  uint64
	dropped   ringtail.Drops // after they were taken
	batches   uint64
	exporting int
	sending   int    // spans that the exporter has now
	failed    error  // the last export that did
	abandoned bool   // what is still in flight was counted
	unsent    uint64 // of that, what the exporter never had

	once struct {
		begun atomic.Bool
		ctx   context.Context // of the first Shutdown
		done  chan struct{}
		err   error // set before done is closed
	}
	shutdownErr error // the exporter's; set before ended is closed

	metrics *metrics // nil without WithMeterProvider
}

// flushing is a call of ForceFlush as the worker sees it.
type flushing struct{ done chan error } // of one element

func newTyped(exporter sdktrace.SpanExporter, o *batching) *typed {
	t := &typed{
		exporter: exporter, options: o.BatchSpanProcessorOptions,
		wakeup: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
		batch: make([]sdktrace.ReadOnlySpan, 0, o.MaxExportBatchSize),
		timer: time.NewTimer(o.BatchTimeout),
	}
	t.queue = newQueue(o.MaxQueueSize, o.MaxExportBatchSize, t.wake)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.once.done = make(chan struct{})
	t.metrics = newMetrics(o.meters, o.MaxQueueSize, t.progress)
	go t.work()
	return t
}

func (t *typed) wake() {
	select {
	case t.wakeup <- struct{}{}:
	default:
	}
}

func (t *typed) offer(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	err := t.queue.offer(s, !t.options.BlockOnQueueFull)
	if err == ringtail.ErrFull && t.options.BlockOnQueueFull {
		err = t.queue.room.wait(func() error { return t.queue.offer(s, false) })
	}
	if err != nil {
		t.drops.note(t.stats)
	}
}

// work is the worker. An exporter that ends the goroutine (as a test's FailNow does)
// ends only this pass: another worker goes on.
func (t *typed) work() {
	returned := false
	defer func() {
		if !returned {
			go t.work()
		}
	}()
	t.loop()
	t.shutdownErr = guard(func() error { return t.exporter.Shutdown(t.once.ctx) })
	returned = true
	close(t.ended)
}

// loop exports until the queue is closed and empty.
func (t *typed) loop() {
	for {
		t.compact()
		all, stopped := t.await()
		// Requests first, then the spans: what ended before a request is in its pass.
		t.mu.Lock()
		t.waiting = append(t.waiting, t.flushes...)
		t.flushes = nil
		t.mu.Unlock()
		if all = all || len(t.waiting) > 0; all {
			t.spans = t.queue.gather(t.spans)
		}
		exported := false
		for n := len(t.spans); n-t.head >= t.options.MaxExportBatchSize || all && n > t.head; {
			t.exportBatch()
			exported = true
		}
		err := errors.Join(t.failures...)
		for _, f := range t.waiting {
			f.done <- err
		}
		t.waiting, t.failures = nil, nil
		if all || exported {
			t.timer.Reset(t.options.BatchTimeout)
		}
		if stopped {
			return
		}
	}
}

// compact makes room in front of the spans that were gathered.
func (t *typed) compact() {
	if t.head == 0 {
		return
	}
	left := copy(t.spans, t.spans[t.head:])
	clear(t.spans[left:])
	t.spans, t.head = t.spans[:left], 0
	if left == 0 && cap(t.spans) > 4*t.options.MaxExportBatchSize {
		t.spans = nil // the memory of a burst is not kept
	}
}

// await returns when there may be a full batch, or it is time to export all there is, or
// the queue is closed.
func (t *typed) await() (all, stopped bool) {
	for {
		select {
		case <-t.stop:
			return true, true
		default:
		}
		if t.flushRequested() {
			return true, false
		}
		var full bool
		if t.spans, full = t.queue.await(t.spans); full {
			return false, false
		}
		select {
		case <-t.timer.C:
			return true, false
		case <-t.wakeup:
		case <-t.stop:
		}
	}
}

func (t *typed) flushRequested() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.flushes)+len(t.waiting) > 0
}

// exportBatch exports the oldest spans, and enters how it ended into the ledger.
func (t *typed) exportBatch() {
	n := min(len(t.spans)-t.head, t.options.MaxExportBatchSize)
	t.batch = append(t.batch[:0], t.spans[t.head:t.head+n]...)
	clear(t.spans[t.head : t.head+n])
	t.head += n
	t.queue.giveBack(n)

	t.mu.Lock()
	abandoned := t.abandoned
	t.exporting++
	t.sending = n
	t.mu.Unlock()
	err := errGoexit
	defer func() {
		t.settle(n, err)
		clear(t.batch)
	}()
	if abandoned {
		err = context.Canceled
		return
	}
	err = guard(t.export)
}

func (t *typed) export() error {
	ctx := t.ctx
	if t.options.ExportTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, t.options.ExportTimeout, errExportTimeout)
		defer cancel()
	}
	return t.exporter.ExportSpans(ctx, t.batch)
}

var (
	errExportTimeout = errors.New("otelsdk: the processor's export timeout is over")
	errGoexit        = errors.New("the exporter ended its goroutine")
)

// settle enters the end of an export, unless it was given up before.
func (t *typed) settle(n int, err error) {
	lost := ringtail.Losses(err, n)
	if p := (*panicError)(nil); err == errGoexit || errors.As(err, &p) {
		lost = ringtail.Drops{ringtail.ReasonPanic: uint64(n)}
	}
	t.mu.Lock()
	t.exporting--
	t.sending = 0
	abandoned := t.abandoned
	if !abandoned {
		if err != nil {
			t.failed = err
		}
		t.batches++
		t.exported += uint64(n) - lost.Total()
		for reason, count := range lost {
			t.dropped[reason] += count
		}
	}
	t.mu.Unlock()
	if err != nil && !abandoned {
		t.failures = append(t.failures, err)
		t.trouble.Warn(slog.Default(), "cannot export spans", slog.Int("spans", n), slog.Any("error", err))
	}
}

// guard calls f, and turns a panic into an error that counts as one.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return f()
}

type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string {
	return fmt.Sprintf("exporter panicked: %v\n%s", e.value, e.stack)
}

func (t *typed) flush(ctx context.Context) error {
	f := &flushing{done: make(chan error, 1)}
	t.mu.Lock()
	t.flushes = append(t.flushes, f)
	t.mu.Unlock()
	t.wake()
	select {
	case err := <-f.done:
		return err
	case <-t.ended: // by Shutdown, which has exported everything
		return nil
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		t.flushes = slices.DeleteFunc(t.flushes, func(o *flushing) bool { return o == f })
		return ctx.Err()
	}
}

func (t *typed) shutdown(ctx context.Context) error {
	if t.once.begun.CompareAndSwap(false, true) {
		t.once.err = t.shut(ctx)
		close(t.once.done)
		return t.once.err
	}
	select {
	case <-t.once.done:
		return t.once.err
	default: // first: a select takes either case when both are ready
	}
	select {
	case <-t.once.done:
		return t.once.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *typed) shut(ctx context.Context) error {
	before := undelivered(t.stats())
	t.once.ctx = ctx
	t.queue.close()
	close(t.stop)
	ended := false
	select {
	case <-t.ended:
		ended = true
	case <-ctx.Done():
		t.abandon()
	}
	t.cancel()
	t.metrics.end(ctx)
	var errs []error
	if lost := undelivered(t.stats()) - before; lost > 0 {
		t.mu.Lock()
		err := t.failed
		t.mu.Unlock()
		if !ended {
			err = ctx.Err()
		}
		errs = append(errs, fmt.Errorf("otelsdk: shutdown: %d spans were not delivered: %w", lost, err))
	}
	if !ended {
		errs = append(errs, fmt.Errorf("otelsdk: cannot shut down the exporter in time: %w", ctx.Err()))
	} else if t.shutdownErr != nil {
		errs = append(errs, fmt.Errorf("otelsdk: cannot shut down the exporter: %w", t.shutdownErr))
	}
	return errors.Join(errs...)
}

// abandon counts what is still in flight as lost, and ends the export under way: what
// it still answers is not counted any more.
func (t *typed) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken, _, _ := t.queue.counts()
	left := taken - t.exported - t.dropped.Total()
	t.dropped[ringtail.ReasonShutdown] += left
	t.unsent = left - uint64(t.sending)
	t.abandoned = true
	t.cancel()
}

// progress is what the metrics are made of. It reads in the order of stats, for its reason.
func (t *typed) progress() progress {
	t.mu.Lock()
	done := t.exported + t.dropped.Total()
	sending, unsent := uint64(t.sending), t.unsent
	if t.abandoned {
		sending = 0 // done with
	}
	t.mu.Unlock()
	taken, full, refused := t.queue.counts()
	return progress{
		queued: taken - done - sending, handed: done - unsent + sending,
		refused: ringtail.Drops{ringtail.ReasonFull: full, ringtail.ReasonClosed: refused, ringtail.ReasonShutdown: unsent},
	}
}

// stats reads what has left before what has come in, so that a span on its way
// out meanwhile counts as in flight, and not twice.
func (t *typed) stats() ringtail.Stats {
	t.mu.Lock()
	s := ringtail.Stats{Exported: t.exported, Dropped: t.dropped, Batches: t.batches, Exporting: t.exporting}
	t.mu.Unlock()
	taken, full, refused := t.queue.counts()
	s.InFlight = taken - s.Exported - s.Dropped.Total()
	s.Dropped[ringtail.ReasonFull] += full
	s.Dropped[ringtail.ReasonClosed] += refused
	s.Submitted = s.Exported + s.Dropped.Total() + s.InFlight
	return s
}
