package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// What it costs that a provider measures itself.

func tracerMetricsRow() Row {
	const on, off = "oteltrace, metrics on", "oteltrace, metrics off"
	return Row{
		Description: Description{
			Detail: true, Name: "tracer/metrics", Work: "tracer/attributes with the metrics of the semantic conventions for SDKs, otel.sdk.…",
			Bar: "nothing measurable (≤ 1.05 × without)",
			Fair: "As tracer/attributes. Metrics go to the official meter provider, which is read once, at the end: it must have counted every span that started." +
				" In the SDK they are an experiment, which OTEL_GO_X_OBSERVABILITY turns on.",
			Metric: "ns/span", Also: []string{"p50 ns/span", "allocs/span", "B/span on heap"},
			Checks: []Check{{Contender: on, Metric: "ns/span", Limit: 1.05, Times: off}},
		},
		Contenders: inProgram(
			Contender{Name: on, Ours: true, Run: livesPaced(measured(func(m *sdkmetric.MeterProvider) (*tracing, error) {
				return oursTracing(export.Null(), roomBits, []oteltrace.Option{oteltrace.WithSampler(oteltrace.AlwaysSample()), oteltrace.WithMeterProvider(m)},
					ringtail.WithMeterProvider(m))
			}), 1, five)},
			Contender{Name: off, Ours: true, Run: livesPaced(oursNull(oteltrace.AlwaysSample()), 1, five)},
			Contender{Name: "official SDK, metrics on", Run: livesPaced(measured(func(m *sdkmetric.MeterProvider) (*tracing, error) {
				otel.SetMeterProvider(m)
				if err := os.Setenv("OTEL_GO_X_OBSERVABILITY", "true"); err != nil {
					return nil, err
				}
				return sdkNull(sdktrace.NewBatchSpanProcessor, sdktrace.AlwaysSample())()
			}), 1, five)},
			Contender{Name: "official SDK, metrics off", Run: livesPaced(sdkNull(sdktrace.NewBatchSpanProcessor, sdktrace.AlwaysSample()), 1, five)},
		),
	}
}

// measured is a provider with a meter provider, which must have counted the spans that
// arrived.
func measured(of func(*sdkmetric.MeterProvider) (*tracing, error)) provider {
	return func() (*tracing, error) {
		reader := sdkmetric.NewManualReader()
		meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		t, err := of(meters)
		if err != nil {
			return nil, err
		}
		shutdown := t.shutdown
		t.shutdown = func(ctx context.Context) error {
			started, err := startedSpans(ctx, reader) // shutdown may end the metrics
			if err := errors.Join(err, shutdown(ctx), meters.Shutdown(ctx)); err != nil {
				return err
			}
			if got := t.arrived(); started != int64(got) {
				return fmt.Errorf("metrics tell of %d spans that started, and %d arrived", started, got)
			}
			return nil
		}
		return t, nil
	}
}

func startedSpans(ctx context.Context, reader sdkmetric.Reader) (spans int64, err error) {
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		return 0, err
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "otel.sdk.span.started" {
				for _, p := range sum.DataPoints {
					spans += p.Value
				}
			}
		}
	}
	return spans, nil
}
