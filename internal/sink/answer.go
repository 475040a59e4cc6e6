package sink

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// An Answer is how a bad backend treats a request: a condition, and what happens when it holds. The zero
// value takes everything.
type Answer struct {
	every    int           // only each so manieth request; 0: all
	up, down time.Duration // only while down, which alternates with up

	delay   time.Duration // before anything else
	refuse  codes.Code    // OK: do not
	http    int           // the status that says the same
	retry   time.Duration // with a refusal: when to come back; 0: does not say
	partial uint64        // reject the last so many spans
	half    bool          // take half of the spans, and hang
	hang    bool          // take nothing, and hang
	garbage bool          // take all, and answer with what nobody can read
}

// AnswerSyntax describes what [ParseAnswer] reads, for help texts.
const AnswerSyntax = `  delay=TIME     wait before answering
  refuse=CODE    refuse: a gRPC code (unavailable, 14) or an HTTP status (503)
  retry=TIME     with refuse: say when to come back (RetryInfo, Retry-After)
  partial=N      take a request without its last N spans, and say so
  hang           take nothing and never answer
  half           take half of the spans and never answer
  garbage        take all, and answer with bytes that mean nothing
  every=N        do this to each Nth request only, and take the others
  flap=UP/DOWN   do this in turns: not for a time UP, then for a time DOWN`

// ParseAnswer reads an answer: steps separated by commas, as in refuse=503,retry=2s,every=10.
func ParseAnswer(s string) (Answer, error) {
	var a Answer
	var seen []string
	for step := range strings.SplitSeq(s, ",") {
		name, value, given := strings.Cut(step, "=")
		if slices.Contains(seen, name) {
			return a, fmt.Errorf("%q: %s is there twice", s, name)
		}
		seen = append(seen, name)
		if err := a.step(name, value, given); err != nil {
			return a, fmt.Errorf("%q: %w", s, err)
		}
	}
	if a.down > 0 && !a.does() && a.delay == 0 {
		a.refuse, a.http = codes.Unavailable, http.StatusServiceUnavailable
	}
	return a, a.conflicts(s)
}

func (a *Answer) step(name, value string, given bool) (err error) {
	flags := map[string]*bool{"hang": &a.hang, "half": &a.half, "garbage": &a.garbage}
	if flag := flags[name]; flag != nil {
		if given {
			return fmt.Errorf("%s takes no value", name)
		}
		*flag = true
		return nil
	}
	switch name {
	case "delay":
		a.delay, err = duration(name, value)
	case "retry":
		a.retry, err = duration(name, value)
	case "every":
		n, failed := strconv.Atoi(value)
		if failed != nil || n < 1 {
			return fmt.Errorf("every=%s: want a number, 1 or more", value)
		}
		a.every = n
	case "partial":
		n, failed := strconv.ParseUint(value, 10, 31)
		if failed != nil || n < 1 {
			return fmt.Errorf("partial=%s: want a number of spans, 1 or more", value)
		}
		a.partial = n
	case "flap":
		up, down, _ := strings.Cut(value, "/")
		if a.up, err = duration("flap", up); err == nil {
			a.down, err = duration("flap", down)
		}
		if err != nil {
			return fmt.Errorf("flap=%s: want two times, as in flap=5s/2s", value)
		}
	case "refuse":
		a.refuse, a.http, err = refusal(value)
	default:
		return fmt.Errorf("there is no %q; want delay=TIME, refuse=CODE, retry=TIME, partial=N, hang, half, garbage, every=N or flap=UP/DOWN", name)
	}
	return err
}

func (a *Answer) does() bool {
	return a.refuse != codes.OK || a.partial > 0 || a.half || a.hang || a.garbage
}

func (a *Answer) conflicts(s string) error {
	n := 0
	for _, does := range []bool{a.refuse != codes.OK, a.partial > 0, a.half, a.hang, a.garbage} {
		if does {
			n++
		}
	}
	switch {
	case n > 1:
		return fmt.Errorf("%q: choose one of refuse, partial, hang, half and garbage; with --answer again, others", s)
	case a.retry > 0 && a.refuse == codes.OK:
		return fmt.Errorf("%q: retry goes with refuse", s)
	case n == 0 && a.delay == 0:
		return fmt.Errorf("%q: says when, but not what: add one of delay, refuse, partial, hang, half and garbage", s)
	}
	return nil
}

func duration(name, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s=%s: want a time, as 500ms or 2s", name, value)
	}
	return d, nil
}

// statuses pairs codes with the HTTP statuses that say the same; where several share a status, the first
// is meant by it. (google/rpc/code.proto has the mapping.)
var statuses = []struct {
	code codes.Code
	name string
	http int
}{
	{codes.InvalidArgument, "invalid_argument", 400}, {codes.FailedPrecondition, "failed_precondition", 400}, {codes.OutOfRange, "out_of_range", 400},
	{codes.Unauthenticated, "unauthenticated", 401}, {codes.PermissionDenied, "permission_denied", 403}, {codes.NotFound, "not_found", 404},
	{codes.Aborted, "aborted", 409}, {codes.AlreadyExists, "already_exists", 409}, {codes.ResourceExhausted, "resource_exhausted", 429},
	{codes.Canceled, "cancelled", 499}, {codes.Internal, "internal", 500}, {codes.Unknown, "unknown", 500}, {codes.DataLoss, "data_loss", 500},
	{codes.Unimplemented, "unimplemented", 501}, {codes.Unavailable, "unavailable", 503}, {codes.Unavailable, "unavailable", 502},
	{codes.DeadlineExceeded, "deadline_exceeded", 504},
}

// refusal reads a gRPC code, by name or number, or an HTTP status.
func refusal(s string) (codes.Code, int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		n = -1
	}
	for _, c := range statuses {
		if c.name == strings.ToLower(s) || int(c.code) == n {
			return c.code, c.http, nil
		}
		if c.http == n {
			return c.code, n, nil
		}
	}
	if n >= 300 && n <= 599 {
		return codes.Unknown, n, nil
	}
	return 0, 0, fmt.Errorf("refuse=%s: want a gRPC code, as unavailable or 14, or an HTTP status, as 503", s)
}

// applies reports whether the condition holds for the nth request, n from 1, that long after the start.
func (a *Answer) applies(n uint64, since time.Duration) bool {
	if a.every > 0 && n%uint64(a.every) != 0 {
		return false
	}
	return a.down == 0 || since%(a.up+a.down) >= a.up
}

// choose returns the first answer that applies; taking everything when none does.
func choose(answers []Answer, n uint64, since time.Duration) *Answer {
	for i := range answers {
		if answers[i].applies(n, since) {
			return &answers[i]
		}
	}
	return &Answer{}
}

// pause waits for the delay of a; it returns false when ctx ends before.
func (a *Answer) pause(ctx context.Context) bool {
	if a.delay == 0 {
		return true
	}
	timer := time.NewTimer(a.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
