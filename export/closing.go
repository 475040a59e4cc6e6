package export

import (
	"context"
	"sync"

	"github.com/ringtail-otel/ringtail"
)

// closing is an exporter's way from open to shut down: exports are refused from
// the moment Shutdown is called, what there is to do is done once, and later calls
// wait for it.
type closing struct {
	once  sync.Once
	begun chan struct{} // closed when Shutdown is called
	ended chan struct{} // closed when the first call has returned
	err   error         // what it returned
}

func newClosing() *closing {
	return &closing{begun: make(chan struct{}), ended: make(chan struct{})}
}

// refuse returns nil as long as Shutdown has not been called.
func (c *closing) refuse(b *ringtail.Batch) error {
	select {
	case <-c.begun:
		return lost(b, ringtail.ReasonClosed, ringtail.ErrClosed)
	default:
		return nil
	}
}

func (c *closing) shutdown(ctx context.Context, f func() error) error {
	first := false
	c.once.Do(func() {
		first = true
		close(c.begun)
	})
	if first {
		defer close(c.ended)
		c.err = f()
		return c.err
	}
	select {
	case <-c.ended:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lost is the error of a batch of which nothing was delivered.
func lost(b *ringtail.Batch, reason ringtail.Reason, err error) *ringtail.ExportError {
	return &ringtail.ExportError{Spans: b.Len(), Reason: reason, Err: err}
}

// flush passes a Flush on to an exporter that may know it.
func flush(ctx context.Context, e ringtail.Exporter) error {
	if f, ok := e.(ringtail.Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}

// describe asks an exporter what it is, for who wraps it.
func describe(e ringtail.Exporter) ringtail.ExporterInfo {
	if d, ok := e.(ringtail.Describer); ok {
		return d.Describe()
	}
	return ringtail.ExporterInfo{}
}

// A turn is a lock that a context can end the wait for. Those who wait get it in
// the order in which they came.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }
