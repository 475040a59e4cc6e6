package collector

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
	"github.com/ringtail-otel/ringtail/seglog"
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
	case comesBack(err):
		v = overloaded
	case errors.Is(err, errTooLarge), errors.Is(err, seglog.ErrTooLarge):
		v = tooLarge
	case errors.As(err, &syntax):
		v = bad
	}
	c.add(v)
	return v
}

// comesBack says whether a request that failed with err may be taken later.
func comesBack(err error) bool {
	for _, e := range []error{ringtail.ErrFull, ringtail.ErrClosed, errOverBudget, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && r.Retryable()
}

func (c *counts) add(v verdict) { c.of(v).Add(1) }

// takeBack is for a request whose client was told otherwise meanwhile.
func (c *counts) takeBack(v verdict) { c.of(v).Add(^uint64(0)) }

func (c *counts) of(v verdict) *atomic.Uint64 {
	switch v {
	case accepted:
		return &c.accepted
	case bad:
		return &c.bad
	case tooLarge:
		return &c.tooLarge
	case overloaded:
		return &c.overloaded
	case timedOut:
		return &c.timedOut
	}
	return &c.failed
}

// readVerdict says what becomes of a request that could not be read or unpacked.
func readVerdict(err error) (verdict, int, codes.Code) {
	var network net.Error
	switch {
	case errors.Is(err, errOverBudget):
		return overloaded, http.StatusServiceUnavailable, codes.Unavailable
	case errors.Is(err, errTooLarge):
		return tooLarge, http.StatusRequestEntityTooLarge, codes.ResourceExhausted
	case errors.Is(err, errEncoding):
		return bad, http.StatusUnsupportedMediaType, codes.InvalidArgument
	case errors.Is(err, errGone), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &network):
		// Not 408, which is what it is: OTLP's clients send again after 429, 502, 503 and 504 only, and
		// a network that is slow for a moment must not cost them their spans.
		return timedOut, http.StatusServiceUnavailable, codes.DeadlineExceeded
	}
	return bad, http.StatusBadRequest, codes.InvalidArgument
}

// What clients are told when they are turned away. The texts end up in their logs.
const (
	overBudget = "ringtail holds as many bytes of unfinished requests as it may (--memory-limit); send again later"
	queueFull  = "ringtail's queue is full: its exporters are slower than what comes in; send again later"
	diskFull   = "the disk that ringtail keeps its log on is full, or its quota is used up; send again later"
	tooLate    = "ringtail could not keep the request within --body-timeout; send again later"
	closing    = "ringtail is shutting down; send again later, or elsewhere"
)

func overloadText(err error) string {
	switch {
	case errors.Is(err, ringtail.ErrClosed):
		return closing
	case errors.Is(err, errOverBudget):
		return overBudget
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return tooLate
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return diskFull
	case errors.Is(err, ringtail.ErrFull):
		return queueFull
	}
	return err.Error() + "; send again later"
}

// retryAfter is how HTTP says it: whole seconds, and not zero of them.
func retryAfter(delay time.Duration) string {
	return strconv.Itoa(int((delay + time.Second - 1) / time.Second))
}
