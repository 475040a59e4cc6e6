package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringtail-otel/ringtail"
)

// slow is a backend that takes its time for every batch.
type slow struct{ each time.Duration }

func (s slow) Export(ctx context.Context, _ *ringtail.Batch) error {
	select {
	case <-time.After(s.each):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (slow) Shutdown(context.Context) error { return nil }

// The demonstration of backpressure: a ring of the smallest size, and a backend that
// takes ten spans at a time.
const (
	pressedSpans = 300
	pressedBatch = 10
	pressedEach  = 2 * time.Millisecond
)

// printBackpressure shows what the two ways to submit do when spans come faster than
// the backend takes them.
func printBackpressure(ctx context.Context, p page, seed uint64) {
	fmt.Fprintln(p, p.bold("Backpressure"))
	p.wrap("  ", fmt.Sprintf("What if the backend is slower than the program? Here a worker makes %d spans at once, its ring is "+
		"16 KiB, and the backend takes %v for every %d spans.", pressedSpans, pressedEach, pressedBatch))
	try, err := press(ctx, seed, func(p *ringtail.Producer, s *ringtail.Span) error {
		if err := p.TrySubmit(s); err != nil && !errors.Is(err, ringtail.ErrFull) {
			return err
		}
		return nil // the shop has better things to do than wait
	})
	if err != nil {
		return
	}
	wait, err := press(ctx, seed, func(p *ringtail.Producer, s *ringtail.Span) error { return p.Submit(ctx, s) })
	if err != nil {
		return
	}
	fmt.Fprintln(p, p.dim("             taken  refused  waited    time"))
	try.print(p, "TrySubmit", "never waits: ErrFull instead")
	wait.print(p, "Submit", "waits for room, asleep")
	p.wrap("  ", fmt.Sprintf("What is refused is not lost in silence. TrySubmit's ledger: %s.", try.stats))
	fmt.Fprintln(p)
}

func (r *pressed) print(p page, name, note string) {
	fmt.Fprintf(p, "  %-9s %7d  %7d %7d %7s   %s\n", name, r.stats.Exported, r.stats.Dropped.Of(ringtail.ReasonFull),
		r.waits, roundTime(r.took), p.dim(note))
}

// roundTime rounds to two figures or so.
func roundTime(d time.Duration) time.Duration {
	for unit := time.Second; unit > 1; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 10)
		}
	}
	return d
}

// pressed is the outcome of a run under pressure.
type pressed struct {
	stats ringtail.Stats
	took  time.Duration // of the submitting
	waits int           // submits that took longer than waitedFor
}

// A submit that does not wait takes well under a microsecond.
const waitedFor = 100 * time.Microsecond

func press(ctx context.Context, seed uint64, submit func(*ringtail.Producer, *ringtail.Span) error) (pressed, error) {
	c, err := ringtail.New(slow{pressedEach}, ringtail.WithRingBits(6), ringtail.WithResource(shopResource),
		ringtail.WithLogger(slog.New(slog.DiscardHandler)), // that the ring is full is the point
		ringtail.WithBatchSpans(pressedBatch), ringtail.WithConcurrentExports(1), ringtail.WithQueueBytes(4<<10),
		ringtail.WithInterval(time.Millisecond), ringtail.WithBatchAge(time.Millisecond))
	if err != nil {
		return pressed{}, err
	}
	producer, err := c.Register()
	if err != nil {
		return pressed{}, err
	}
	var r pressed
	w := newWorker(seed, 0, time.Now(), func(s *ringtail.Span) error {
		began := time.Now()
		err := submit(producer, s)
		took := time.Since(began)
		r.took += took
		if took > waitedFor {
			r.waits++
		}
		return err
	})
	workErr := w.work(ctx, pressedSpans)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoGrace)
	defer cancel()
	err = errors.Join(workErr, c.Shutdown(ending))
	r.stats = c.Stats()
	return r, err
}
