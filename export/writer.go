package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
)

// WriterExporter writes spans to an [io.Writer], as trees for people or as lines of
// JSON for programs. It writes each batch at once, by one call of Write, and one
// batch at a time.
//
// When Write fails, or takes only part, the whole batch is lost for
// [ringtail.ReasonExport], and the error says how much was written. The next batch begins on a
// new line, so that a torn line stays alone.
//
// Shutdown waits for the Write under way and does not close the writer. A Write
// that hangs cannot be interrupted: exports that wait for it, and Shutdown, return when
// their context ends.
type WriterExporter struct {
	w       io.Writer
	name    string // for errors
	json    bool
	tree    TreeOptions
	closing *closing

	turn turn // guards what follows, and w
	buf  []byte
	torn bool // the last line written has no end
}

// WriterOption is an option of [NewStdout] and [NewWriter].
type WriterOption func(*WriterExporter)

// AsJSON writes every batch as one line: an OTLP JSON ExportTraceServiceRequest,
// as the OpenTelemetry Collector's file exporter does.
func AsJSON() WriterOption { return func(e *WriterExporter) { e.json = true } }

// AsTree writes the spans of every batch as trees, one a trace; see [WriteTree].
// That is the default. A trace whose spans come in several batches is written in
// as many pieces.
func AsTree(o TreeOptions) WriterOption {
	return func(e *WriterExporter) { e.json, e.tree = false, o }
}

// NewStdout returns an exporter that writes to standard output.
func NewStdout(opts ...WriterOption) *WriterExporter {
	e := NewWriter(os.Stdout, opts...)
	e.name = "standard output"
	return e
}

// NewWriter returns an exporter that writes to w, which nobody else should write
// to at the same time.
func NewWriter(w io.Writer, opts ...WriterOption) *WriterExporter {
	e := &WriterExporter{w: w, name: "writer", closing: newClosing(), turn: newTurn()}
	for _, o := range opts {
		o(e)
	}
	return e
}

// maxKeptBuffer is the largest buffer that is kept for the next batch.
const maxKeptBuffer = 4 << 20

// Export writes the batch.
func (e *WriterExporter) Export(ctx context.Context, b *ringtail.Batch) error {
	if err := e.closing.refuse(b); err != nil || b.Len() == 0 {
		return err
	}
	if err := e.turn.take(ctx); err != nil {
		return err
	}
	defer e.turn.give()
	if err := e.closing.refuse(b); err != nil {
		return err
	}
	buf := e.buf[:0]
	if e.torn {
		buf = append(buf, '\n')
	}
	buf, err := e.render(buf, b)
	if err != nil {
		return fmt.Errorf("cannot encode the batch: %w", err)
	}
	if cap(buf) <= maxKeptBuffer {
		e.buf = buf
	}
	return e.write(buf, b)
}

func (e *WriterExporter) render(dst []byte, b *ringtail.Batch) ([]byte, error) {
	if e.json {
		dst, err := otlp.AppendJSON(dst, b.Bytes())
		return append(dst, '\n'), err
	}
	return appendTrees(dst, slices.Collect(b.Spans()), e.tree.forWriter(e.w)), nil
}

func (e *WriterExporter) write(p []byte, b *ringtail.Batch) error {
	n, err := e.w.Write(p)
	n = min(max(n, 0), len(p))
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	if n > 0 {
		e.torn = p[n-1] != '\n'
	}
	if err != nil {
		return lost(b, ringtail.ReasonExport, fmt.Errorf("cannot write to %s: %w (%d of %d bytes were written)", e.name, err, n, len(p)))
	}
	return nil
}

// Shutdown waits for the Write under way.
func (e *WriterExporter) Shutdown(ctx context.Context) error {
	return e.closing.shutdown(ctx, func() error {
		if err := e.turn.take(ctx); err != nil {
			return errors.Join(fmt.Errorf("cannot wait for the last write to %s", e.name), err)
		}
		e.turn.give()
		return nil
	})
}
