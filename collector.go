// Package ringtail collects OpenTelemetry spans inside a Go process and hands
// them to a backend.
//
//	instrumented code ──Submit──▶ ring per producer ──drain──▶ batch ──▶ exporter
//	                    encode        (bytes)                 (bytes)
//
// A span is encoded once, as OTLP, by the goroutine that submits it, straight into
// a lock-free ring that no other goroutine writes to. One drainer copies what has
// gathered into batches, and these go to the [Exporter] as they are. Nothing in
// between builds an object for a span.
//
// Every queue is bounded, and every span that does not arrive is counted under
// a [Reason]: [Collector.Stats] is a ledger that balances to the span.
//
//	collector, err := ringtail.New(exporter, ringtail.LowLatency())
//	if err != nil { … }
//	defer collector.Shutdown(ctx)
//	err = collector.TrySubmit(&ringtail.Span{TraceID: …, SpanID: …, Name: "GET /users"})
//
// The files, in the order of a span's journey: span.go; producer.go (shared.go for any
// goroutine, room.go while there is none) and encode.go, on the submitter's
// goroutine; core.go, the synchronous half, and builder.go; collector.go and pause.go,
// the running half; sender.go, batch.go and exporter.go. Requests that are encoded
// already come in by intake.go. stats.go has the ledger, which metrics.go and
// refusals.go report.
package ringtail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringtail-otel/ringtail/otlp"
)

// Collector is a [Core] that runs: one goroutine drains the rings into batches,
// and up to WithConcurrentExports more deliver these to the exporter.
//
// All methods may be called from any goroutine. After Shutdown, submits and
// Register return [ErrClosed], and Flush has nothing to do.
type Collector struct {
	core     *Core
	cfg      config
	exporter Exporter
	sender   *sender
	metrics  *metrics // nil without WithMeterProvider

	wakeup  chan struct{} // of one element: look at the rings now
	stop    chan struct{} // closed by Shutdown: drain to the end
	abort   chan struct{} // closed when Shutdown's context ended: leave everything
	drained chan struct{} // closed when the drainer has ended

	flushes struct {
		sync.Mutex
		waiting []*flush
	}

	intake   intake
	refusals refusals

	shutdown struct {
		begun atomic.Bool
		done  chan struct{}
		err   error // set before done is closed
	}
}

// flush is a call of Flush as the drainer sees it.
type flush struct {
	mark   map[*lane]uint64
	pushed chan uint64 // the number of the batch to wait for; of one element
}

// New makes a collector and starts it. It takes over the exporter, and shuts it
// down in [Collector.Shutdown]. Errors name the option and its value.
func New(exporter Exporter, opts ...Option) (*Collector, error) {
	if exporter == nil {
		return nil, errors.New("ringtail: New: exporter is nil")
	}
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	c := &Collector{
		core:     newCore(cfg),
		cfg:      cfg,
		exporter: exporter,
		wakeup:   make(chan struct{}, 1),
		stop:     make(chan struct{}),
		abort:    make(chan struct{}),
		drained:  make(chan struct{}),
	}
	c.core.wake = c.wake
	c.sender = newSender(&c.cfg, exporter, c.core.NewBuilder, c.wake)
	c.shutdown.done = make(chan struct{})
	if cfg.meterProvider != nil {
		if c.metrics, err = newMetrics(c, cfg.meterProvider); err != nil {
			return nil, fmt.Errorf("ringtail: WithMeterProvider: %w", err)
		}
		c.sender.metrics = c.metrics
	}
	go c.drain()
	return c, nil
}

// Register returns a new producer; see [Core.Register].
func (c *Collector) Register() (*Producer, error) { return c.core.Register() }

// TrySubmit encodes the span into a ring local to the running thread; see
// [Core.TrySubmit].
func (c *Collector) TrySubmit(s *Span) error { return c.core.TrySubmit(s) }

// Submit is TrySubmit, but waits while the ring is full; see [Producer.Submit].
func (c *Collector) Submit(ctx context.Context, s *Span) error { return c.core.Submit(ctx, s) }

// TrySubmitRequest takes an encoded ExportTraceServiceRequest, as an OTLP receiver
// has it, and returns the number of its spans. The request is validated and
// copied, and not decoded; it goes to the exporter joined with others. Its spans keep
// their own resources. It never blocks: [ErrFull] says that the queue is full.
// A request that cannot be read is an [*otlp.SyntaxError], and counts no spans.
func (c *Collector) TrySubmitRequest(request []byte) (spans int, err error) {
	counts, err := otlp.Validate(request)
	if err != nil || counts.Spans == 0 {
		return 0, err
	}
	if err := c.intake.take(c.sender, request, counts.Spans); err != nil {
		return counts.Spans, err
	}
	return counts.Spans, nil
}

// wake makes the drainer look at the rings now. It never blocks.
func (c *Collector) wake() {
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

// drain is the drainer goroutine: the rings' one consumer.
func (c *Collector) drain() {
	defer close(c.drained)
	pause := c.newPause()
	timer := time.NewTimer(pause.length)
	defer timer.Stop()
	batch := c.sender.builder()
	stop := c.stop
	for {
		select {
		case <-timer.C:
		case <-c.wakeup:
		case <-stop:
			stop = nil // seen; from here on the loop ends when the rings are empty
		case <-c.abort:
			c.sender.abandon(batch.Len() + c.intake.discard())
			return
		}
		now := time.Now()
		var empty bool
		batch, empty = c.poll(batch, now, &pause)
		if empty {
			pause.next()
		}
		timer.Reset(pause.length)
		if batch.Len() > 0 && now.Sub(batch.opened) >= c.cfg.batchAge && c.sender.hasFree() {
			batch = c.push(batch)
		}
		c.intake.age(c.sender, now.Add(-c.cfg.batchAge))
		if c.refusals.due(now) {
			c.refusals.report(c.cfg.logger, now, c.refused())
		}
		if ended := empty && stop == nil; ended || c.flushing() {
			batch = c.pushMarked(batch, ended)
			if ended {
				return
			}
		}
	}
}

// poll moves spans from the rings into the batch, once. If there were any it
// asks for another poll: what else the drainer has to do is never far behind,
// however busy the rings are. empty says that it has seen all rings empty.
func (c *Collector) poll(batch *Builder, now time.Time, pause *pause) (_ *Builder, empty bool) {
	if batch.Full() {
		if !c.sender.hasRoom() {
			return batch, false // the sender wakes the drainer when an export ends
		}
		batch = c.push(batch)
	}
	n, fullest := c.core.consumeUpTo(c.cfg.maxPoll, batch)
	pause.fullest = max(pause.fullest, fullest)
	if n == 0 {
		return batch, true
	}
	if batch.opened.IsZero() {
		batch.opened = now
	}
	c.wake()
	return batch, false
}

// refused returns what submits dropped.
func (c *Collector) refused() Drops {
	d := c.core.refused()
	c.intake.refused(&d)
	return d
}

func (c *Collector) push(batch *Builder) *Builder {
	if batch.Len() == 0 {
		return batch
	}
	c.sender.push(batch)
	return c.sender.builder()
}

func (c *Collector) flushing() bool {
	c.flushes.Lock()
	defer c.flushes.Unlock()
	return len(c.flushes.waiting) > 0
}

// pushMarked closes the current batches for those flushes whose spans have left
// the rings, and tells them what to wait for. A flush does not go beyond the
// queue's limit either: it waits for room. all says that the rings are empty
// for good.
func (c *Collector) pushMarked(batch *Builder, all bool) *Builder {
	c.flushes.Lock()
	defer c.flushes.Unlock()
	if all {
		batch = c.push(batch)
		c.intake.push(c.sender)
	}
	rest := c.flushes.waiting[:0]
	for _, f := range c.flushes.waiting {
		if !all && !c.sender.hasRoom() || !c.core.passed(f.mark) {
			rest = append(rest, f)
			continue
		}
		batch = c.push(batch)
		c.intake.push(c.sender)
		f.pushed <- c.sender.lastNumber()
	}
	clear(c.flushes.waiting[len(rest):])
	c.flushes.waiting = rest
	return batch
}

// Flush returns when every span submitted before has been exported, or dropped and
// counted, or when ctx ends. It does not report what was dropped: Stats does.
// Spans submitted meanwhile do not delay it.
func (c *Collector) Flush(ctx context.Context) error {
	select {
	case <-c.drained:
		return c.sender.await(ctx, c.sender.lastNumber())
	default:
	}
	f := &flush{mark: c.core.mark(), pushed: make(chan uint64, 1)}
	c.flushes.Lock()
	c.flushes.waiting = append(c.flushes.waiting, f)
	c.flushes.Unlock()
	c.wake()
	var number uint64
	select {
	case number = <-f.pushed:
	case <-c.drained: // Shutdown came in between, and takes care of the exporter
		return c.sender.await(ctx, c.sender.lastNumber())
	case <-ctx.Done():
		c.flushes.Lock()
		defer c.flushes.Unlock()
		c.flushes.waiting = slices.DeleteFunc(c.flushes.waiting, func(o *flush) bool { return o == f })
		return ctx.Err()
	}
	if err := c.sender.await(ctx, number); err != nil {
		return err
	}
	if e, ok := c.exporter.(Flusher); ok {
		return within(ctx, e.Flush)
	}
	return nil
}

// Shutdown refuses new spans, drains every ring, exports what is there, shuts
// the exporter down, and returns within ctx. When ctx ends first, exports under
// way are told to stop, and an error says how many spans were not delivered;
// they count as [ReasonShutdown]. With a backend that answers in time, no span
// whose submit has returned nil is lost, however late it came. With one that does not,
// it takes as long as ctx allows, or the exporter tries: give it a deadline.
//
// Later calls wait for the first one, as long as their own ctx lets them, and
// return its error.
func (c *Collector) Shutdown(ctx context.Context) error {
	if c.shutdown.begun.CompareAndSwap(false, true) {
		c.shutdown.err = c.shut(ctx)
		close(c.shutdown.done)
		return c.shutdown.err
	}
	select {
	case <-c.shutdown.done:
		return c.shutdown.err
	default: // first: a select takes either case when both are ready
	}
	select {
	case <-c.shutdown.done:
		return c.shutdown.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errExports is the reason of a loss at shutdown that the context is not to blame for.
var errExports = errors.New("exports failed; the exporter's errors are in the log, and the reasons in Stats")

func (c *Collector) shut(ctx context.Context) error {
	before := c.sender.lost()
	c.core.Close()
	c.intake.refuse()
	close(c.stop)
	select {
	case <-c.drained:
	case <-ctx.Done():
		close(c.abort)
		<-c.drained // it ends at once
	}
	// The exports that fail from here on count as not delivered at shutdown,
	// whatever the reason that they are dropped for.
	_ = c.sender.await(ctx, c.sender.lastNumber())
	c.sender.abandon(c.core.discard())
	var errs []error
	if lost := c.sender.lost() - before; lost > 0 {
		errs = append(errs, fmt.Errorf("ringtail: shutdown: %d spans were not delivered: %w", lost,
			cmp.Or(ctx.Err(), errExports)))
	}
	if err := within(ctx, c.exporter.Shutdown); err != nil {
		errs = append(errs, fmt.Errorf("ringtail: cannot shut down the exporter: %w", err))
	}
	// Exports that were given up get the chance to notice, if there is time.
	_ = within(ctx, func(context.Context) error { c.sender.wg.Wait(); return nil })
	_ = within(ctx, func(context.Context) error {
		c.refusals.reportAll(c.cfg.logger, time.Now(), c.refused())
		return nil
	})
	return errors.Join(append(errs, c.metrics.end(ctx))...)
}

// within calls f, turns a panic into an error, and leaves f alone when ctx ends first.
func within(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("exporter panicked: %v", p)
			}
		}()
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns the ledger. It may be called at any time, also after Shutdown.
func (c *Collector) Stats() Stats {
	// What has left is read before what has come in, so that a span on its way
	// out meanwhile counts as in flight, and not twice.
	var out Stats
	c.sender.addTo(&out)
	s := c.core.Stats()
	c.intake.addTo(&s)
	s.InFlight -= out.Exported + out.Dropped.Total()
	s.Exported = out.Exported
	s.Dropped.add(&out.Dropped)
	s.Batches, s.Exporting = out.Batches, out.Exporting
	s.QueuedBatches, s.QueuedBytes = out.QueuedBatches, out.QueuedBytes
	return s
}
