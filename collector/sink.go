package collector

import (
	"context"

	"github.com/ringtail-otel/ringtail"
)

// A Sink takes what the receivers have received. It is called by many goroutines at
// once.
type Sink interface {
	// Append validates, copies and keeps one encoded ExportTraceServiceRequest, whose
	// bytes are the pieces in their order; there may be one, many or none, and an empty
	// request is a good one. It returns the number of its spans.
	//
	// A nil error is an acknowledgement: the client forgets its spans. Append may wait for
	// that, as a log on disk waits for its group's sync, until ctx ends at the latest. It
	// must not keep the pieces, nor write to them.
	//
	// An [*otlp.SyntaxError] says that the request cannot be read; the client is told what
	// is wrong and not to send it again. [ringtail.ErrFull] and [ringtail.ErrClosed] say
	// that there is no room, or no more, and the client is told to come back; so it is when
	// ctx ended, and for every error that has a method Retryable() bool that returns true,
	// such as a full disk's. Any other error is answered as an internal one.
	Append(ctx context.Context, pieces [][]byte) (spans int, err error)
}

// A LaterSink is a Sink that does not hold up its caller. The receiver of gRPC then needs no
// goroutine for a request, nor a copy of it.
type LaterSink interface {
	Sink

	// AppendLater is Append without waiting. It calls done once, with what Append would have
	// returned: before it returns, or later and from another goroutine. It does not keep the
	// pieces after it has returned. done does not wait for anything either.
	AppendLater(pieces [][]byte, done func(spans int, err error))
}

// Memory returns a Sink that hands requests to c, which validates, copies and queues
// them in memory. It never waits. c stays the caller's.
func Memory(c *ringtail.Collector) Sink { return memory{c} }

type memory struct{ collector *ringtail.Collector }

// AppendLater answers at once.
func (m memory) AppendLater(pieces [][]byte, done func(spans int, err error)) {
	done(m.Append(context.Background(), pieces))
}

func (m memory) Append(_ context.Context, pieces [][]byte) (int, error) {
	switch len(pieces) {
	case 0:
		return m.collector.TrySubmitRequest(nil)
	case 1:
		return m.collector.TrySubmitRequest(pieces[0])
	}
	// The validating walk needs the request in one piece.
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	joined := buffers.Get(n)
	defer buffers.Put(joined)
	at := 0
	for _, p := range pieces {
		at += copy((*joined)[at:], p)
	}
	return m.collector.TrySubmitRequest(*joined)
}
