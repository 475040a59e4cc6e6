package collector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/internal/throttle"
	"github.com/ringtail-otel/ringtail/seglog"
)

// ExporterConfig is an exporter of a pipeline, and how it is delivered to. Zero values
// mean what the comments call default.
type ExporterConfig struct {
	// Name is unique in the pipeline, and the name of the cursor: an exporter of the same name
	// goes on where the last one stopped.
	Name string
	// Exporter should not retry by itself: the delivery does.
	Exporter ringtail.Exporter

	// MaxBatchBytes and MaxBatchSpans end a batch, which is a run of whole requests.
	// A request that is larger goes alone. Default 1 MiB, 8192.
	MaxBatchBytes, MaxBatchSpans int
	// Linger is how long a batch that is not nearly full waits for more. Default 100 ms.
	Linger time.Duration
	// Concurrency is how many batches are sent at one time. Default 10.
	Concurrency int
	// Timeout bounds one attempt. Default 30 s.
	Timeout time.Duration
	// Retry says when a batch is sent again that the backend could not take. MaxElapsed 0
	// means for ever: it stays in the log until it is delivered, or until the log's
	// limits say otherwise. The other zeros are those of [export.RetryConfig].
	Retry export.RetryConfig
	// DeadLetter is where batches go, for people to look at, of which spans were refused
	// for good or given up. A batch is there before it is committed. Optional. The
	// pipeline shuts it down.
	DeadLetter ringtail.Exporter
}

// maxPanics is how often an exporter may panic over a batch until that is dropped.
const maxPanics = 3

// ahead is how many batches, for each that may be sent, are kept open behind one that
// is not settled. It bounds what is delivered twice after a crash.
const ahead = 2

// delivery moves one exporter's cursor along.
type delivery struct {
	cfg    ExporterConfig
	cursor *seglog.Cursor
	logger *slog.Logger

	places chan struct{} // one for each open shipment
	slots  chan struct{} // one for each shipment that is being sent

	failing throttle.Log
	reading throttle.Log

	landed chan struct{} // something was sent, or given up; holds one

	mu       sync.Mutex
	flying   int         // bytes that are being sent
	open     []*shipment // in the log's order; the first is not settled
	ledger   ledger
	told     uint64 // of the ledger, when it was opened
	attempts uint64
	failures uint64
	trouble  trouble
}

// trouble is why an exporter does not get on.
type trouble struct {
	since time.Time // of the first of the attempts that failed in a row; zero: none
	last  error
}

// shipment is a run of the log on its way to the exporter.
type shipment struct {
	run     *seglog.Run
	end     seglog.Position
	spans   int
	settled bool
	dropped ringtail.Drops
}

func newDelivery(cfg ExporterConfig, log *seglog.Log, logger *slog.Logger) (*delivery, error) {
	if cfg.Name == "" || cfg.Exporter == nil {
		return nil, errors.New("its Name is empty, or its Exporter is nil")
	}
	cfg.MaxBatchBytes = cmp.Or(cfg.MaxBatchBytes, 1<<20)
	cfg.MaxBatchSpans = cmp.Or(cfg.MaxBatchSpans, 8192)
	cfg.Linger = cmp.Or(cfg.Linger, 100*time.Millisecond)
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 10)
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	if err := cfg.Retry.Validate(); err != nil {
		return nil, err
	}
	if cfg.Retry.MaxElapsed == 0 {
		cfg.Retry.MaxElapsed = -1 // of RetryConfig: no limit
	}
	cursor, err := log.OpenCursor(cursorName(cfg.Name))
	if err != nil {
		return nil, err
	}
	d := &delivery{
		cfg: cfg, cursor: cursor, logger: logger.With(slog.String("exporter", cfg.Name)),
		places: make(chan struct{}, ahead*cfg.Concurrency),
		slots:  make(chan struct{}, cfg.Concurrency),
		landed: make(chan struct{}, 1),
	}
	if d.ledger, err = openLedger(cursor); err != nil {
		cursor.Close()
		return nil, err
	}
	d.told = d.ledger.told
	return d, nil
}

// longestCursor is how long a cursor's name may be, in bytes.
const longestCursor = 80

// cursorName is an exporter's name, or what is left of one that is too long, with a sum of
// all of it, so that two of them do not become one.
func cursorName(exporter string) string {
	if len(exporter) <= longestCursor {
		return exporter
	}
	sum := sha256.Sum256([]byte(exporter))
	return strings.ToValidUTF8(exporter[:longestCursor-17], "") + "-" + hex.EncodeToString(sum[:8])
}

// run reads and ships until ctx or the log ends, and returns when all sends have.
func (d *delivery) run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	// Those who have sent one batch wait for the next: a new goroutine's stack would have to
	// grow each time.
	next := make(chan *shipment)
	defer close(next)
	// A call costs as much as sending a few hundred spans, so that batches which go when
	// they are half full, as most would under load, take about 7 % more CPU.
	want := seglog.Want{
		MaxBytes: d.cfg.MaxBatchBytes, MaxCount: d.cfg.MaxBatchSpans,
		MinBytes: d.cfg.MaxBatchBytes / 8 * 7, Linger: d.cfg.Linger,
	}
	for acquire(ctx, d.places) {
		if !acquire(ctx, d.slots) {
			return
		}
		run, err := d.cursor.Read(ctx, want)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, seglog.ErrClosed) {
				return
			}
			d.reading.Warn(d.logger, "cannot read the log", slog.Any("error", err))
			<-d.slots
			<-d.places
			if !sleep(ctx, time.Second) {
				return
			}
			continue
		}
		if !d.depart(ctx, run.Bytes) {
			run.Release()
			return
		}
		s := d.begin(run)
		select {
		case next <- s:
		default: // all are sending
			sending.Go(func() {
				for ok := true; ok; s, ok = <-next {
					d.carry(ctx, s)
				}
			})
		}
	}
}

// carry ships a run, and lets the next one go.
func (d *delivery) carry(ctx context.Context, s *shipment) {
	size := s.run.Bytes
	defer func() { d.land(size); <-d.slots }()
	d.ship(ctx, s)
}

// depart waits until what is being sent leaves room for so many bytes: a batch of one large
// request counts for as many small ones as it is long. One batch always goes.
func (d *delivery) depart(ctx context.Context, size int) bool {
	for {
		d.mu.Lock()
		ok := d.flying == 0 || d.flying+size <= d.cfg.Concurrency*d.cfg.MaxBatchBytes
		if ok {
			d.flying += size
		}
		d.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-d.landed:
		case <-ctx.Done():
			return false
		}
	}
}

func (d *delivery) land(size int) {
	d.mu.Lock()
	d.flying -= size
	d.mu.Unlock()
	select {
	case d.landed <- struct{}{}:
	default:
	}
}

func acquire(ctx context.Context, c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *delivery) begin(run *seglog.Run) *shipment {
	s := &shipment{run: run, end: run.End, spans: run.Count}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, s)
	return s
}

// ship sends a shipment until it is settled or ctx ends. In the second case it stays in
// the log.
func (d *delivery) ship(ctx context.Context, s *shipment) {
	requests := make([][]byte, len(s.run.Frames))
	for i := range s.run.Frames {
		requests[i] = s.run.Frames[i].Body
	}
	batch := ringtail.JoinBatch(requests, s.spans)
	dropped, ok := d.deliver(ctx, batch)
	if ok && dropped.Total() > 0 && d.cfg.DeadLetter != nil {
		ok = d.bury(ctx, batch)
	}
	if batch.Kept() {
		s.run.Keep()
	}
	s.run.Release()
	if ok {
		d.settle(s, dropped)
	}
}

// deliver sends a batch, again and again if need be, and returns what was dropped of it. It
// is false when ctx ended before the batch was settled.
func (d *delivery) deliver(ctx context.Context, batch *ringtail.Batch) (lost ringtail.Drops, ok bool) {
	panics := 0
	err := export.Do(ctx, d.cfg.Retry, func(ctx context.Context) error {
		err := d.attempt(ctx, d.cfg.Exporter, batch)
		d.note(err)
		lost = ringtail.Losses(err, batch.Len())
		if lost.Of(ringtail.ReasonPanic) > 0 {
			panics++
		}
		if lost.Total() == 0 || panics >= maxPanics || final(&lost) {
			return nil
		}
		if ctx.Err() == nil {
			d.failing.Warn(d.logger, "cannot deliver spans yet; they stay in the log", slog.Int("spans", batch.Len()), slog.Any("error", err))
		}
		after, _ := export.Retryable(err)
		return &export.RetryableError{Err: err, After: after}
	})
	if err != nil && ctx.Err() != nil {
		return lost, false
	}
	if lost.Total() > 0 {
		d.failing.Warn(d.logger, "spans are lost", slog.Uint64("spans", lost.Total()), slog.Any("error", cmp.Or(err, d.lastError())))
	}
	return lost, true
}

// final says whether sending again could change what was lost: not if all that did not
// arrive was refused. When part was refused and part failed on its way, all goes again,
// since nobody knows which spans they were.
func final(lost *ringtail.Drops) bool {
	return lost.Total() == lost.Of(ringtail.ReasonRejected)+lost.Of(ringtail.ReasonTooLarge)
}

// attempt exports a batch once.
func (d *delivery) attempt(ctx context.Context, to ringtail.Exporter, batch *ringtail.Batch) (err error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			batch.Keep() // nobody knows what it has started
			err = &ringtail.ExportError{Spans: batch.Len(), Reason: ringtail.ReasonPanic, Err: fmt.Errorf("exporter panicked: %v\n%s", p, debug.Stack())}
		}
	}()
	return to.Export(ctx, batch)
}

// note keeps account of how the exporter is doing.
func (d *delivery) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attempts++
	if err == nil {
		d.trouble = trouble{}
		return
	}
	d.failures++
	d.trouble.last = err
	if d.trouble.since.IsZero() {
		d.trouble.since = time.Now()
	}
}

func (d *delivery) lastError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trouble.last
}

// bury brings a batch to the dead letters. It is false when ctx ended first.
func (d *delivery) bury(ctx context.Context, batch *ringtail.Batch) bool {
	forever := d.cfg.Retry
	forever.MaxElapsed, forever.MaxAttempts = -1, 0
	return export.Do(ctx, forever, func(ctx context.Context) error {
		err := d.attempt(ctx, d.cfg.DeadLetter, batch)
		if err == nil {
			return nil
		}
		d.failing.Warn(d.logger, "cannot write dead letters; their spans stay in the log", slog.Any("error", err))
		return &export.RetryableError{Err: err}
	}) == nil
}

// settle enters a shipment's end into the ledger, and commits what is settled from the
// front on: the cursor never passes a shipment that may have to be sent again.
func (d *delivery) settle(s *shipment, dropped ringtail.Drops) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.settled, s.dropped = true, dropped
	n := 0
	for n < len(d.open) && d.open[n].settled {
		d.ledger.enter(d.open[n])
		n++
	}
	if n == 0 {
		return
	}
	end := d.open[n-1].end
	clear(d.open[:n])
	d.open = d.open[n:]
	if err := d.cursor.Commit(end, d.ledger.encode()); err != nil {
		// It counts in this process nevertheless. After a restart it is sent again.
		d.reading.Warn(d.logger, "cannot commit a cursor", slog.Any("error", err))
	}
	for range n {
		<-d.places
	}
}

// close lets go of the cursor. Whoever ends the pipeline tells what was lost, and so the next
// process need not.
func (d *delivery) close() error {
	stats := d.stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledger.told = stats.Dropped.Total() + stats.SkippedTotal()
	if d.ledger.told != d.told {
		if err := d.cursor.Commit(d.cursor.Stats().Position, d.ledger.encode()); err != nil {
			return errors.Join(err, d.cursor.Close())
		}
	}
	return d.cursor.Close()
}
