package otelsdk

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// meters is a MeterProvider that observes when it is asked to, and when a callback is
// unregistered.
type meters struct {
	noop.MeterProvider
	broken error // what RegisterCallback answers

	mu       sync.Mutex
	observe  metric.Callback // nil: unregistered
	last     map[string]int64
	types    map[string]bool // otel.component.type of what was observed
	recorded int             // by histograms
}

type (
	meter struct {
		noop.Meter
		*meters
	}
	counter struct {
		noop.Int64ObservableCounter
		name string
	}
	upDown struct {
		noop.Int64ObservableUpDownCounter
		name string
	}
	histogram struct {
		noop.Float64Histogram
		*meters
	}
	registration struct {
		noop.Registration
		*meters
	}
	observer struct {
		noop.Observer
		from   *meters
		series map[string]int64
	}
)

func (m *meters) Meter(string, ...metric.MeterOption) metric.Meter { return meter{meters: m} }

func (meter) Int64ObservableCounter(name string, _ ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return counter{name: name}, nil
}

func (meter) Int64ObservableUpDownCounter(name string, _ ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return upDown{name: name}, nil
}

func (m meter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return histogram{meters: m.meters}, nil
}

func (h histogram) Record(context.Context, float64, ...metric.RecordOption) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recorded++
}

func (m meter) RegisterCallback(f metric.Callback, _ ...metric.Observable) (metric.Registration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	m.meters.observe = f
	return registration{meters: m.meters}, nil
}

func (r registration) Unregister() error {
	last := r.collect()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.observe = last, nil
	return nil
}

// collect returns what is observed, by what comes behind otel.sdk. and the error.type.
func (m *meters) collect() map[string]int64 {
	m.mu.Lock()
	observe := m.observe
	m.mu.Unlock()
	o := observer{from: m, series: map[string]int64{}}
	if observe != nil {
		if err := observe(context.Background(), o); err != nil {
			panic(err)
		}
	}
	return o.series
}

// final returns what was observed last. It may come a moment after a Shutdown whose context
// has ended.
func (m *meters) final(t *testing.T) map[string]int64 {
	t.Helper()
	for ctx := within(t); ctx.Err() == nil; runtime.Gosched() {
		m.mu.Lock()
		last := m.last
		m.mu.Unlock()
		if last != nil {
			return last
		}
	}
	t.Fatal("the callback is not unregistered")
	return nil
}

func (o observer) ObserveInt64(i metric.Int64Observable, n int64, opts ...metric.ObserveOption) {
	var name string
	switch i := i.(type) {
	case counter:
		name = i.name
	case upDown:
		name = i.name
	}
	set := metric.NewObserveConfig(opts).Attributes()
	failure, _ := set.Value("error.type")
	kind, _ := set.Value("otel.component.type")
	o.from.mu.Lock()
	defer o.from.mu.Unlock()
	if o.from.types == nil {
		o.from.types = map[string]bool{}
	}
	o.from.types[kind.AsString()] = true
	o.series[strings.TrimSpace(strings.TrimPrefix(name, "otel.sdk.")+" "+failure.AsString())] += n
	if id, _ := set.Value("otel.component.name"); id.Type() != attribute.STRING || id.AsString() == "" {
		panic(name + " has no component's name")
	}
}

// TestMetrics: what the processor measures of itself is its ledger, at the end and, as far as
// the backend is known to be busy, before.
func TestMetrics(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		m := &meters{}
		h := start(WithMeterProvider(m), WithMeterProvider(nil), sdktrace.WithMaxQueueSize(100), sdktrace.WithMaxExportBatchSize(10))
		encoded := isEncoded(h)
		h.end(0, 25)
		h.mustFlush()
		got := m.collect()
		if got["processor.span.processed"] != 25 || got["processor.span.queue.size"] != 0 || got["processor.span.queue.capacity"] < 100 {
			t.Errorf("%v", got)
		}
		if encoded != (got["exporter.span.exported"] == 25) || encoded != (m.recorded > 0) {
			t.Errorf("of the exporter: %v, %d exports", got, m.recorded)
		}
		h.mustShutdown()
		h.end(25, 3)
		if last := m.final(t); last["processor.span.processed"] != 25 {
			t.Errorf("after Shutdown: %v", last)
		}
		want := []string{"batching_span_processor"}
		if encoded {
			want = append(want, "github.com/ringtail-otel/ringtail/ringtailtest.Recorder")
		}
		if kinds := slices.Sorted(maps.Keys(m.types)); !slices.Equal(kinds, want) {
			t.Errorf("components of the types %q, want %q", kinds, want)
		}
	})
}

// TestMetricsOfAStall: with a backend that hangs, what waits and what is lost can be seen.
func TestMetricsOfAStall(t *testing.T) {
	m := &meters{}
	h := start(t, paths["typed"], WithMeterProvider(m), sdktrace.WithMaxQueueSize(64), sdktrace.WithMaxExportBatchSize(8))
	release := h.backend.Block()
	h.end(0, 8)
	h.awaitExport()
	h.end(8, 500)
	got := m.collect()
	full := got["processor.span.processed queue_full"]
	if got["processor.span.processed"] != 8 || got["processor.span.queue.size"] < 64 || got["processor.span.queue.size"]+full != 500 ||
		uint64(full) != h.Stats().Dropped[ringtail.ReasonFull] || got["processor.span.queue.capacity"] != 64 {
		t.Errorf("while the backend hangs: %v, %v", got, h.Stats())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Shutdown(ended); err == nil {
		t.Error("nothing is lost")
	}
	release()
	st := h.Stats()
	last := m.final(t)
	lost := st.Dropped[ringtail.ReasonShutdown]
	if last["processor.span.processed"] != 8 || uint64(last["processor.span.processed shutdown"]) != lost-8 || last["processor.span.queue.size"] != 0 {
		t.Errorf("at the end: %v, %v", last, st)
	}
}

// TestNoMetrics: where instruments cannot be made there are none, and the spans arrive. The
// official processor takes the option for nothing.
func TestNoMetrics(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(WithMeterProvider(&meters{broken: errors.New("no callbacks here")}))
		h.end(0, 25)
		h.mustShutdown()
		h.wantAll(25)
	})
	backend := &ringtailtest.Recorder{}
	p := sdktrace.NewBatchSpanProcessor(NewSpanExporter(backend), WithMeterProvider(&meters{}))
	p.OnEnd(numbered(0))
	if err := p.Shutdown(within(t)); err != nil || len(backend.Spans()) != 1 {
		t.Errorf("%v, %d spans", err, len(backend.Spans()))
	}
}

func isEncoded(h *harness) bool {
	_, yes := h.pipeline.(*encoded)
	return yes
}
