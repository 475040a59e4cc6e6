package sink

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
	"github.com/ringtail-otel/ringtail/otlp"
)

// A reply is what a client is told.
type reply struct {
	code     codes.Code // OK: taken
	http     int
	text     string
	retry    time.Duration
	rejected uint64
	garbage  bool
	silent   bool // say nothing at all: ctx has ended
}

func refused(code codes.Code, status int, text string) reply {
	return reply{code: code, http: status, text: text}
}

// take counts one request and returns what to reply.
func (s *Sink) take(ctx context.Context, body []byte) reply {
	a := choose(s.cfg.Answers, s.requests.Add(1), time.Since(s.began))
	if !a.pause(ctx) {
		s.count(func(c *Counts) { c.Hung++ })
		return reply{silent: true}
	}
	switch {
	case a.refuse != codes.OK:
		s.count(func(c *Counts) { c.Refused++ })
		return reply{code: a.refuse, http: a.http, retry: a.retry, text: "ringtail sink was told to refuse (--answer)"}
	case a.hang:
		return s.leave(ctx)
	}
	if s.cfg.Validate {
		if _, err := otlp.Validate(body); err != nil {
			s.count(func(c *Counts) { c.Malformed++ })
			return refused(codes.InvalidArgument, http.StatusBadRequest, err.Error())
		}
	}
	limit := -1
	if a.partial > 0 || a.half {
		total := otlp.Count(body)
		if limit = total / 2; !a.half {
			limit = total - int(min(a.partial, uint64(total)))
		}
		if rejected := uint64(total - limit); a.partial > 0 && rejected > 0 {
			defer s.count(func(c *Counts) { c.Partial++; c.RejectedSpans += rejected })
		}
	}
	rejected := s.note(body, limit)
	switch {
	case a.half:
		return s.leave(ctx)
	case a.garbage:
		s.count(func(c *Counts) { c.Garbage++ })
		return reply{garbage: true}
	}
	return reply{rejected: rejected, text: "ringtail sink was told to reject a part (--answer)"}
}

// leave lets a client wait, until it goes away or the sink stops.
func (s *Sink) leave(ctx context.Context) reply {
	s.count(func(c *Counts) { c.Hung++ })
	<-ctx.Done()
	return reply{silent: true}
}

func (s *Sink) count(f func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.counts)
}

// note counts the first limit spans of a request, all if it is negative, and returns how many it left
// out.
//
// The lock is held for the walk: two cache lines a span, less than taking it for each would cost.
func (s *Sink) note(body []byte, limit int) (left uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	if s.first.IsZero() {
		s.first = s.last
	}
	c := &s.counts
	c.Requests++
	c.Bytes += uint64(len(body))
	for span := range otlp.Spans(body) {
		if limit == 0 {
			left++
			continue
		}
		limit--
		c.Spans++
		c.SpanBytes += uint64(len(span.Framed))
		if run, number, ok := identify(span.Body); ok {
			s.tracker.Add(run, number)
		} else {
			c.Unnumbered++
		}
	}
	if s.cfg.Spans > 0 && s.tracker.Len()+c.Unnumbered >= s.cfg.Spans {
		select {
		case <-s.enough:
		default:
			close(s.enough)
		}
	}
	return left
}

// identify reads a span's number. Encoders write the fields of a span in the order of their numbers:
// trace id and span id come first, and what follows need not be looked at.
func identify(span []byte) (numbers.Run, uint64, bool) {
	const traceTag, spanTag = 1<<3 | otlp.BytesType, 2<<3 | otlp.BytesType
	if len(span) >= 28 && span[0] == traceTag && span[1] == 16 && span[18] == spanTag && span[19] == 8 {
		return numbers.Of(span[2:18], span[20:28])
	}
	view, err := otlp.ParseSpan(span)
	if err != nil {
		return 0, 0, false
	}
	return numbers.Of(view.TraceID[:], view.SpanID[:])
}
