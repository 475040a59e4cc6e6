package ringtail

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// refusals logs the spans that submits refused. The drainer looks at the ledger now and
// then: a submit, which may come millions of times a second, never logs. Nor does the
// drainer itself, since a log may block.
type refusals struct {
	looked time.Time // by the drainer

	speaking sync.Mutex // held while something is logged; guards what follows
	logged   Drops      // told so far
	last     [numReasons]time.Time
}

// refusalsInterval is how often the drainer looks at most.
const refusalsInterval = time.Second

// remedies say what an operator can do about a refusal.
var remedies = map[Reason]string{
	ReasonInvalid:    "a span needs a trace id and a span id",
	ReasonTooLarge:   "a span takes at most half a ring: raise WithRingBits, or limit attributes",
	ReasonScopeLimit: "share Scopes between spans, and do not make one for each request",
	ReasonFull:       "exports do not keep up: raise WithQueueBytes or WithRingBits, or see what the exporter waits for",
	ReasonClosed:     "spans came after Shutdown",
	ReasonCanceled:   "the context of a Submit ended while it waited for room",
}

// due reports whether it is time to look.
func (r *refusals) due(now time.Time) bool { return now.Sub(r.looked) >= refusalsInterval }

// report has logged what it is time for. While the log is stuck it leaves that for later.
func (r *refusals) report(logger *slog.Logger, now time.Time, dropped Drops) {
	r.looked = now
	if !r.speaking.TryLock() {
		return
	}
	lines := r.lines(now, dropped, throttle.Period)
	if len(lines) == 0 {
		r.speaking.Unlock()
		return
	}
	go func() {
		defer r.speaking.Unlock()
		speak(logger, lines)
	}()
}

// reportAll logs what was not told before.
func (r *refusals) reportAll(logger *slog.Logger, now time.Time, dropped Drops) {
	r.speaking.Lock()
	defer r.speaking.Unlock()
	speak(logger, r.lines(now, dropped, 0))
}

// lines returns a line for each reason that has new refusals and was not logged for
// a period, with the number since it was.
func (r *refusals) lines(now time.Time, dropped Drops, period time.Duration) (lines [][]slog.Attr) {
	dropped[ReasonSampled] = 0 // as it was asked for
	for reason, n := range dropped.All() {
		fresh := n - r.logged[reason]
		if fresh == 0 || !r.last[reason].IsZero() && now.Sub(r.last[reason]) < period {
			continue
		}
		r.last[reason], r.logged[reason] = now, n
		lines = append(lines, []slog.Attr{slog.String("reason", reason.String()), slog.Uint64("spans", fresh),
			slog.Uint64("total", n), slog.String("remedy", remedies[reason])})
	}
	return lines
}

func speak(logger *slog.Logger, lines [][]slog.Attr) {
	for _, attrs := range lines {
		logger.LogAttrs(context.Background(), slog.LevelWarn, "ringtail: spans were refused", attrs...)
	}
}
