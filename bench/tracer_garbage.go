package main

import (
	"runtime"
	"runtime/metrics"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// What tracing leaves to the garbage collector.

func tracerGarbageRow() Row {
	const ours = "oteltrace"
	return Row{
		Description: Description{
			Name: "tracer/garbage", Work: "what 10 million spans with 5 attributes leave to the garbage collector",
			Bar: "shown side by side",
			Fair: "The same function makes root spans for all from one goroutine, as fast as it goes, and the exporter counts and forgets them; all must have come to it." +
				" Both have their defaults, room for 2048 spans and rings for 8192 each; when it is full the SDK waits (WithBlocking), and the goroutine of oteltrace's line sleeps, or flushes, when it is three quarters full." +
				" GOGC is 100, and there is nothing else on the heap: of the same garbage, a larger heap, such as one with rings, is collected more rarely. The collector's processor time is the runtime's own estimate, idle time that it used included. Heap at most: objects, dead ones" +
				" included, looked at once a millisecond.",
			Metric: "B/span on heap", Also: []string{"allocs/span", "GC cycles", "GC CPU s", "MiB heap at most", "CPU ns/span", "M spans"},
			Rounds: 2,
		},
		Contenders: []Contender{
			{Name: ours, Ours: true, Run: garbage(func() (*tracing, error) {
				return oursTracing(export.Null(), defaultBits, sampling(oteltrace.AlwaysSample()))
			})},
			{Name: "official SDK", Run: garbage(func() (*tracing, error) {
				return sdkTracing(new(sdkCounter), unbounded, sdktrace.AlwaysSample(), sdktrace.NewBatchSpanProcessor, sdktrace.WithBlocking()), nil
			})},
			{Name: "floor: no-op provider", Run: garbage(noneNull)},
		},
	}
}

// garbage is a contender that lets many spans live and looks at the collector.
func garbage(of provider) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		t, err := of()
		if err != nil {
			return nil, err
		}
		spans := j.pick(10_000_000, 20_000)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		gcBefore := gcSeconds()
		user, system := cpuTime()
		most := watchHeap()
		if err := t.record(spans, five); err != nil {
			return nil, err
		}
		heap := most()
		userAfter, systemAfter := cpuTime()
		runtime.ReadMemStats(&after)
		runtime.GC() // the runtime brings its account of time up to date at the end of a cycle
		gc := gcSeconds() - gcBefore
		if !t.nowhere {
			if err := t.complete(spans); err != nil {
				return nil, err
			}
		}
		n := float64(spans)
		return Metrics{
			"B/span on heap":   float64(after.TotalAlloc-before.TotalAlloc) / n,
			"allocs/span":      float64(after.Mallocs-before.Mallocs) / n,
			"GC cycles":        float64(after.NumGC - before.NumGC),
			"GC CPU s":         gc,
			"MiB heap at most": float64(heap) / mib,
			"CPU ns/span":      float64(userAfter-user+systemAfter-system) / n,
			"M spans":          n / 1e6,
		}, nil
	}
}

func gcSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64()
}

// watchHeap looks at the heap once a millisecond, until the function that it returns is
// called, which tells how many bytes of objects there were at most.
func watchHeap() func() uint64 {
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for bytes := uint64(0); ; {
			metrics.Read(s)
			bytes = max(bytes, s[0].Value.Uint64())
			select {
			case <-stop:
				most <- bytes
				return
			case <-ticker.C:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-most
	}
}
