package oteltrace

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// BenchmarkSpan is the life of one root span. "collector" submits to a running
// collector with an exporter that discards; the share of spans that found no room is
// reported as dropped/op, and should be 0. "nowhere" is a provider without one, as an
// official provider without processors.
func BenchmarkSpan(b *testing.B) {
	ctx := context.Background()
	bare := func(tr trace.Tracer) {
		_, s := tr.Start(ctx, "operation")
		s.End()
	}
	five := func(tr trace.Tracer) {
		_, s := tr.Start(ctx, "operation")
		s.SetAttributes(
			attribute.String("http.request.method", "GET"),
			attribute.String("url.path", "/users/12345"),
			attribute.Int("http.response.status_code", 200),
			attribute.String("server.address", "api.example.test"),
			attribute.Bool("cache.hit", true),
		)
		s.End()
	}
	for _, bm := range []struct {
		name    string
		sampler Sampler
		nowhere bool
		do      func(trace.Tracer)
	}{
		{"bare/nowhere", ParentBased(AlwaysSample()), true, bare},
		{"bare/collector", ParentBased(AlwaysSample()), false, bare},
		{"attributes=5/nowhere", ParentBased(AlwaysSample()), true, five},
		{"attributes=5/collector", ParentBased(AlwaysSample()), false, five},
		{"not-sampled/bare", NeverSample(), false, bare},
		{"not-sampled/attributes=5", NeverSample(), false, five},
	} {
		provider := func(b *testing.B) *TracerProvider {
			if bm.nowhere {
				return NewTracerProvider(nil, WithSampler(bm.sampler))
			}
			return discarding(b, WithSampler(bm.sampler))
		}
		b.Run(bm.name, func(b *testing.B) {
			p := provider(b)
			tr := p.Tracer("bench")
			b.ReportAllocs()
			for b.Loop() {
				bm.do(tr)
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

func reportDrops(b *testing.B, p *TracerProvider) {
	if p.collector != nil {
		st := p.collector.Stats()
		b.ReportMetric(float64(st.Dropped.Of(ringtail.ReasonFull))/float64(b.N), "dropped/op")
	}
}

// BenchmarkChildren starts and ends children of one parent in parallel: they have
// nothing to contend for.
func BenchmarkChildren(b *testing.B) {
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

// BenchmarkParts are the steps of a span's life, and what the API itself costs.
func BenchmarkParts(b *testing.B) {
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			startClock.now()
		}
	})
	b.Run("ids", func(b *testing.B) {
		for b.Loop() {
			newTraceID()
			newSpanID()
		}
	})
	b.Run("record", func(b *testing.B) {
		for b.Loop() {
			newRecord().release()
		}
	})
	var sink *span
	b.Run("span", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink = &span{}
		}
	})
	_ = sink
	b.Run("callers-slice", func(b *testing.B) {
		b.ReportAllocs()
		s := trace.SpanFromContext(context.Background())
		for b.Loop() {
			s.SetAttributes(
				attribute.String("http.request.method", "GET"),
				attribute.String("url.path", "/users/12345"),
				attribute.Int("http.response.status_code", 200),
				attribute.String("server.address", "api.example.test"),
				attribute.Bool("cache.hit", true),
			)
		}
	})
	b.Run("set-attributes", func(b *testing.B) {
		kvs := attributes()
		limits := defaultSpanLimits()
		r := newRecord()
		for b.Loop() {
			r.out.Attributes = r.out.Attributes[:0]
			r.setAttributes(kvs, &limits)
		}
	})
}
