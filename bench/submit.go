package main

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// Rows 1 to 3: what it costs the caller to hand a span over, while the consumer
// runs and its exporter does nothing. See pace for how it is timed.

const submitFair = "All are called back to back with a span that is in the cache, are timed in blocks of 64 by the same code, and" +
	" pause outside the timed part when their queue is three quarters full; allocations are those of the whole process, batches included." +
	" Ringtail encodes in the timed part, from a prebuilt span; the SDK's OnEnd does less, it queues a pointer and leaves the encoding for later;" +
	" its Start … End does more, ids and the clock, which the line “made for each call” has in the timed part too." +
	" Two goroutines begin each burst of 256 spans together, on two cores which they share with the consumer."

func submitRows() []Row {
	also := []string{"p50 ns/span", "p99 ns/span", "allocs/span", "B/span on heap", "refused %"}
	const low, high = "Producer.TrySubmit, LowLatency()", "Producer.TrySubmit, HighThroughput()"
	const allocs = 0.05 // what a batch allocates, spread over its spans, is below this
	return []Row{
		{
			Description: Description{
				Name: "submit/bare", Work: "one goroutine submits a span without attributes",
				Bar: "mean ≤ 40 ns, 0 allocations", Fair: submitFair,
				Metric: "ns/span", Also: also,
				Checks: []Check{
					{Contender: low, Metric: "ns/span", Limit: 40}, {Contender: low, Metric: "allocs/span", Limit: allocs},
					{Contender: high, Metric: "ns/span", Limit: 40}, {Contender: high, Metric: "allocs/span", Limit: allocs},
				},
			},
			Contenders: []Contender{
				{Name: low, Ours: true, Run: oursPaced(viaProducer, false, ringtail.LowLatency())},
				{Name: high, Ours: true, Run: oursPaced(viaProducer, false, ringtail.HighThroughput())},
				{Name: "official SDK: BatchSpanProcessor.OnEnd of an ended span", Run: sdkPaced(1, true, false)},
				{Name: "official SDK: Start, End", Run: sdkPaced(1, false, false)},
			},
		},
		{
			Description: Description{
				Name: "submit/attributes", Work: "the same with 5 attributes (3 strings, 1 int, 1 bool)",
				Bar:    "mean ≤ 90 ns, 0 allocations, p99 of blocks of 64 < 100 ns a span",
				Fair:   submitFair,
				Metric: "ns/span", Also: append([]string{"B encoded"}, also...),
				Checks: []Check{
					{Contender: low, Metric: "ns/span", Limit: 90}, {Contender: low, Metric: "allocs/span", Limit: allocs},
					{Contender: low, Metric: "p99 ns/span", Limit: 100},
					{Contender: high, Metric: "ns/span", Limit: 90}, {Contender: high, Metric: "allocs/span", Limit: allocs},
					{Contender: high, Metric: "p99 ns/span", Limit: 100},
				},
			},
			Contenders: []Contender{
				{Name: low, Ours: true, Run: oursPaced(viaProducer, true, ringtail.LowLatency())},
				{Name: high, Ours: true, Run: oursPaced(viaProducer, true, ringtail.HighThroughput())},
				{Name: high + ", ids, times and attributes made for each call", Ours: true, Run: oursPaced(viaProducerMade, true, ringtail.HighThroughput())},
				{Name: "official SDK: BatchSpanProcessor.OnEnd of an ended span", Run: sdkPaced(1, true, true)},
				{Name: "official SDK: Start, SetAttributes, End", Run: sdkPaced(1, false, true)},
			},
		},
		sharedRow(also, allocs),
	}
}

func sharedRow(also []string, allocs float64) Row {
	const one, two = "Collector.TrySubmit, 1 goroutine", "Collector.TrySubmit, 2 goroutines"
	return Row{
		Description: Description{
			Name: "submit/shared", Work: "any goroutine submits the span with 5 attributes; time a span a goroutine",
			Bar:    "≤ 110 ns, 0 allocations, no slower a span with 2 goroutines on 2 cores than with 1",
			Fair:   submitFair,
			Metric: "ns/span", Also: append([]string{"M spans/s"}, also...),
			Checks: []Check{
				{Contender: one, Metric: "ns/span", Limit: 110}, {Contender: one, Metric: "allocs/span", Limit: allocs},
				{Contender: two, Metric: "ns/span", Limit: 110}, {Contender: two, Metric: "allocs/span", Limit: allocs},
				{Contender: two, Metric: "ns/span", Limit: 1, Times: one},
			},
		},
		Contenders: []Contender{
			{Name: one, Ours: true, Run: oursPaced(viaCollector(1), true, ringtail.HighThroughput())},
			{Name: two, Ours: true, Run: oursPaced(viaCollector(2), true, ringtail.HighThroughput())},
			{Name: "official SDK: BatchSpanProcessor.OnEnd, 1 goroutine", Run: sdkPaced(1, true, true)},
			{Name: "official SDK: BatchSpanProcessor.OnEnd, 2 goroutines", Run: sdkPaced(2, true, true)},
			{Name: "official SDK: Start, SetAttributes, End, 1 goroutine", Run: sdkPaced(1, false, true)},
			{Name: "official SDK: Start, SetAttributes, End, 2 goroutines", Run: sdkPaced(2, false, true)},
		},
	}
}

// way makes the hands that submit to a collector.
type way func(c *ringtail.Collector, attrs bool) ([]func() int, error)

func newSpan(attrs bool) *ringtail.Span {
	if attrs {
		return prebuilt(attributes())
	}
	return prebuilt(nil)
}

func viaProducer(c *ringtail.Collector, attrs bool) ([]func() int, error) {
	p, err := c.Register()
	s := newSpan(attrs)
	return []func() int{func() (refused int) {
		for range blockSpans {
			if p.TrySubmit(s) != nil {
				refused++
			}
		}
		return refused
	}}, err
}

func viaProducerMade(c *ringtail.Collector, attrs bool) ([]func() int, error) {
	p, err := c.Register()
	s := newSpan(attrs)
	return []func() int{func() (refused int) {
		for range blockSpans {
			remake(s)
			if p.TrySubmit(s) != nil {
				refused++
			}
		}
		return refused
	}}, err
}

func viaCollector(goroutines int) way {
	return func(c *ringtail.Collector, attrs bool) ([]func() int, error) {
		hands := make([]func() int, goroutines)
		for g := range hands {
			s := newSpan(attrs)
			hands[g] = func() (refused int) {
				for range blockSpans {
					if c.TrySubmit(s) != nil {
						refused++
					}
				}
				return refused
			}
		}
		return hands, nil
	}
}

// oursPaced is a contender that submits in one way.
func oursPaced(via way, attrs bool, preset ringtail.Option) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		ctx := context.Background()
		var exporter counter
		c, err := ringtail.New(&exporter, preset)
		if err != nil {
			return nil, err
		}
		hands, err := via(c, attrs)
		if err != nil {
			return nil, err
		}
		// What a span takes says how many fit a ring.
		for _, hand := range hands {
			hand()
		}
		if err := c.Flush(ctx); err != nil {
			return nil, err
		}
		offset := exporter.spans.Load()
		size := exporter.bytes.Load() / offset
		t := &target{
			hands:   hands,
			room:    c.Stats().RingBytes / int(size),
			arrived: func() uint64 { return exporter.spans.Load() - offset },
			flush:   func() error { return c.Flush(ctx) },
			close:   func() error { return c.Shutdown(ctx) },
		}
		m, err := pace(t, j.pick(50_000, 200)/len(hands))
		if err != nil {
			return nil, err
		}
		if s := c.Stats(); s.Submitted != s.Exported+s.Dropped.Total() || s.Dropped.Total() != s.Dropped.Of(ringtail.ReasonFull) {
			return nil, fmt.Errorf("the ledger does not balance: %s", s)
		}
		m["B encoded"] = float64(exporter.bytes.Load()) / float64(exporter.spans.Load())
		return m, nil
	}
}

// sdkPaced is a contender that hands spans to the official SDK: ended ones straight
// to the batch processor, or by recording them. The queue is of the size of
// HighThroughput's ring; the rest is as the SDK has it by default.
func sdkPaced(goroutines int, ended, attrs bool) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		ctx := context.Background()
		var exporter sdkCounter
		const room = 1 << 16
		processor := sdktrace.NewBatchSpanProcessor(&exporter, sdktrace.WithMaxQueueSize(room))
		provider, tracer := sdkTracer(processor)
		span := sdkEnded(attrs)
		t := &target{
			room:    room,
			arrived: exporter.spans.Load,
			flush:   func() error { return processor.ForceFlush(ctx) },
			close:   func() error { return provider.Shutdown(ctx) },
		}
		for range goroutines {
			hand := func() int {
				for range blockSpans {
					sdkRecord(ctx, tracer, attrs)
				}
				return 0
			}
			if ended {
				hand = func() int {
					for range blockSpans {
						processor.OnEnd(span)
					}
					return 0
				}
			}
			t.hands = append(t.hands, hand)
		}
		return pace(t, j.pick(12_500, 100)/goroutines)
	}
}
