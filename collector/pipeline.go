package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
	"github.com/ringtail-otel/ringtail/seglog"
)

// PipelineConfig says what a [Pipeline] is made of.
type PipelineConfig struct {
	// Log keeps what was received until every exporter is done with it. The pipeline
	// takes it over, and closes it.
	Log *seglog.Log
	// Exporters are delivered to independently, each from a cursor of its own.
	Exporters []ExporterConfig
	// Logger is told of troubles, each kind at most once in ten seconds. nil means
	// slog.Default().
	Logger *slog.Logger
}

// Pipeline is a log with exporters: what receivers give it is appended, and delivered
// from there.
//
//	Append: lay out, validate ──▶ log ──┬─▶ cursor ─▶ exporter A
//	                                    └─▶ cursor ─▶ exporter B
//
// Append returns when the log has the request as safely as it promises: on disk, by
// default. Each exporter has a cursor, reads runs of requests from there, sends several
// at a time, and commits them in the order of the log when they are settled: delivered,
// or given up for a reason that is counted. What is not committed is read again
// after a restart.
//
// Its methods may be called from any goroutine.
type Pipeline struct {
	log        *seglog.Log
	exporters  []ExporterConfig
	deliveries []*delivery

	ctx    context.Context // of all deliveries; ends when they are broken off
	cancel context.CancelFunc
	wg     sync.WaitGroup

	shutdown sync.Once
	err      error
}

var _ LaterSink = (*Pipeline)(nil)

// NewPipeline opens a cursor for each exporter and starts to deliver. Errors name the
// exporter. It takes over the log and the exporters also when it fails.
func NewPipeline(cfg PipelineConfig) (*Pipeline, error) {
	if cfg.Log == nil {
		return nil, errors.New("collector: NewPipeline: Log is nil")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	p := &Pipeline{log: cfg.Log, exporters: cfg.Exporters}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, e := range cfg.Exporters {
		d, err := newDelivery(e, cfg.Log, cfg.Logger)
		if err != nil {
			p.cancel()
			p.close(p.ctx)
			return nil, fmt.Errorf("collector: exporter %s: %w", e.Name, err)
		}
		p.deliveries = append(p.deliveries, d)
	}
	for _, d := range p.deliveries {
		p.wg.Go(func() { d.run(p.ctx) })
	}
	return p, nil
}

// Append lays a request out in the log, in one piece, and validates it there. That is the
// only copy that the pipeline makes.
func (p *Pipeline) Append(ctx context.Context, pieces [][]byte) (spans int, err error) {
	room, spans, err := p.layOut(pieces)
	if err != nil || spans == 0 {
		return 0, err
	}
	if _, err := room.Commit(ctx, spans); err != nil {
		return spans, refusal(err)
	}
	return spans, nil
}

// AppendLater is Append without waiting for the disk.
func (p *Pipeline) AppendLater(pieces [][]byte, done func(spans int, err error)) {
	room, spans, err := p.layOut(pieces)
	if err != nil || spans == 0 {
		done(0, err)
		return
	}
	room.CommitThen(spans, func(_ seglog.Position, err error) {
		if err != nil {
			err = refusal(err)
		}
		done(spans, err)
	})
}

// layOut returns a request's place in the log, to be committed, if it has spans.
func (p *Pipeline) layOut(pieces [][]byte) (room seglog.Reservation, spans int, err error) {
	size := 0
	for _, piece := range pieces {
		size += len(piece)
	}
	if size == 0 {
		return room, 0, nil
	}
	if room, err = p.log.Reserve(size); err != nil {
		return room, 0, refusal(err)
	}
	defer func() {
		if spans == 0 { // or it panicked
			room.Abort()
		}
	}()
	at := 0
	for _, piece := range pieces {
		at += copy(room.Bytes()[at:], piece)
	}
	counts, err := otlp.Validate(room.Bytes())
	if err != nil {
		return room, 0, err
	}
	return room, counts.Spans, nil
}

// refusal says of an error of the log what receivers make of it.
func refusal(err error) error {
	switch {
	case errors.Is(err, seglog.ErrFull):
		return fmt.Errorf("%w: %w", ringtail.ErrFull, err)
	case errors.Is(err, seglog.ErrClosed):
		return ringtail.ErrClosed
	case errors.Is(err, seglog.ErrTooLarge):
		return fmt.Errorf("%w: half of the log's size (--log-bytes, sending_queue::queue_size)", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return diskError{err}
}

// diskError is a failure of the log's disk. It may pass, so that clients are told to come
// back, and not that their spans are bad.
type diskError struct{ error }

func (e diskError) Unwrap() error { return e.error }

// Retryable says that the client may send again.
func (diskError) Retryable() bool { return true }

// PipelineStats is what went into a pipeline and out of it; see [ExporterStats].
type PipelineStats struct {
	Received  uint64 // spans that were ever appended to the log
	Log       seglog.Stats
	Exporters []ExporterStats
}

// Stats returns the ledger at this moment.
func (p *Pipeline) Stats() PipelineStats {
	s := PipelineStats{Log: p.log.Stats(), Exporters: make([]ExporterStats, len(p.deliveries))}
	s.Received = s.Log.Count
	for i, d := range p.deliveries {
		s.Exporters[i] = d.stats()
	}
	return s
}

// Shutdown refuses further requests, delivers what the log holds, closes the exporters
// and the log, and returns within ctx or a little later. What is not delivered when ctx
// ends stays in a log on disk, for the next time, and is lost from one in memory: then the
// error says how much.
func (p *Pipeline) Shutdown(ctx context.Context) error {
	p.shutdown.Do(func() {
		p.log.Seal()
		drained := make(chan struct{})
		go func() {
			p.wg.Wait()
			close(drained)
		}()
		select {
		case <-drained:
		case <-ctx.Done():
		}
		p.cancel()
		p.err = p.close(ctx)
	})
	return p.err
}

// grace is what exporters and the log get for closing, when the time is over.
const grace = 2 * time.Second

// close ends the deliveries, which have been told to, the exporters, and the log.
func (p *Pipeline) close(ctx context.Context) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
	}
	var errs []error
	closed := make([]error, len(p.exporters))
	var closing sync.WaitGroup
	for i, e := range p.exporters {
		if e.Exporter == nil {
			continue
		}
		closing.Go(func() {
			if err := e.Exporter.Shutdown(ctx); err != nil {
				closed[i] = fmt.Errorf("exporter %s: %w", e.Name, err)
			}
		})
	}
	left := make(chan struct{})
	go func() {
		closing.Wait()
		p.wg.Wait()
		close(left)
	}()
	select {
	case <-left:
	case <-ctx.Done():
		select {
		case <-left:
		case <-time.After(grace):
		}
	}
	select {
	case <-left:
		errs = append(errs, closed...)
	default:
		// What they hold is not committed, and their memory is theirs until the process ends.
		errs = append(errs, errors.New("an exporter does not come back though its context has ended: what it was sending stays in the log"))
	}
	// Only now: what was being sent may still have had to be buried.
	for _, e := range p.exporters {
		if e.DeadLetter != nil {
			errs = append(errs, e.DeadLetter.Shutdown(ctx))
		}
	}
	for _, d := range p.deliveries {
		errs = append(errs, d.close())
	}
	if err := p.log.Close(); err != nil {
		errs = append(errs, &LogError{err})
	}
	return errors.Join(errs...)
}

// LogError is what [Pipeline.Shutdown] returns, perhaps among other errors, when the log
// could not be closed: what is left in it may not be there at the next start.
type LogError struct{ Err error }

func (e *LogError) Error() string { return "cannot close the log: " + e.Err.Error() }
func (e *LogError) Unwrap() error { return e.Err }
