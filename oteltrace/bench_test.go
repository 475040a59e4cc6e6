package oteltrace

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// BenchmarkSpan is the life of one root span. "collector" submits to a running
// collector with an exporter that discards. With one goroutine, the collector is flushed
// beside the clock every few thousand spans, so that none finds the ring full, on a
// busy machine either; in parallel there is no such pause, and the share of spans that
// found no room is reported as dropped/op. "nowhere" is a provider without a
// collector, as an official provider without processors, and "metrics" one that is
// measured. The clock is the one that programs have which are not tests.
func BenchmarkSpan(b *testing.B) {
	useCounter(b)
	for _, bm := range []struct {
		name    string
		opts    []Option
		nowhere bool
		do      func(trace.Tracer)
	}{
		{name: "bare/nowhere", nowhere: true, do: bareSpan},
		{name: "bare/collector", do: bareSpan},
		{name: "bare/metrics", opts: []Option{WithMeterProvider(&meters{})}, do: bareSpan},
		{name: "attributes=5/nowhere", nowhere: true, do: fiveAttributes},
		{name: "attributes=5/collector", do: fiveAttributes},
		{name: "attributes=5/readable", opts: []Option{WithSpanType(func(s *ReadWriteSpan) trace.Span { return s })}, do: fiveAttributes},
		{name: "not-sampled/bare", opts: []Option{WithSampler(NeverSample())}, do: bareSpan},
		{name: "not-sampled/attributes=5", opts: []Option{WithSampler(NeverSample())}, do: fiveAttributes},
		{name: "not-sampled/metrics", opts: []Option{WithSampler(NeverSample()), WithMeterProvider(&meters{})}, do: bareSpan},
	} {
		provider := func(b *testing.B) *TracerProvider {
			if bm.nowhere {
				return NewTracerProvider(nil, bm.opts...)
			}
			return discarding(b, bm.opts...)
		}
		b.Run(bm.name, func(b *testing.B) {
			p := provider(b)
			tr := p.Tracer("bench")
			warmUp(b, p, func() { bm.do(tr) })
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				bm.do(tr)
				if i%paced == 0 {
					flushUntimed(b, p)
				}
			}
			reportDrops(b, p)
		})
		b.Run(bm.name+"/parallel", func(b *testing.B) {
			p := provider(b)
			tr := p.Tracer("bench")
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					bm.do(tr)
				}
			})
			reportDrops(b, p)
		})
	}
}

// warmUp lets all of a ring be touched once, before b.Loop starts the clock.
func warmUp(b *testing.B, p *TracerProvider, do func()) {
	for range 10 {
		for range paced {
			do()
		}
		if err := p.ForceFlush(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// paced is how many spans of a benchmark are sure to find room.
const paced = 3000

func flushUntimed(b *testing.B, p *TracerProvider) {
	b.StopTimer()
	if err := p.ForceFlush(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}

func reportDrops(b *testing.B, p *TracerProvider) {
	if p.collector != nil {
		st := p.collector.Stats()
		b.ReportMetric(float64(st.Dropped.Of(ringtail.ReasonFull))/float64(b.N), "dropped/op")
	}
}

func bareSpan(tr trace.Tracer) {
	_, s := tr.Start(context.Background(), "operation")
	s.End()
}

func fiveAttributes(tr trace.Tracer) {
	_, s := tr.Start(context.Background(), "operation")
	setFive(s)
	s.End()
}

// setFive makes the slice for its attributes, as code that is instrumented does.
func setFive(s trace.Span) {
	s.SetAttributes(
		attribute.String("http.request.method", "GET"),
		attribute.String("url.path", "/users/12345"),
		attribute.Int("http.response.status_code", 200),
		attribute.String("server.address", "api.example.test"),
		attribute.Bool("cache.hit", true),
	)
}

// BenchmarkChildren starts and ends children of one parent in parallel: they have
// nothing to contend for.
func BenchmarkChildren(b *testing.B) {
	useCounter(b)
	p := discarding(b)
	tr := p.Tracer("bench")
	ctx, parent := tr.Start(context.Background(), "parent")
	defer parent.End()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, s := tr.Start(ctx, "child")
			s.End()
		}
	})
	reportDrops(b, p)
}

// BenchmarkOneSpan lets goroutines contend for one span, four of them for each processor.
func BenchmarkOneSpan(b *testing.B) {
	_, s := NewTracerProvider(nil).Tracer("bench").Start(context.Background(), "x")
	kvs := attributes()
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.SetAttributes(kvs...)
		}
	})
}

// BenchmarkFloor is what no tracer of this kind can do without, each part by itself:
// the slice that the caller makes for five attributes, also for a span that ignores them;
// the span's memory; its ids; two readings of a clock; and the collector's submit.
func BenchmarkFloor(b *testing.B) {
	useCounter(b)
	b.Run("callers-slice", func(b *testing.B) {
		s := trace.SpanFromContext(context.Background())
		b.ReportAllocs()
		for b.Loop() {
			setFive(s)
		}
	})
	b.Run("memory", func(b *testing.B) {
		var sink *span
		b.ReportAllocs()
		for b.Loop() {
			sink = new(span)
		}
		escape = sink
	})
	b.Run("ids", func(b *testing.B) {
		var s span
		ids := &newRecord().ids
		for b.Loop() {
			ids.traceID(&s.traceID)
			ids.spanID(&s.spanID)
		}
	})
	b.Run("ids/no-record", func(b *testing.B) {
		var s span
		for b.Loop() {
			(*generator)(nil).traceID(&s.traceID)
			(*generator)(nil).spanID(&s.spanID)
		}
	})
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			startClock.now()
			startClock.mono()
		}
	})
	for _, bm := range []struct {
		name       string
		attributes []attribute.KeyValue
	}{{"submit", nil}, {"submit/attributes=5", attributes()}} {
		b.Run(bm.name, func(b *testing.B) {
			p := discarding(b)
			s := &ringtail.Span{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Name: "operation", Start: time.Now(), Attributes: bm.attributes,
				Scope: &ringtail.Scope{Name: "bench"}}
			s.End = s.Start.Add(time.Millisecond)
			warmUp(b, p, func() { _ = p.collector.TrySubmit(s) })
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := p.collector.TrySubmit(s); err != nil {
					b.Fatal(err)
				}
				if i%paced == 0 {
					flushUntimed(b, p)
				}
			}
		})
	}
}

var escape *span

// BenchmarkParts are the steps of a span's life that are this package's own.
func BenchmarkParts(b *testing.B) {
	b.Run("record", func(b *testing.B) {
		for b.Loop() {
			newRecord().release()
		}
	})
	b.Run("lock", func(b *testing.B) {
		s := new(span)
		escape = s
		r := newRecord()
		s.record.put(r)
		for b.Loop() {
			s.record.release(s.record.acquire())
		}
	})
	b.Run("set-attributes", func(b *testing.B) {
		kvs := attributes()
		limits := defaultSpanLimits()
		r := newRecord()
		for b.Loop() {
			clear(r.out.Attributes)
			r.out.Attributes = r.out.Attributes[:0]
			r.setAttributes(kvs, &limits)
		}
	})
}
