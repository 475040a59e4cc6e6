package ringtailtest

import (
	"context"
	"slices"
	"sync"

	"github.com/ringtail-otel/ringtail"
)

// Recorder is an exporter that keeps what it is given, and misbehaves on command.
// Its methods may be called from any goroutine. The zero Recorder is ready for use,
// and takes everything; after Shutdown it refuses, as an exporter should.
type Recorder struct {
	mu        sync.Mutex
	changed   chan struct{} // closed, and replaced, when anything below changes
	behave    func(context.Context, *ringtail.Batch) error
	batches   []*ringtail.Batch // copies
	spans     int
	started   int
	running   int
	flushes   int
	shutdowns int
}

// Export does what the Recorder was last told to, and keeps a copy of the batch if
// that ends without an error.
func (r *Recorder) Export(ctx context.Context, b *ringtail.Batch) error {
	behave, err := r.begin(b)
	if err != nil {
		return err
	}
	defer r.change(func() { r.running-- })
	if behave != nil {
		if err := behave(ctx, b); err != nil {
			return err
		}
	}
	kept := b.Clone()
	r.change(func() {
		r.batches = append(r.batches, kept)
		r.spans += kept.Len()
	})
	return nil
}

func (r *Recorder) begin(b *ringtail.Batch) (behave func(context.Context, *ringtail.Batch) error, err error) {
	r.change(func() {
		if r.shutdowns > 0 {
			err = &ringtail.ExportError{Spans: b.Len(), Reason: ringtail.ReasonClosed, Err: ringtail.ErrClosed}
			return
		}
		r.started++
		r.running++
		behave = r.behave
	})
	return behave, err
}

// Flush counts, and has nothing to deliver.
func (r *Recorder) Flush(context.Context) error {
	r.change(func() { r.flushes++ })
	return nil
}

// Shutdown counts, and lets Export refuse from now on.
func (r *Recorder) Shutdown(context.Context) error {
	r.change(func() { r.shutdowns++ })
	return nil
}

// Behave lets every later Export call f before it keeps the batch, which it does
// if f returns nil. f may return an error, block or panic. A nil f takes everything.
func (r *Recorder) Behave(f func(ctx context.Context, b *ringtail.Batch) error) {
	r.change(func() { r.behave = f })
}

// Fail lets every later Export return err; a nil err takes everything again.
func (r *Recorder) Fail(err error) {
	r.Behave(func(context.Context, *ringtail.Batch) error { return err })
}

// FailNext lets the next n exports return err, and takes the later ones.
func (r *Recorder) FailNext(n int, err error) {
	var mu sync.Mutex
	r.Behave(func(context.Context, *ringtail.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 {
			return nil
		}
		n--
		return err
	})
}

// Panic lets every later Export panic with v.
func (r *Recorder) Panic(v any) {
	r.Behave(func(context.Context, *ringtail.Batch) error { panic(v) })
}

// Block lets every later Export wait for its context to end, whose error it then
// returns, or for release, which may be called more than once.
func (r *Recorder) Block() (release func()) {
	gate := make(chan struct{})
	r.Behave(func(ctx context.Context, _ *ringtail.Batch) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return sync.OnceFunc(func() { close(gate) })
}

// Stall is Block without regard to the context, as an exporter that hangs: the
// test must call release for its goroutines to end.
func (r *Recorder) Stall() (release func()) {
	gate := make(chan struct{})
	r.Behave(func(context.Context, *ringtail.Batch) error { <-gate; return nil })
	return sync.OnceFunc(func() { close(gate) })
}

// Batches returns copies of the batches that were taken, in the order in which
// their exports ended.
func (r *Recorder) Batches() []*ringtail.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.batches)
}

// Requests returns the encoded form of what Batches returns.
func (r *Recorder) Requests() [][]byte {
	var out [][]byte
	for _, b := range r.Batches() {
		out = append(out, b.Bytes())
	}
	return out
}

// Spans returns the spans that were taken, decoded.
func (r *Recorder) Spans() []*ringtail.Span {
	var out []*ringtail.Span
	for _, b := range r.Batches() {
		out = slices.AppendSeq(out, b.Spans())
	}
	return out
}

// Counts is what happened to a [Recorder] so far.
type Counts struct {
	Started   int // exports begun
	Running   int // exports begun and not ended
	Batches   int // batches taken
	Spans     int // spans taken
	Flushes   int
	Shutdowns int
}

// Counts returns what happened so far.
func (r *Recorder) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts()
}

func (r *Recorder) counts() Counts {
	return Counts{r.started, r.running, len(r.batches), r.spans, r.flushes, r.shutdowns}
}

// Await returns when the counts satisfy done, or with the context's error when
// ctx ends first. It is what a test does in place of sleeping.
func (r *Recorder) Await(ctx context.Context, done func(Counts) bool) error {
	for {
		r.mu.Lock()
		if done(r.counts()) {
			r.mu.Unlock()
			return nil
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Recorder) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}
