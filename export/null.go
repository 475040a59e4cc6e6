package export

import (
	"context"
	"sync/atomic"

	"github.com/ringtail-otel/ringtail"
)

// NullExporter takes every batch, counts it and forgets it: for measuring what comes
// before it, and for programs that want no export. Its methods may be called from
// any goroutine.
type NullExporter struct {
	closing               *closing
	batches, spans, bytes atomic.Uint64
}

// NullStats is what a [NullExporter] was given.
type NullStats struct {
	Batches uint64
	Spans   uint64
	Bytes   uint64 // of the encoded requests
}

// Null returns an exporter that takes every batch and forgets it.
func Null() *NullExporter { return &NullExporter{closing: newClosing()} }

// Export counts the batch.
func (e *NullExporter) Export(_ context.Context, b *ringtail.Batch) error {
	if err := e.closing.refuse(b); err != nil {
		return err
	}
	e.batches.Add(1)
	e.spans.Add(uint64(b.Len()))
	e.bytes.Add(uint64(len(b.Bytes())))
	return nil
}

// Shutdown lets Export refuse from now on. The counts stay.
func (e *NullExporter) Shutdown(ctx context.Context) error {
	return e.closing.shutdown(ctx, func() error { return nil })
}

// Stats returns the counts. While exports are under way they may be of different
// moments.
func (e *NullExporter) Stats() NullStats {
	return NullStats{Batches: e.batches.Load(), Spans: e.spans.Load(), Bytes: e.bytes.Load()}
}
