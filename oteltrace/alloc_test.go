package oteltrace

import (
	"context"
	"log/slog"
	"testing"
	"unsafe"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

func TestSpanSize(t *testing.T) {
	if size := unsafe.Sizeof(span{}); unsafe.Sizeof(uintptr(0)) == 8 && size != 64 {
		t.Errorf("a span has %d bytes; see its comment", size)
	}
}

func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	ctx := context.Background()
	remoteCtx, _ := remote(trace.FlagsSampled, "")
	kvs := attributes()
	for _, tt := range []struct {
		name    string
		sampler Sampler
		want    float64
		do      func(trace.Tracer)
	}{
		{"bare", AlwaysSample(), 1, func(tr trace.Tracer) {
			_, s := tr.Start(ctx, "x")
			s.End()
		}},
		{"attributes", AlwaysSample(), 1, func(tr trace.Tracer) {
			_, s := tr.Start(ctx, "x")
			s.SetAttributes(kvs...)
			s.End()
		}},
		{"attributes of the caller's", AlwaysSample(), 2, func(tr trace.Tracer) {
			_, s := tr.Start(ctx, "x")
			s.SetAttributes(attribute.Int("a", 1), attribute.String("b", "c"))
			s.End()
		}},
		{"child", ParentBased(AlwaysSample()), 2, func(tr trace.Tracer) {
			ctx, s := tr.Start(ctx, "x")
			_, child := tr.Start(ctx, "y")
			child.End()
			s.End()
		}},
		{"not sampled", NeverSample(), 1, func(tr trace.Tracer) {
			_, s := tr.Start(ctx, "x")
			s.SetAttributes(kvs...)
			s.End()
		}},
		{"remote parent", ParentBased(AlwaysSample()), 1, func(tr trace.Tracer) {
			_, s := tr.Start(remoteCtx, "x")
			s.End()
		}},
		{"a sampler that has to be asked", byName{}, 1, func(tr trace.Tracer) {
			_, s := tr.Start(remoteCtx, "sample")
			s.End()
		}},
		{"setters", AlwaysSample(), 1, func(tr trace.Tracer) {
			_, s := tr.Start(ctx, "x")
			s.SetName("y")
			s.SetStatus(1, "bad")
			s.AddLink(trace.Link{SpanContext: s.SpanContext()})
			s.AddEvent("e")
			s.End()
		}},
	} {
		tr := discarding(t, WithSampler(tt.sampler)).Tracer("a")
		for range 100 {
			tt.do(tr)
		}
		if got := testing.AllocsPerRun(2000, func() { tt.do(tr) }); got != tt.want {
			t.Errorf("%s: %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}

// discard is an exporter that has seen enough.
type discard struct{}

func (discard) Export(context.Context, *ringtail.Batch) error { return nil }
func (discard) Shutdown(context.Context) error                { return nil }

// discarding returns a provider with a collector that runs, and drops nothing for
// want of room as long as the machine keeps up.
func discarding(tb testing.TB, opts ...Option) *TracerProvider {
	tb.Helper()
	c, err := ringtail.New(discard{}, ringtail.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		tb.Fatal(err)
	}
	p := NewTracerProvider(c, opts...)
	tb.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// attributes are five of the usual kind.
func attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("url.path", "/users/12345"),
		attribute.Int("http.response.status_code", 200),
		attribute.String("server.address", "api.example.test"),
		attribute.Bool("cache.hit", true),
	}
}
