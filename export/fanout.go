package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail"
)

// Branch is one of the exporters behind a [Fanout], and how it is treated. All fields
// but Exporter have defaults.
type Branch struct {
	// Name tells the branch from the others, in errors, logs and Stats. "" means
	// "branch 1", by its place.
	Name     string
	Exporter ringtail.Exporter
	// QueueBytes bounds the encoded batches that wait for this branch or are being
	// exported by it. One larger than this is taken when the branch has nothing
	// else. 0 means 64 MiB.
	QueueBytes int
	// Concurrency is how many exports may be under way at one time. Above 1, batches
	// may pass one another. 0 means 1.
	Concurrency int
	// Timeout bounds a single export, with all its retries. 0 means 90 s.
	Timeout time.Duration
	// Logger is told of failed exports and of batches dropped because the queue is
	// full, each at most every ten seconds, with the number of those left out. nil
	// means slog.Default().
	Logger *slog.Logger
}

// BranchStats is the ledger of one branch at one instant. It balances to the span:
//
//	Received = Exported + Dropped.Total() + InFlight
type BranchStats struct {
	Name     string
	Received uint64 // spans that Fanout's Export was given
	Exported uint64 // the branch's exporter said that the backend has them
	Dropped  ringtail.Drops
	InFlight uint64 // queued, or being exported

	Batches       uint64 // batches whose export has ended, well or not
	QueuedBatches int
	QueuedBytes   int // held, waiting or being exported
	Exporting     int // exports under way
}

// FanoutExporter is the exporter that [Fanout] returns.
type FanoutExporter struct {
	closing  *closing
	branches []*branch

	// entering keeps Shutdown from going on before the exports that it has not
	// refused are in the queues.
	entering sync.RWMutex
}

// Fanout sends every batch to several exporters, which do not notice each other:
// each has a queue, goroutines and a ledger of its own. One that fails, is slow,
// hangs, panics or ends its goroutine loses its own spans, counted by reason, and no
// others'.
//
// Export copies the batch once, for all branches, and returns as soon as it is in
// their queues. A branch whose queue is full drops it for [ringtail.ReasonFull]. So
// a collector's Exported means "handed to the fan-out", and what became of the
// spans is in [FanoutExporter.Stats]. Only when no branch has taken the batch is
// Export's answer an error, and the spans lost for the collector too: for
// [ringtail.ReasonUnavailable], since ReasonFull, in a collector's ledger, is a
// submit that was refused.
//
// Flush waits until every branch has exported what it was given before, or counted it
// as dropped, and flushes the branch's exporter. Shutdown drains every branch,
// shuts its exporter down, and returns within its context, however the others
// fare. When the context ends first, what was not delivered counts as
// [ringtail.ReasonShutdown], and exports under way are told to stop. The errors of both name
// the branch.
//
// Fanout takes the exporters over. An error names the branch and field that make no
// sense.
func Fanout(branches ...Branch) (*FanoutExporter, error) {
	if len(branches) == 0 {
		return nil, errors.New("export: Fanout: no branch")
	}
	f := &FanoutExporter{closing: newClosing()}
	names := make(map[string]bool)
	for i, b := range branches {
		if b.Name == "" {
			b.Name = fmt.Sprintf("branch %d", i+1)
		}
		switch {
		case b.Exporter == nil:
			return nil, fmt.Errorf("export: Fanout: %s: Exporter is nil", b.Name)
		case names[b.Name]:
			return nil, fmt.Errorf("export: Fanout: two branches are named %q", b.Name)
		case b.QueueBytes < 0:
			return nil, fmt.Errorf("export: Fanout: %s: QueueBytes is %d, must not be negative", b.Name, b.QueueBytes)
		case b.Concurrency < 0 || b.Concurrency > 1<<10:
			return nil, fmt.Errorf("export: Fanout: %s: Concurrency is %d, must be from 0 to 1024", b.Name, b.Concurrency)
		case b.Timeout < 0:
			return nil, fmt.Errorf("export: Fanout: %s: Timeout is %v, must not be negative", b.Name, b.Timeout)
		}
		names[b.Name] = true
		f.branches = append(f.branches, newBranch(b))
	}
	return f, nil
}

// Export hands the batch to every branch.
func (f *FanoutExporter) Export(_ context.Context, b *ringtail.Batch) error {
	f.entering.RLock()
	defer f.entering.RUnlock()
	if err := f.closing.refuse(b); err != nil || b.Len() == 0 {
		return err
	}
	shared := b.Clone()
	var full []*branch
	for _, br := range f.branches {
		if !br.offer(shared) {
			full = append(full, br)
		}
	}
	for _, br := range full { // when all the others have it: a log may be slow
		br.reportFull(shared)
	}
	if len(full) == len(f.branches) {
		return lost(b, ringtail.ReasonUnavailable, errors.New("the queue of every branch is full"))
	}
	return nil
}

// Flush waits for every branch.
func (f *FanoutExporter) Flush(ctx context.Context) error {
	return f.each(func(b *branch) error { return b.flush(ctx) })
}

// Shutdown drains every branch and shuts its exporter down.
func (f *FanoutExporter) Shutdown(ctx context.Context) error {
	return f.closing.shutdown(ctx, func() error {
		f.awaitEntering()
		return f.each(func(b *branch) error { return b.shutdown(ctx) })
	})
}

// awaitEntering returns when no Export is inside. None stays for long: offer never waits.
func (f *FanoutExporter) awaitEntering() {
	f.entering.Lock()
	defer f.entering.Unlock()
}

// each calls do for all branches at once, and joins their errors in order.
func (f *FanoutExporter) each(do func(*branch) error) error {
	errs := make([]error, len(f.branches))
	var wg sync.WaitGroup
	for i, b := range f.branches {
		wg.Go(func() {
			if err := do(b); err != nil {
				errs[i] = fmt.Errorf("%s: %w", b.cfg.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Stats returns the ledger of each branch, in the order in which they were given.
// It may be called at any time, also after Shutdown.
func (f *FanoutExporter) Stats() []BranchStats {
	stats := make([]BranchStats, len(f.branches))
	for i, b := range f.branches {
		stats[i] = b.stats()
	}
	return stats
}
