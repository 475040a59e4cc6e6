package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// Row 6: memory, a soak, and what the garbage collector notices.

const (
	producers = 16      // LowLatency's maximum
	ringSpans = 1 << 12 // its ring, in spans of 256 bytes
	liveBytes = 16 * mib
)

func memoryRows() []Row {
	const held, soak = "16 producers, rings of 4 Ki spans full", "16 producers, LowLatency()"
	return []Row{
		{
			Description: Description{
				Name: "memory/held", Work: "heap that is taken while 65 536 spans with 5 attributes wait for a backend that does not answer",
				Bar: "documented",
				Fair: "Both are filled until they hold 65 536 spans, with an exporter that blocks, and compared with the heap before they were made;" +
					" Ringtail's figure is its 16 rings of 1 MiB, whatever they hold, and the batch that is stuck.",
				Metric: "MiB heap", Also: []string{"MiB of rings", "B/span held", "MiB resident"},
			},
			Contenders: []Contender{
				{Name: held, Ours: true, Run: oursHeld},
				{Name: "official SDK: queue of 65 536 full", Run: sdkHeld},
			},
		},
		{
			Description: Description{
				Name: soakRow, Work: "heap that is taken at the end, beyond that after the first tenth, of many spans with 5 attributes from 16 goroutines",
				Bar: "no growth (below 1 MiB)",
				Fair: "Live heap after a forced collection, everything flushed, at both points; the exporter counts the spans, all must arrive." +
					" Both wait when they are full.",
				Metric: "MiB growth", Alone: true, Also: []string{"M spans", "MiB of rings", "MiB heap before", "MiB heap after", "MiB resident at most", "CPU ns/span", "pauses", "pause p99 µs", "pause max µs"},
				Checks: []Check{{Contender: soak, Metric: "MiB growth", Limit: 1}},
			},
			Contenders: []Contender{
				{Name: soak, Ours: true, Run: oursSoak},
				{Name: "official SDK: queue of 65 536, blocking", Run: sdkSoak},
			},
		},
		{
			Description: Description{
				Name: "memory/pauses", Work: "the garbage collector's pauses (99th percentile) in a program that allocates much, while 100 000 spans a second with 5 attributes are recorded",
				Bar: "unaffected: see the lines without a collector",
				Fair: "The same program, which churns a live heap of 16 MiB of small objects as fast as it can, for the same time, with a steady 100 spans a millisecond or without;" +
					" the Go runtime's own histogram, of which a bucket's upper bound is given. “M objects/s” is what is left to the program. Ringtail's spans are made for each call, as the SDK's are.",
				Metric: "pause p99 µs", Also: []string{"pause p50 µs", "pause max µs", "pauses", "M objects/s", "M spans"},
			},
			Contenders: []Contender{
				{Name: "HighThroughput(), 100 000 spans/s", Ours: true, Run: pausesWith(oursSteady)},
				{Name: "no spans at all", Run: pausesWith(nil)},
				{Name: "the same spans made, and not submitted", Run: pausesWith(madeSteady)},
				{Name: "official SDK, 100 000 spans/s", Run: pausesWith(sdkSteady)},
			},
		},
	}
}

// stuck is an exporter that takes nothing until it is let go.
type stuck struct{ release chan struct{} }

func (s stuck) Export(context.Context, *ringtail.Batch) error              { <-s.release; return nil }
func (s stuck) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { <-s.release; return nil }
func (s stuck) Shutdown(context.Context) error                             { return nil }

func oursHeld(*Job) (Metrics, error) {
	ctx := context.Background()
	exporter := stuck{make(chan struct{})}
	before, resident := heap(), residentMiB("VmRSS")
	c, err := ringtail.New(exporter, ringtail.LowLatency(), ringtail.WithConcurrentExports(1), ringtail.WithQueueBytes(1<<10))
	if err != nil {
		return nil, err
	}
	span := prebuilt(attributes())
	for range producers {
		p, err := c.Register()
		if err != nil {
			return nil, err
		}
		// The drainer takes spans until its batches are stuck; from then on the ring
		// fills up.
		for held := 0; held < ringSpans; {
			switch err := p.TrySubmit(span); err {
			case nil:
				held++
			case ringtail.ErrFull:
				held = ringSpans
			default:
				return nil, err
			}
		}
	}
	m := Metrics{
		"MiB heap":     float64(heap()-before) / mib,
		"MiB resident": residentMiB("VmRSS") - resident,
	}
	s := c.Stats()
	m["MiB of rings"] = float64(s.RingBytes) / mib
	m["B/span held"] = m["MiB heap"] * mib / float64(s.InFlight)
	close(exporter.release)
	return m, c.Shutdown(ctx)
}

func sdkHeld(*Job) (Metrics, error) {
	ctx := context.Background()
	exporter := stuck{make(chan struct{})}
	before, resident := heap(), residentMiB("VmRSS")
	const spans = producers * ringSpans
	provider, tracer := sdkTracer(sdktrace.NewBatchSpanProcessor(exporter, sdktrace.WithMaxQueueSize(spans)))
	for range spans {
		sdkRecord(ctx, tracer, true)
	}
	m := Metrics{
		"MiB heap":     float64(heap()-before) / mib,
		"MiB resident": residentMiB("VmRSS") - resident,
	}
	m["B/span held"] = m["MiB heap"] * mib / spans
	close(exporter.release)
	return m, provider.Shutdown(ctx)
}

// soaked submits spans from 16 goroutines through submit, which is called with a
// goroutine's number, and compares the heap after a tenth with that at the end. flush
// returns once everything has come to the exporter.
func soaked(j *Job, submit func(g, spans int) error, flush func() error, arrived func() uint64) (Metrics, error) {
	total := j.pick(2_000_000, 20_000)
	if j.Soak > 0 {
		total = j.Soak
	}
	sent := 0
	part := func(spans int) error {
		errs := make([]error, producers)
		var wg sync.WaitGroup
		for g := range producers {
			wg.Go(func() { errs[g] = submit(g, spans/producers) })
			sent += spans / producers
		}
		wg.Wait()
		return errors.Join(append(errs, flush())...)
	}
	m := Metrics{}
	watch := watchPauses()
	if err := part(total / 10); err != nil {
		return nil, err
	}
	before := heap()
	user, system := cpuTime()
	sentBefore := sent
	if err := part(total - total/10); err != nil {
		return nil, err
	}
	userAfter, systemAfter := cpuTime()
	watch.addTo(m)
	after := heap()
	if got := arrived(); got != uint64(sent) {
		return nil, fmt.Errorf("%d spans were submitted, and %d arrived", sent, got)
	}
	m["M spans"] = float64(sent) / 1e6
	m["MiB heap before"] = float64(before) / mib
	m["MiB heap after"] = float64(after) / mib
	m["MiB growth"] = (float64(after) - float64(before)) / mib
	m["MiB resident at most"] = residentMiB("VmHWM")
	m["CPU ns/span"] = float64(userAfter-user+systemAfter-system) / float64(sent-sentBefore)
	return m, nil
}

func oursSoak(j *Job) (Metrics, error) {
	ctx := context.Background()
	var exporter counter
	c, err := ringtail.New(&exporter, ringtail.LowLatency())
	if err != nil {
		return nil, err
	}
	ps := make([]*ringtail.Producer, producers)
	spans := make([]*ringtail.Span, producers)
	for g := range ps {
		spans[g] = prebuilt(attributes())
		if ps[g], err = c.Register(); err != nil {
			return nil, err
		}
	}
	m, err := soaked(j, func(g, n int) error {
		for range n {
			if err := ps[g].Submit(ctx, spans[g]); err != nil {
				return err
			}
		}
		return nil
	}, func() error { return c.Flush(ctx) }, exporter.spans.Load)
	if err != nil {
		return nil, err
	}
	m["MiB of rings"] = float64(c.Stats().RingBytes) / mib
	return m, c.Shutdown(ctx)
}

func sdkSoak(j *Job) (Metrics, error) {
	ctx := context.Background()
	var exporter sdkCounter
	processor := sdktrace.NewBatchSpanProcessor(&exporter, sdktrace.WithMaxQueueSize(producers*ringSpans), sdktrace.WithBlocking())
	provider, tracer := sdkTracer(processor)
	m, err := soaked(j, func(_, n int) error {
		for range n {
			sdkRecord(ctx, tracer, true)
		}
		return nil
	}, func() error { return provider.ForceFlush(ctx) }, exporter.spans.Load)
	if err != nil {
		return nil, err
	}
	return m, provider.Shutdown(ctx)
}

// steady records one span.
type steady struct {
	record func() error
	close  func() error
}

func oursSteady() (*steady, error) {
	ctx := context.Background()
	c, err := ringtail.New(new(counter), ringtail.HighThroughput(), ringtail.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	span := prebuilt(nil)
	return &steady{
		record: func() error { remake(span); return c.Submit(ctx, span) },
		close:  func() error { return c.Shutdown(ctx) },
	}, nil
}

// madeSteady makes spans as oursSteady does, and leaves it at that.
func madeSteady() (*steady, error) {
	span := prebuilt(nil)
	return &steady{
		record: func() error { remake(span); return nil },
		close:  func() error { return nil },
	}, nil
}

func sdkSteady() (*steady, error) {
	ctx := context.Background()
	provider, tracer := sdkTracer(sdktrace.NewBatchSpanProcessor(new(sdkCounter), sdktrace.WithMaxQueueSize(1<<16), sdktrace.WithBlocking()))
	return &steady{
		record: func() error { sdkRecord(ctx, tracer, true); return nil },
		close:  func() error { return provider.Shutdown(ctx) },
	}, nil
}

// node is what the program that allocates much is made of.
type node struct {
	next *node
	_    [48]byte
}

// pausesWith runs a program that allocates much, beside one that records spans.
func pausesWith(start func() (*steady, error)) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		const tick, spansPerTick = time.Millisecond, 100
		lasts := time.Duration(j.pick(4000, 200)) * time.Millisecond
		live := make([]*node, liveBytes/64/4) // lists of four
		churn := func(i int) {
			var list *node
			for range 4 {
				list = &node{next: list}
			}
			live[i%len(live)] = list
		}
		for i := range live {
			churn(i)
		}
		runtime.GC()

		stop := make(chan struct{})
		recorded, failed := 0, error(nil)
		var wg sync.WaitGroup
		if start != nil {
			s, err := start()
			if err != nil {
				return nil, err
			}
			wg.Go(func() {
				began := time.Now()
				ticker := time.NewTicker(tick)
				defer ticker.Stop()
				for failed == nil {
					select {
					case <-stop:
						failed = s.close()
						return
					case <-ticker.C:
					}
					// A ticker that was late is made up for.
					for due := int(time.Since(began)/tick) * spansPerTick; recorded < due && failed == nil; recorded++ {
						failed = s.record()
					}
				}
			})
		}

		watch := watchPauses()
		began, churned := time.Now(), 0
		for time.Since(began) < lasts {
			for range 1000 {
				churn(churned)
				churned++
			}
		}
		took := time.Since(began)
		m := Metrics{"M objects/s": float64(4*churned) / 1e6 / took.Seconds()}
		watch.addTo(m)
		close(stop)
		wg.Wait()
		m["M spans"] = float64(recorded) / 1e6
		runtime.KeepAlive(live)
		return m, failed
	}
}
