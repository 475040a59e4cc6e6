package otlpclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// errShutdown is what ends pauses, and exports that come late.
var errShutdown = errors.New("the exporter is shut down")

// Transport is one way of carrying requests to a receiver.
type Transport struct {
	// To is the endpoint, for people; it holds no secret.
	To string

	// Encode appends to dst, which has no bytes, the message that carries a
	// request. It is called once for a request, however often that is sent. Nil
	// sends the request as it is, in the pieces that it is in.
	Encode func(dst []byte, request *ringtail.Batch) ([]byte, error)

	// Send makes one attempt to deliver a message, in pieces. After it has returned it
	// touches them only if the answer, which counts for that beside an error too,
	// says Kept. What may be tried again is an [export.RetryableError], a refusal is
	// Refused, the answer to what was taken is judged by Client.
	Send func(ctx context.Context, message [][]byte) (Answer, error)

	// Close releases the connections; exports under way fail.
	Close func() error
}

// Answer is what a receiver says when it has taken a request.
type Answer struct {
	Rejected int64  // spans that it did not take after all
	Message  string // why, or a warning
	Err      error  // the answer cannot be understood
	Kept     bool   // the message may still be read: its memory must not be used again
}

// Client is an exporter on top of a Transport.
type Client struct {
	cfg                           Config
	transport                     Transport
	unreadable, warnings, delayed throttle.Log

	open       context.Context // ends at Shutdown: no pause begins any more
	beginClose context.CancelFunc
	alive      context.Context // ends when Shutdown's ctx does: exports are given up
	abort      context.CancelFunc

	mu      sync.Mutex
	closed  bool
	exports sync.WaitGroup // Add only with mu held and not closed

	ended chan struct{} // closed when the first Shutdown has returned
	err   error         // what it returned
}

// NewClient returns a client with a valid configuration.
func NewClient(cfg Config, t Transport) *Client {
	c := &Client{cfg: cfg, transport: t, ended: make(chan struct{})}
	c.open, c.beginClose = context.WithCancel(context.Background())
	c.alive, c.abort = context.WithCancel(context.Background())
	return c
}

// Refused says that a receiver will not take spans, however often they are sent.
func Refused(spans int, err error) error {
	return &ringtail.ExportError{Spans: spans, Reason: ringtail.ReasonRejected, Err: err}
}

// refusal is an error of Send that says Refused of all spans of the message.
type refusal struct{ error }

// Permanent marks an error of Send as the receiver's last word.
func Permanent(err error) error { return refusal{err} }

func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.exports.Add(1)
	return true
}

// Export implements [ringtail.Exporter].
func (c *Client) Export(ctx context.Context, b *ringtail.Batch) error {
	if b.Len() == 0 {
		return nil // OTLP: no empty envelopes
	}
	if !c.enter() {
		return &ringtail.ExportError{Spans: b.Len(), Reason: ringtail.ReasonClosed, Err: errShutdown}
	}
	defer c.exports.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.alive, func() { cancel(errShutdown) })()
	pauses, endPause := context.WithCancelCause(ctx)
	defer endPause(nil)
	defer context.AfterFunc(c.open, func() { endPause(errShutdown) })()

	var losses []error
	for part := range b.Split(c.cfg.MaxRequest) {
		err := c.exportPart(ctx, pauses, part)
		if part == b {
			return err
		}
		if err != nil {
			losses = append(losses, asLoss(err, part.Len()))
		}
	}
	return errors.Join(losses...)
}

// asLoss makes an error that speaks of a whole part one that tells its spans.
func asLoss(err error, spans int) error {
	var told *ringtail.ExportError
	if errors.As(err, &told) {
		return err
	}
	reason := ringtail.ReasonExport
	if errors.Is(err, context.DeadlineExceeded) {
		reason = ringtail.ReasonTimeout
	}
	return &ringtail.ExportError{Spans: spans, Reason: reason, Err: err}
}

// exportPart sends a request that is not to be split, until it is delivered, or
// refused, or there is no more time.
func (c *Client) exportPart(ctx, pauses context.Context, b *ringtail.Batch) error {
	message, keep := b.Parts(), b.Keep
	if c.transport.Encode != nil {
		buf, kept := buffers.Get().(*[]byte), false
		keep = func() { kept = true }
		defer func() {
			if !kept {
				putBuffer(buf)
			}
		}()
		encoded, err := c.transport.Encode((*buf)[:0], b)
		if err != nil {
			return Refused(b.Len(), fmt.Errorf("cannot encode the request: %w", err))
		}
		*buf, message = encoded, [][]byte{encoded}
	}
	return export.Do(pauses, c.cfg.Retry, func(context.Context) error {
		attempt, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
		kept := true // as it is when Send panics
		defer func() {
			if kept {
				keep()
			}
		}()
		answer, err := c.transport.Send(attempt, message)
		kept = answer.Kept
		if err != nil {
			if last, ok := errors.AsType[refusal](err); ok {
				return Refused(b.Len(), last.error)
			}
			c.noteDelay(ctx, b, err)
			return err
		}
		return c.judge(answer, b.Len())
	})
}

// noteDelay says that a backend cannot be reached while there is hope: the error that an
// export ends with comes when that is over, a minute later, or never.
func (c *Client) noteDelay(ctx context.Context, b *ringtail.Batch, err error) {
	if c.cfg.Retry.MaxAttempts == 1 || ctx.Err() != nil {
		return // whoever exports is told at once
	}
	c.delayed.Warn(c.cfg.Logger, "cannot deliver spans yet, trying again",
		slog.String("to", c.transport.To), slog.Int("spans", b.Len()), slog.Any("error", err))
}

// judge says what an answer to a request of so many spans means. Receivers have been
// seen to answer with numbers that cannot be; they are brought into range.
// (OTLP specification, "Partial Success".)
func (c *Client) judge(a Answer, spans int) error {
	if a.Err != nil {
		c.unreadable.Warn(c.cfg.Logger, "spans were taken with an answer that cannot be read", slog.Any("error", a.Err))
		return nil
	}
	rejected := int(min(max(a.Rejected, 0), int64(spans)))
	if rejected == 0 {
		if a.Message != "" {
			c.warnings.Warn(c.cfg.Logger, "the receiver warns", slog.String("message", a.Message))
		}
		return nil
	}
	if a.Message == "" {
		a.Message = "the receiver gave no reason"
	}
	return Refused(rejected, errors.New(a.Message))
}

// Shutdown ends the pauses between attempts, waits for the exports under way, and
// closes the connections. When ctx ends first, the exports are given up. Later calls
// wait for the first, or for their own ctx, and return its error.
func (c *Client) Shutdown(ctx context.Context) error {
	if !c.refuseExports() {
		select {
		case <-c.ended:
			return c.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(c.ended)
	c.err = c.shutdown(ctx)
	return c.err
}

// refuseExports reports whether it is the first call.
func (c *Client) refuseExports() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.closed
	c.closed = true
	return first
}

func (c *Client) shutdown(ctx context.Context) error {
	c.beginClose()
	idle := make(chan struct{})
	go func() {
		c.exports.Wait()
		close(idle)
	}()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("shut down before all exports had ended: %w", ctx.Err())
	}
	c.abort()
	return errors.Join(err, c.transport.Close())
}

// buffers holds the memory of encoded messages.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// putBuffer gives memory back, unless one large message has swollen it.
func putBuffer(b *[]byte) {
	if cap(*b) <= 8<<20 {
		buffers.Put(b)
	}
}
