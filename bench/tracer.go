package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/otelsdk"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// What a span costs the code that is traced, from Start to End, while the consumer runs
// and its exporter does nothing. See pace for how it is timed.

const tracerFair = "The same function makes the spans for all, through the API: root spans, whose attributes have the same values and are in a slice made for each" +
	" span. They are timed in blocks of 64, back to back. All have room for 65 536 spans and else their defaults (batches of 512 spans in the SDK, of 4096 in Ringtail)," +
	" and pause outside the timed part when it is three quarters full, so that nothing is dropped: unless each span has come to the exporter, the run fails. The exporter counts" +
	" spans and forgets them. Allocations are those of the whole process, batches included; Ringtail has encoded its spans by then, and the SDK leaves that to a real" +
	" exporter. The lines with otelsdk have the SDK's provider, and another batch processor. Two goroutines begin each burst of 256 spans together, on two cores which they share" +
	" with the consumer. All have 64 MiB on the heap besides, as programs have some: without it the garbage collector would run all the time for those who" +
	" have no large rings, as it does in the line that says so. The floor is what the API costs with its own no-op provider: the caller's slice and a context. The second floor adds what" +
	" no provider can leave out for a span that is sampled, 24 random bytes for its ids and two looks at the clock."

func tracerRows() []Row {
	const (
		ours  = "oteltrace"
		sdk   = "official SDK"
		alone = "official SDK, nothing else on the heap"
		floor = "floor: no-op provider"
		must  = "floor: no-op provider, ids, clock"
	)
	also := []string{"p50 ns/span", "p99 ns/span", "allocs/span", "B/span on heap"}
	attributesRow := func(name, work string, goroutines int) Row {
		return Row{
			Description: Description{
				Name: name, Work: work,
				Bar: "≥ 5× faster than the SDK, ≤ 2 allocations, ≤ 600 B", Fair: tracerFair,
				Metric: "ns/span", Also: append([]string{"M spans/s"}, also...),
				Checks: []Check{
					{Contender: ours, Metric: "ns/span", Limit: 1. / 5, Times: sdk},
					{Contender: ours, Metric: "allocs/span", Limit: 2.05}, // what a batch allocates, spread over its spans, is less than this
					{Contender: ours, Metric: "B/span on heap", Limit: 600},
				},
			},
			Contenders: append(inProgram(
				Contender{Name: ours, Ours: true, Run: livesPaced(oursNull(oteltrace.AlwaysSample()), goroutines, five)},
				Contender{Name: "otelsdk.NewBatchSpanProcessor in the official SDK, to our exporter", Ours: true, Run: livesPaced(sdkOursNull, goroutines, five)},
				Contender{Name: "otelsdk.NewBatchSpanProcessor in the official SDK, to an exporter of the SDK", Ours: true, Run: livesPaced(sdkNull(otelsdk.NewBatchSpanProcessor, sdktrace.AlwaysSample()), goroutines, five)},
				Contender{Name: sdk, Run: livesPaced(sdkNull(sdktrace.NewBatchSpanProcessor, sdktrace.AlwaysSample()), goroutines, five)},
				Contender{Name: floor, Run: livesPaced(noneNull, goroutines, five)},
				Contender{Name: must, Run: livesPaced(noneNull, goroutines, withDuties(five))},
			), Contender{Name: alone, Run: livesPaced(sdkNull(sdktrace.NewBatchSpanProcessor, sdktrace.AlwaysSample()), goroutines, five)}),
		}
	}
	return []Row{
		attributesRow("tracer/attributes", "one goroutine: Start, SetAttributes with 5 of them, End; sampled", 1),
		attributesRow("tracer/attributes-2", "the same with two goroutines, on two cores; time a span a goroutine", 2),
		{
			Description: Description{
				Name: "tracer/bare", Work: "one goroutine: Start, End; sampled",
				Bar: "≤ 120 ns, 1 allocation", Fair: tracerFair,
				Metric: "ns/span", Also: also,
				Checks: []Check{
					{Contender: ours, Metric: "ns/span", Limit: 120},
					{Contender: ours, Metric: "allocs/span", Limit: 1.05},
				},
			},
			Contenders: inProgram(
				Contender{Name: ours, Ours: true, Run: livesPaced(oursNull(oteltrace.AlwaysSample()), 1, bare)},
				Contender{Name: sdk, Run: livesPaced(sdkNull(sdktrace.NewBatchSpanProcessor, sdktrace.AlwaysSample()), 1, bare)},
				Contender{Name: floor, Run: livesPaced(noneNull, 1, bare)},
				Contender{Name: must, Run: livesPaced(noneNull, 1, withDuties(bare))},
			),
		},
		{
			Description: Description{
				Name: "tracer/not-sampled", Work: "one goroutine: Start, SetAttributes with 5 of them, End of a span that the sampler drops",
				Bar: "≥ 2.5× faster than the SDK, ≤ 2 allocations", Fair: tracerFair,
				Metric: "ns/span", Also: also,
				Checks: []Check{
					{Contender: ours, Metric: "ns/span", Limit: 1 / 2.5, Times: sdk},
					{Contender: ours, Metric: "allocs/span", Limit: 2.05},
				},
			},
			Contenders: inProgram(
				Contender{Name: ours, Ours: true, Run: livesPaced(unsampled(oursNull(oteltrace.NeverSample())), 1, five)},
				Contender{Name: sdk, Run: livesPaced(unsampled(sdkNull(sdktrace.NewBatchSpanProcessor, sdktrace.NeverSample())), 1, five)},
				Contender{Name: floor, Run: livesPaced(noneNull, 1, five)},
			),
		},
	}
}

// provider makes what one contender traces with.
type provider func() (*tracing, error)

func oursNull(sampler oteltrace.Sampler) provider {
	return func() (*tracing, error) { return oursTracing(export.Null(), roomBits, sampling(sampler)) }
}

func sdkNull(processor newProcessor, sampler sdktrace.Sampler) provider {
	return func() (*tracing, error) {
		return sdkTracing(new(sdkCounter), 1<<roomBits, sampler, processor, sdktrace.WithMaxQueueSize(1<<roomBits)), nil
	}
}

// sdkOursNull is the official provider with our processor, which is handed our exporter
// as it is: the tally is inside, where our processor looks for it.
func sdkOursNull() (*tracing, error) {
	tally := &oursTally{Exporter: export.Null()}
	p := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSpanProcessor(
		otelsdk.NewBatchSpanProcessor(otelsdk.NewSpanExporter(tally), sdktrace.WithMaxQueueSize(1<<roomBits))))
	return &tracing{
		TracerProvider: p,
		room:           1 << roomBits,
		arrived:        tally.spans.Load,
		flush:          p.ForceFlush,
		shutdown:       p.Shutdown,
	}, nil
}

func noneNull() (*tracing, error) { return noTracing(), nil }

// unsampled is a provider none of whose spans may arrive.
func unsampled(of provider) provider {
	return func() (*tracing, error) {
		t, err := of()
		if err != nil {
			return nil, err
		}
		arrived, shutdown := t.arrived, t.shutdown
		t.room, t.nowhere, t.arrived = unbounded, true, func() uint64 { return 0 }
		t.shutdown = func(ctx context.Context) error {
			if err := shutdown(ctx); err != nil {
				return err
			}
			if n := arrived(); n > 0 {
				return fmt.Errorf("%d spans arrived that were not sampled", n)
			}
			return nil
		}
		return t, nil
	}
}

// withDuties adds what no provider can leave out.
func withDuties(live life) life {
	return func(ctx context.Context, tracer trace.Tracer) {
		start := time.Now()
		var ids [24]byte
		binary.LittleEndian.PutUint64(ids[:], rand.Uint64())
		binary.LittleEndian.PutUint64(ids[8:], rand.Uint64())
		binary.LittleEndian.PutUint64(ids[16:], rand.Uint64())
		live(ctx, tracer)
		if time.Since(start) < 0 || ids == [24]byte{} {
			panic("the clock or chance does not work") // else the compiler could leave them out
		}
	}
}

// livesPaced is a contender that lets spans live.
func livesPaced(of provider, goroutines int, live life) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		ctx := context.Background()
		tr, err := of()
		if err != nil {
			return nil, err
		}
		t := &target{
			room:    tr.room,
			arrived: tr.arrived,
			flush:   func() error { return tr.flush(ctx) },
			close:   func() error { return tr.shutdown(ctx) },
		}
		var lived atomic.Uint64
		if tr.nowhere {
			t.arrived = lived.Load
		}
		for range goroutines {
			tracer := tr.Tracer("bench")
			t.hands = append(t.hands, func() int {
				for range blockSpans {
					live(ctx, tracer)
				}
				lived.Add(blockSpans)
				return 0
			})
		}
		return pace(t, j.pick(12_500, 100)/goroutines)
	}
}
