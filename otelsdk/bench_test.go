package otelsdk

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// nothing is an exporter of ours that takes no time.
type nothing struct{}

func (nothing) Export(context.Context, *ringtail.Batch) error { return nil }
func (nothing) Shutdown(context.Context) error                { return nil }

// BenchmarkOnEnd ends one and the same span again and again. What makes it fair: every
// processor has the official options, a queue of 64 Ki spans, and blocks when that is
// full, so that none is fast by dropping; the time includes the drainer's and the
// exporter's, until everything is delivered. The span is a snapshot of the official
// SDK, with five attributes.
func BenchmarkOnEnd(b *testing.B) {
	span := fiveAttributes()
	opts := []sdktrace.BatchSpanProcessorOption{sdktrace.WithMaxQueueSize(1 << 16), sdktrace.WithBlocking()}
	for _, p := range []struct {
		name  string
		start func() sdktrace.SpanProcessor
	}{
		{"official", func() sdktrace.SpanProcessor {
			return sdktrace.NewBatchSpanProcessor(tracetest.NewNoopExporter(), opts...)
		}},
		{"typed", func() sdktrace.SpanProcessor {
			return NewBatchSpanProcessor(tracetest.NewNoopExporter(), opts...)
		}},
		{"official to our exporter", func() sdktrace.SpanProcessor {
			return sdktrace.NewBatchSpanProcessor(NewSpanExporter(nothing{}), opts...)
		}},
		{"encoded to our exporter", func() sdktrace.SpanProcessor {
			return NewBatchSpanProcessor(NewSpanExporter(nothing{}), opts...)
		}},
	} {
		b.Run(p.name+"/one", func(b *testing.B) {
			end(b, p.start(), func(p sdktrace.SpanProcessor) {
				for range b.N {
					p.OnEnd(span)
				}
			})
		})
		b.Run(p.name+"/parallel", func(b *testing.B) {
			end(b, p.start(), func(p sdktrace.SpanProcessor) {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						p.OnEnd(span)
					}
				})
			})
		})
	}
}

// BenchmarkOnEndPaced ends a span every 20 µs and reports what OnEnd alone takes, as an
// application that is not a loop sees it.
func BenchmarkOnEndPaced(b *testing.B) {
	span := fiveAttributes()
	for _, p := range []struct {
		name  string
		start func() sdktrace.SpanProcessor
	}{
		{"official", func() sdktrace.SpanProcessor {
			return sdktrace.NewBatchSpanProcessor(tracetest.NewNoopExporter())
		}},
		{"typed", func() sdktrace.SpanProcessor { return NewBatchSpanProcessor(tracetest.NewNoopExporter()) }},
		{"encoded", func() sdktrace.SpanProcessor { return NewBatchSpanProcessor(NewSpanExporter(nothing{})) }},
	} {
		b.Run(p.name, func(b *testing.B) {
			end(b, p.start(), func(p sdktrace.SpanProcessor) {
				var inside time.Duration
				for range b.N {
					begun := time.Now()
					p.OnEnd(span)
					took := time.Since(begun)
					inside += took
					for time.Since(begun) < 20*time.Microsecond {
					}
				}
				b.ReportMetric(float64(inside)/float64(b.N), "ns-in-OnEnd/op")
			})
		})
	}
}

func end(b *testing.B, p sdktrace.SpanProcessor, spans func(sdktrace.SpanProcessor)) {
	b.ReportAllocs()
	b.ResetTimer()
	spans(p)
	if err := p.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func fiveAttributes() sdktrace.ReadOnlySpan {
	recorder := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	_, s := p.Tracer("github.com/example/shop").Start(context.Background(), "GET /users/{id}", trace.WithSpanKind(trace.SpanKindServer))
	s.SetAttributes(attribute.String("http.request.method", "GET"), attribute.String("url.path", "/users/123"),
		attribute.String("http.route", "/users/{id}"), attribute.Int("http.response.status_code", 200), attribute.Bool("cached", false))
	s.End()
	return recorder.Ended()[0]
}
