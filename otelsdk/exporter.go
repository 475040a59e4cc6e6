package otelsdk

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// NewExporter makes an exporter of the official SDK a backend of a collector, and so of
// package oteltrace. Batches are decoded for it, which costs what the collector saves:
// where there is an exporter of ours, use that. It panics if e is nil.
//
// The exporter is shut down with the collector. It is called by one goroutine at a
// time, as its contract asks, however many exports the collector allows. It may keep
// the spans, but not the slice. What OTLP does not carry, the spans do not have: no
// count of children, and of the parent only its id and whether it is remote; it is
// given the flags of its child.
func NewExporter(e sdktrace.SpanExporter) ringtail.Exporter {
	if e == nil {
		panic("otelsdk: NewExporter: exporter is nil")
	}
	x := &exporter{exporter: e, turn: make(chan struct{}, 1), done: make(chan struct{})}
	return x
}

type exporter struct {
	exporter sdktrace.SpanExporter
	turn     chan struct{} // of one element: held by the one who calls the exporter
	begun    atomic.Bool
	done     chan struct{}
	err      error // of Shutdown; set before done is closed
}

// Export decodes the batch, and waits for its turn within ctx.
func (x *exporter) Export(ctx context.Context, b *ringtail.Batch) error {
	if x.begun.Load() {
		return &ringtail.ExportError{Spans: b.Len(), Reason: ringtail.ReasonClosed, Err: ringtail.ErrClosed}
	}
	if b.Len() == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	spans := decode(b)
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-x.turn }()
	return x.exporter.ExportSpans(ctx, spans)
}

// Shutdown waits for an export under way within ctx. Later calls wait for the first one
// in the same way, and return its error.
func (x *exporter) Shutdown(ctx context.Context) error {
	if x.begun.CompareAndSwap(false, true) {
		defer close(x.done)
		select {
		case x.turn <- struct{}{}:
			defer func() { <-x.turn }()
		case <-ctx.Done(): // it is told nevertheless, to release what it owns
		}
		x.err = x.exporter.Shutdown(ctx)
		return x.err
	}
	select {
	case <-x.done:
		return x.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Flush passes a flush on, to exporters that know it by the name of the SDK.
func (x *exporter) Flush(ctx context.Context) error {
	f, ok := x.exporter.(interface{ ForceFlush(context.Context) error })
	if !ok || x.begun.Load() {
		return nil
	}
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-x.turn }()
	return f.ForceFlush(ctx)
}

// decode returns the spans of a batch. Those of one resource and scope share them.
func decode(b *ringtail.Batch) []sdktrace.ReadOnlySpan {
	out := make([]sdktrace.ReadOnlySpan, 0, b.Len())
	var (
		from  *ringtail.Resource
		res   *resource.Resource
		made  *ringtail.Scope
		scope instrumentation.Scope
	)
	for s := range b.Spans() {
		if s.Resource != from || res == nil {
			from, res = s.Resource, newResource(s.Resource)
		}
		if s.Scope != made {
			made, scope = s.Scope, newScope(s.Scope)
		}
		out = append(out, newReadOnlySpan(s, res, scope))
	}
	return out
}

func newResource(r *ringtail.Resource) *resource.Resource {
	if r == nil {
		return resource.Empty()
	}
	return resource.NewWithAttributes(r.SchemaURL, r.Attributes...)
}

func newScope(s *ringtail.Scope) instrumentation.Scope {
	if s == nil {
		return instrumentation.Scope{}
	}
	return instrumentation.Scope{
		Name: s.Name, Version: s.Version, SchemaURL: s.SchemaURL,
		Attributes: attribute.NewSet(s.Attributes...),
	}
}
