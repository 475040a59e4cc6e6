package ringtail

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

func benchSpan(attrs int) *Span {
	now := time.Now()
	s := &Span{
		TraceID: trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		SpanID:  trace.SpanID{1, 2, 3, 4, 5, 6, 7, 8}, ParentID: trace.SpanID{8, 7, 6, 5, 4, 3, 2, 1},
		Flags: 1, Name: "GET /api/users/{id}", Kind: trace.SpanKindServer, Start: now, End: now.Add(time.Millisecond),
	}
	s.Attributes = []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("url.path", "/api/users/12345"),
		attribute.String("server.address", "users.internal"),
		attribute.Int("http.response.status_code", 200),
		attribute.Bool("cache.hit", true),
	}[:attrs]
	return s
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{0, 5} {
		b.Run([]string{0: "bare", 5: "attributes=5"}[n], func(b *testing.B) {
			s := benchSpan(n)
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = appendSpan(buf[:0], s)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
