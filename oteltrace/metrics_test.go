package oteltrace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
)

// meters is a meter provider that calls back when it is asked to.
type meters struct {
	noop.MeterProvider
	callback metric.Callback
	fail     error
}

func (m *meters) Meter(string, ...metric.MeterOption) metric.Meter { return meter{meters: m} }

type meter struct {
	noop.Meter
	*meters
}

type registration struct {
	noop.Registration
	meters *meters
}

func (m meter) RegisterCallback(f metric.Callback, _ ...metric.Observable) (metric.Registration, error) {
	m.callback = f
	return registration{meters: m.meters}, m.fail
}

type counter struct {
	noop.Int64ObservableCounter
	name string
}

type upDown struct {
	noop.Int64ObservableUpDownCounter
	name string
}

func (meter) Int64ObservableCounter(name string, _ ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return counter{name: name}, nil
}

func (meter) Int64ObservableUpDownCounter(name string, _ ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return upDown{name: name}, nil
}

func (r registration) Unregister() error {
	r.meters.callback = nil
	return nil
}

// observed gathers what a callback says.
type observed struct {
	noop.Observer
	values map[string]int64
}

func (o *observed) ObserveInt64(i metric.Int64Observable, v int64, opts ...metric.ObserveOption) {
	var name string
	switch i := i.(type) {
	case counter:
		name = i.name
	case upDown:
		name = i.name
	}
	set := metric.NewObserveConfig(opts).Attributes()
	if origin, ok := set.Value("otel.span.parent.origin"); ok {
		name += " " + origin.AsString()
	}
	result, _ := set.Value("otel.span.sampling_result")
	o.values[name+" "+result.AsString()] = v
}

func (m *meters) values(t *testing.T) map[string]int64 {
	t.Helper()
	o := &observed{values: map[string]int64{}}
	if err := m.callback(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	return o.values
}

// byName decides by the name of the span.
type byName struct{}

func (byName) Description() string { return "byName" }
func (byName) ShouldSample(p SamplingParameters) SamplingResult {
	return SamplingResult{Decision: map[string]SamplingDecision{"drop": Drop, "record": RecordOnly, "sample": RecordAndSample}[p.Name]}
}

func TestMetrics(t *testing.T) {
	for _, processors := range []bool{false, true} {
		t.Run(fmt.Sprint("processors ", processors), func(t *testing.T) {
			m := &meters{}
			opts := []Option{WithMeterProvider(m), WithMeterProvider(nil), WithSampler(byName{})}
			if processors {
				a, _, _ := listeners()
				opts = append(opts, WithSpanProcessor(a))
			}
			h := newHarness(t, opts...)
			tracer := h.Tracer("t")
			if got := m.values(t); len(got) != 0 {
				t.Errorf("before any span: %v", got)
			}
			remoteCtx, _ := remote(0, "")
			var spans []trace.Span
			start := func(ctx context.Context, name string, opts ...trace.SpanStartOption) context.Context {
				ctx, s := tracer.Start(ctx, name, opts...)
				spans = append(spans, s)
				return ctx
			}
			root := start(context.Background(), "sample")
			start(root, "drop")
			start(root, "record")
			start(start(root, "record"), "sample")
			start(root, "sample", trace.WithNewRoot())
			start(remoteCtx, "sample")
			start(remoteCtx, "drop")
			want := map[string]int64{
				"otel.sdk.span.started none RECORD_AND_SAMPLE":   2,
				"otel.sdk.span.started local DROP":               1,
				"otel.sdk.span.started local RECORD_ONLY":        2,
				"otel.sdk.span.started local RECORD_AND_SAMPLE":  1,
				"otel.sdk.span.started remote RECORD_AND_SAMPLE": 1,
				"otel.sdk.span.started remote DROP":              1,
				"otel.sdk.span.live RECORD_ONLY":                 2,
				"otel.sdk.span.live RECORD_AND_SAMPLE":           4,
			}
			if got := m.values(t); !maps.Equal(got, want) {
				t.Errorf("all live: %v\nwant %v", got, want)
			}
			spans[0].End()
			spans[0].End()
			spans[1].End()
			want["otel.sdk.span.live RECORD_AND_SAMPLE"] = 3
			if got := m.values(t); !maps.Equal(got, want) {
				t.Errorf("one has ended: %v\nwant %v", got, want)
			}
			for _, s := range spans {
				s.End()
			}
			want["otel.sdk.span.live RECORD_AND_SAMPLE"], want["otel.sdk.span.live RECORD_ONLY"] = 0, 0
			if got := m.values(t); !maps.Equal(got, want) {
				t.Errorf("all have ended: %v\nwant %v", got, want)
			}
			if err := h.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if m.callback != nil {
				t.Error("the callback is still registered after Shutdown")
			}
		})
	}
}

// TestMetricsInParallel: nothing is counted twice or lost, and never are fewer than
// no spans live.
func TestMetricsInParallel(t *testing.T) {
	m := &meters{}
	tracer := NewTracerProvider(nil, WithMeterProvider(m)).Tracer("t")
	const goroutines, each = 4, 500
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				_, s := tracer.Start(context.Background(), "x")
				s.End()
			}
		})
	}
	for range 20 {
		if n := m.values(t)["otel.sdk.span.live RECORD_AND_SAMPLE"]; n < 0 {
			t.Errorf("%d live spans", n)
		}
	}
	wg.Wait()
	got := m.values(t)
	if got["otel.sdk.span.started none RECORD_AND_SAMPLE"] != goroutines*each || got["otel.sdk.span.live RECORD_AND_SAMPLE"] != 0 {
		t.Errorf("%v", got)
	}
}

func TestMetricsThatFail(t *testing.T) {
	var log logBuffer
	p := NewTracerProvider(nil, WithMeterProvider(&meters{fail: errors.New("no callbacks here")}), log.logger())
	_, s := p.Tracer("t").Start(context.Background(), "x")
	s.End()
	if err := p.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if len(log.lines()) != 1 {
		t.Errorf("logged %q", log.lines())
	}
}
