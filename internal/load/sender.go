package load

import (
	"context"
	"math/rand/v2"
	"time"
)

// A sender is one connection. send makes one attempt; it may be called by several goroutines at once.
type sender interface {
	send(ctx context.Context, r *request) (o outcome, bytes int)
	close()
}

// A verdict is what an attempt came to.
type verdict int

const (
	taken verdict = iota
	refusedForNow
	refusedForGood
	unanswered // nobody knows
)

// An outcome is a receiver's answer, or that there is none.
type outcome struct {
	verdict  verdict
	rejected uint64        // by partial success
	after    time.Duration // to wait before the next attempt
	told     bool          // after is what the receiver said
	code     string        // of what was wrong; empty: nothing
	text     string
}

// A worker sends one request after another.
type worker struct {
	*run
	sender sender
	tally  *tally
}

func (w *worker) work(sending, alive context.Context) {
	for {
		index, spans := w.schedule.take(sending)
		if spans == 0 {
			return
		}
		r := request{
			template: w.templates.of(index, spans), traces: w.templates.shape.traces, services: w.cfg.Services,
			index: index, first: index*uint64(w.cfg.Request) + 1, now: uint64(time.Now().UnixNano()),
		}
		w.deliver(alive, &r)
	}
}

// deliver sends a request until it is taken, or refused, or given up.
func (w *worker) deliver(alive context.Context, r *request) {
	began := time.Now()
	spans := r.spans()
	for try := 0; ; try++ {
		sent := time.Now()
		ctx, cancel := context.WithDeadline(alive, sent.Add(w.cfg.Timeout))
		o, bytes := w.sender.send(ctx, r)
		cancel()
		w.tally.attempt(o, time.Since(sent), bytes)
		switch {
		case o.verdict == taken:
			w.accept(r, min(o.rejected, spans))
			return
		case o.verdict == refusedForGood:
			w.tally.count(func(t *Report) { t.Refused += spans })
			return
		case o.verdict == refusedForNow && w.cfg.NoRetry:
			w.tally.count(func(t *Report) { t.Refused += spans; t.RefusedRetryable += spans })
			return
		}
		pause := o.after
		if pause == 0 {
			pause = pauseAfter(try)
		}
		late := w.cfg.GiveUp > 0 && time.Since(began)+pause > w.cfg.GiveUp
		if w.cfg.NoRetry || late || wait(alive, pause) != nil {
			w.giveUp(o, spans)
			return
		}
		w.tally.count(func(t *Report) {
			t.Retries++
			if o.verdict == unanswered {
				t.Resent += spans
			}
		})
	}
}

// giveUp counts what will not be sent again: refused, if the last answer says so.
func (w *worker) giveUp(o outcome, spans uint64) {
	w.tally.count(func(t *Report) {
		if o.verdict == refusedForNow {
			t.Refused += spans
		} else {
			t.GivenUp += spans
		}
	})
}

func (w *worker) accept(r *request, rejected uint64) {
	if rejected == 0 && w.acked != nil {
		w.acked.Add(r.numbers())
	}
	w.tally.count(func(t *Report) {
		t.Acknowledged += r.spans() - rejected
		t.Rejected += rejected
	})
}

// pauseAfter doubles from about 50 ms to 1.6 s: short, since what is measured is the receiver, and
// whether it is back.
func pauseAfter(try int) time.Duration {
	d := 50 * time.Millisecond << min(try, 5)
	return d/2 + rand.N(d)
}
