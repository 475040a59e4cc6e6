package collector

import (
	"errors"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
)

// A verdict is what becomes of a request, whatever protocol it came by.
type verdict int

const (
	accepted verdict = iota
	bad
	tooLarge
	overloaded
	timedOut
	failed
)

// judge says what the sink's answer means, and counts it.
func (c *counts) judge(err error) verdict {
	v := failed
	var syntax *otlp.SyntaxError
	switch {
	case err == nil:
		v = accepted
	case errors.Is(err, ringtail.ErrFull), errors.Is(err, ringtail.ErrClosed):
		v = overloaded
	case errors.Is(err, errOverBudget):
		v = overloaded
	case errors.Is(err, errTooLarge):
		v = tooLarge
	case errors.As(err, &syntax):
		v = bad
	}
	c.add(v)
	return v
}

func (c *counts) add(v verdict) {
	switch v {
	case accepted:
		c.accepted.Add(1)
	case bad:
		c.bad.Add(1)
	case tooLarge:
		c.tooLarge.Add(1)
	case overloaded:
		c.overloaded.Add(1)
	case timedOut:
		c.timedOut.Add(1)
	default:
		c.failed.Add(1)
	}
}

// What clients are told when they are turned away. The texts end up in their logs.
const (
	overBudget = "ringtail holds as many bytes of unfinished requests as it may (--memory-limit); send again later"
	queueFull  = "ringtail's queue is full: its exporters are slower than what comes in; send again later"
	closing    = "ringtail is shutting down; send again later, or elsewhere"
)

func overloadText(err error) string {
	switch {
	case errors.Is(err, ringtail.ErrClosed):
		return closing
	case errors.Is(err, errOverBudget):
		return overBudget
	}
	return queueFull
}

// unavailable is how gRPC says it: UNAVAILABLE, which every client retries, with
// RetryInfo, which a good one obeys. (OTLP specification, "OTLP/gRPC Throttling".)
func unavailable(text string, delay time.Duration) error {
	s := status.New(codes.Unavailable, text)
	if d, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}); err == nil {
		s = d
	}
	return s.Err()
}

// retryAfter is how HTTP says it: whole seconds, and not zero of them.
func retryAfter(delay time.Duration) string {
	return strconv.Itoa(int((delay + time.Second - 1) / time.Second))
}
