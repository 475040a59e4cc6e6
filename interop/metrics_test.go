package interop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export/otlpgrpc"
	"github.com/ringtail-otel/ringtail/export/otlphttp"
)

// picky is an exporter that does not deliver every fourth batch.
type picky struct{ exports int }

func (e *picky) Export(_ context.Context, b *ringtail.Batch) error {
	if e.exports++; e.exports%4 == 0 {
		return errors.New("not this one")
	}
	return nil
}

func (*picky) Shutdown(context.Context) error { return nil }

func (*picky) Describe() ringtail.ExporterInfo {
	return ringtail.ExporterInfo{Type: "picky", ServerAddress: "127.0.0.1", ServerPort: 4317}
}

// TestMetrics reads a collector's metrics with the official SDK.
func TestMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	defer provider.Shutdown(t.Context())
	c, err := ringtail.New(new(picky), ringtail.WithMeterProvider(provider), ringtail.WithConcurrentExports(1),
		ringtail.WithInterval(time.Millisecond), ringtail.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		for n := range 5 {
			s := &ringtail.Span{Name: "work"}
			s.TraceID[0], s.SpanID[0] = byte(1+i), byte(1+n)
			if err := c.TrySubmit(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			add := func(set attribute.Set, n int64) {
				name := m.Name
				if failure, ok := set.Value("error.type"); ok {
					name += " " + failure.AsString()
				}
				if kind, _ := set.Value("otel.component.type"); kind.AsString() == "" {
					t.Errorf("%s: no otel.component.type", m.Name)
				}
				got[name] += n
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, int64(p.Count))
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	stats := c.Stats()
	for name, want := range map[string]int64{
		"otel.sdk.processor.span.processed":                  40,
		"otel.sdk.processor.span.queue.size":                 0,
		"otel.sdk.exporter.span.exported":                    int64(stats.Exported),
		"otel.sdk.exporter.span.exported export_failed":      int64(stats.Dropped.Total()),
		"otel.sdk.exporter.span.inflight":                    0,
		"otel.sdk.exporter.operation.duration":               int64(stats.Batches) - int64(stats.Batches)/4,
		"otel.sdk.exporter.operation.duration export_failed": int64(stats.Batches) / 4,
	} {
		if n, found := got[name]; !found || n != want {
			t.Errorf("%s is %d (%t), want %d", name, n, found, want)
		}
	}
	if got["otel.sdk.processor.span.queue.capacity"] <= 0 || stats.Exported == 0 || stats.Dropped.Total() == 0 {
		t.Errorf("%v, %v", got, stats)
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if _, ok := m.Data.(metricdata.Sum[int64]); ok {
				t.Errorf("%s is still there after Shutdown", m.Name)
			}
		}
	}
}

// TestMetricsHaveTheStatus: the duration of an export has the status that the backend
// answered it with, over both protocols.
func TestMetricsHaveTheStatus(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer web.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer() // knows no service: UNIMPLEMENTED
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(listener) })
	defer serving.Wait()
	defer server.Stop()
	overHTTP, err := otlphttp.New(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	overGRPC, err := otlpgrpc.New("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		exporter ringtail.Exporter
		want     attribute.KeyValue
	}{{overHTTP, attribute.Int("http.response.status_code", http.StatusTeapot)}, {overGRPC, attribute.Int("rpc.grpc.status_code", int(codes.Unimplemented))}} {
		reader := sdkmetric.NewManualReader()
		provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		defer provider.Shutdown(t.Context())
		collector, err := ringtail.New(c.exporter, ringtail.WithMeterProvider(provider), ringtail.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		s := &ringtail.Span{Name: "work"}
		s.TraceID[0], s.SpanID[0] = 1, 1
		if err := collector.TrySubmit(s); err != nil {
			t.Fatal(err)
		}
		if err := collector.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				if data, ok := m.Data.(metricdata.Histogram[float64]); ok {
					for _, p := range data.DataPoints {
						v, has := p.Attributes.Value(c.want.Key)
						found = found || has && v == c.want.Value
					}
				}
			}
		}
		if !found {
			t.Errorf("no duration has %s=%v", c.want.Key, c.want.Value.AsInt64())
		}
		if err := collector.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
