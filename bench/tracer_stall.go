package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// What is lost while a backend does not answer for a while.

func tracerStallRow() Row {
	const ours = "oteltrace, as it comes"
	return Row{
		Description: Description{
			Name: "tracer/stall", Work: "spans that are dropped when the backend hangs for 10 s, at 20 000 spans with 5 attributes a second",
			Bar: "none within the configured memory",
			Fair: "One second before the stall, and two behind it, at the same steady 20 spans a millisecond, over OTLP/gRPC to a receiver that answers" +
				" nothing for 10 s, then what came meanwhile, and goes on; Shutdown has a minute. Both give a request 10 s: one that came as the stall began may run into that, and is tried again by Ringtail." +
				" Dropped is what ended and was not received by then; Ringtail's is its own count, which must explain every span that was not received." +
				" As they come, the SDK has a queue of 2048 spans, and a collector 64 MiB for batches and a ring of 2 MiB for each processor." +
				" The SDK with a queue for 262 144 spans shows what it takes for it to do the same.",
			Metric: "spans dropped", Also: []string{"dropped %", "M spans", "MiB resident at most"},
			Checks: []Check{{Contender: ours, Metric: "spans dropped", Limit: 0}},
			Rounds: 1,
		},
		Contenders: []Contender{
			{Name: ours, Ours: true, Run: stalled(oursDefault)},
			{Name: "official SDK, as it comes", Run: stalled(func(to *sink) (*tracing, error) { return sdkDefault(to) })},
			{Name: "official SDK, queue of 262 144", Run: stalled(func(to *sink) (*tracing, error) {
				return sdkDefault(to, sdktrace.WithMaxQueueSize(1<<18))
			})},
		},
	}
}

// toSink makes what one contender traces with.
type toSink func(*sink) (*tracing, error)

func stalled(of toSink) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		const tick, spansPerTick = time.Millisecond, 20
		before, stall, after := time.Second, 10*time.Second, 2*time.Second
		if j.Quick {
			before, stall, after = before/20, stall/20, after/20
		}
		// That exports fail is the point, and no reason to fail the run.
		slog.SetDefault(slog.New(slog.DiscardHandler))
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
		to, err := startSink()
		if err != nil {
			return nil, err
		}
		defer to.stop()
		t, err := of(to)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		tracer := t.Tracer("bench")
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		began, ended := time.Now(), 0
		steady := func(until time.Duration) {
			for now := time.Duration(0); now < until; {
				<-ticker.C
				now = min(time.Since(began), until)
				// A ticker that was late is made up for.
				for due := int(now/tick) * spansPerTick; ended < due; ended++ {
					five(ctx, tracer)
				}
			}
		}
		steady(before)
		if err := to.stall(stall); err != nil {
			return nil, err
		}
		steady(before + stall + after)
		if err := t.shutdown(ctx); err != nil {
			return nil, err
		}
		received, _, _, err := to.count()
		if err != nil {
			return nil, err
		}
		dropped := max(0, ended-int(received)) // what was sent twice was received twice
		if t.ledger != nil {
			s := t.ledger()
			if dropped = int(s.Dropped.Total()); int(s.Submitted) != ended || int(received) < ended-dropped {
				return nil, fmt.Errorf("%d spans ended, and %d were received; the ledger: %s", ended, received, s)
			}
		}
		return Metrics{
			"spans dropped":        float64(dropped),
			"dropped %":            100 * float64(dropped) / float64(ended),
			"M spans":              float64(ended) / 1e6,
			"MiB resident at most": residentMiB("VmHWM"),
		}, nil
	}
}
