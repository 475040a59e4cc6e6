package otelsdk

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// SpanExporter is an exporter of ours for the processors of the official SDK. With
// [NewBatchSpanProcessor] it is not asked to encode anything: spans reach its exporter as
// bytes.
//
// All methods may be called from any goroutine.
type SpanExporter struct {
	exporter ringtail.Exporter
	spare    atomic.Pointer[encoder] // of the last export, if nobody has taken it

	once struct {
		begun atomic.Bool
		done  chan struct{}
		err   error // set before done is closed
	}
}

var _ sdktrace.SpanExporter = (*SpanExporter)(nil)

// NewSpanExporter takes over e, and shuts it down in Shutdown. It panics if e is nil.
func NewSpanExporter(e ringtail.Exporter) *SpanExporter {
	if e == nil {
		panic("otelsdk: NewSpanExporter: exporter is nil")
	}
	s := &SpanExporter{exporter: e}
	s.once.done = make(chan struct{})
	return s
}

// ExportSpans encodes the spans, all of them, as one batch, grouped by resource and
// scope, and exports it. Nothing of them is kept. An error that tells how many of them were
// lost is, or wraps, [*ringtail.ExportError]s. A span without ids, or of more than 1 MiB, is
// lost for itself. After Shutdown the error wraps [ringtail.ErrClosed].
func (e *SpanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if e.once.begun.Load() {
		return &ringtail.ExportError{Spans: len(spans), Reason: ringtail.ReasonClosed, Err: ringtail.ErrClosed}
	}
	if len(spans) == 0 {
		return nil
	}
	enc := e.spare.Swap(nil)
	if enc == nil {
		enc = newEncoder()
	}
	batch, refused := enc.encode(spans)
	var err error
	if batch != nil {
		err = e.exporter.Export(ctx, batch)
	}
	if enc.reset() {
		e.spare.Store(enc)
	}
	if refused == nil {
		return err
	}
	if lost := batchLen(batch); err != nil && !partial(err) {
		err = &ringtail.ExportError{Spans: lost, Reason: ringtail.ReasonExport, Err: err}
	}
	return errors.Join(err, refused)
}

// partial reports whether err tells by itself how many spans were lost.
func partial(err error) bool {
	e := (*ringtail.ExportError)(nil)
	return errors.As(err, &e)
}

func batchLen(b *ringtail.Batch) int {
	if b == nil {
		return 0
	}
	return b.Len()
}

// Shutdown shuts the exporter down. Later calls wait for the first one, as long as
// their own ctx lets them, and return its error.
func (e *SpanExporter) Shutdown(ctx context.Context) error {
	if e.once.begun.CompareAndSwap(false, true) {
		defer close(e.once.done)
		e.once.err = e.exporter.Shutdown(ctx)
		return e.once.err
	}
	select {
	case <-e.once.done:
		return e.once.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// MarshalLog is what the SDK's own log shows for the exporter.
func (e *SpanExporter) MarshalLog() any {
	return struct{ Type, Exporter string }{"ringtail", fmt.Sprintf("%T", e.exporter)}
}

// encoder makes batches, for one goroutine at a time: a core that is driven by hand.
type encoder struct {
	core      *ringtail.Core
	producer  *ringtail.Producer
	builder   *ringtail.Builder
	converter converter
	scopes    scopes
	bytes     int
}

// mostEncoded is the size of a batch up to which its encoder is kept for the next one.
const mostEncoded = 4 << 20

func newEncoder() *encoder {
	core, err := ringtail.NewCore(ringtail.WithRingBits(ringSpanBits), ringtail.WithMaxProducers(1),
		ringtail.WithBatchSpans(1<<24), ringtail.WithBatchBytes(1<<30), ringtail.WithResource(noResource))
	if err != nil {
		panic(err) // the options are constants
	}
	p, err := core.Register()
	if err != nil {
		panic(err) // it is the first
	}
	e := &encoder{core: core, producer: p, builder: core.NewBuilder()}
	e.converter.scopes = &e.scopes
	return e
}

// encode returns a batch, nil if it would be empty, and what keeps spans out of it.
// The batch is valid until reset.
func (e *encoder) encode(spans []sdktrace.ReadOnlySpan) (_ *ringtail.Batch, refused error) {
	var errs []error
	for _, s := range spans {
		if err := e.add(s); err != nil {
			errs = append(errs, err)
		}
	}
	e.core.ConsumeUpTo(len(spans), e.builder)
	batch := e.builder.Batch()
	if batch != nil {
		e.bytes = batch.Size()
	}
	return batch, errors.Join(errs...)
}

func (e *encoder) add(s sdktrace.ReadOnlySpan) error {
	e.converter.convert(s, s.SpanContext())
	defer e.converter.clear()
	err := e.producer.TrySubmit(&e.converter.span)
	if err == ringtail.ErrFull {
		e.core.ConsumeUpTo(1<<24, e.builder)
		err = e.producer.TrySubmit(&e.converter.span)
	}
	if err == nil {
		return nil
	}
	reason := ringtail.ReasonRejected // for what is wrong with the span
	switch err {
	case ringtail.ErrTooLarge:
		reason = ringtail.ReasonTooLarge
	case ringtail.ErrTooManyScopes:
		reason = ringtail.ReasonScopeLimit
	}
	return &ringtail.ExportError{Spans: 1, Reason: reason, Err: fmt.Errorf("cannot encode span %q: %w", s.Name(), err)}
}

// reset reports whether the encoder is worth keeping.
func (e *encoder) reset() bool {
	e.builder.Reset()
	return e.bytes <= mostEncoded
}
