package ringtail

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// meters is a MeterProvider that keeps what it is told. It observes when collect is
// called, and for the last time before a callback is unregistered.
type meters struct {
	noop.MeterProvider
	broken error // what instruments answer

	mu         sync.Mutex
	scope      string
	units      map[string]string // by instrument
	callbacks  map[*registration]metric.Callback
	last       map[string]int64         // what was observed at the end
	attributes map[string]attribute.Set // by series
	recorded   map[string]int           // measurements of histograms by series
	seconds    float64                  // their sum
}

func newMeters() *meters {
	return &meters{units: make(map[string]string), callbacks: make(map[*registration]metric.Callback),
		attributes: make(map[string]attribute.Set), recorded: make(map[string]int)}
}

type (
	meter struct {
		noop.Meter
		from *meters
	}
	counter struct {
		noop.Int64ObservableCounter
		name string
	}
	upDownCounter struct {
		noop.Int64ObservableUpDownCounter
		name string
	}
	histogram struct {
		noop.Float64Histogram
		name string
		from *meters
	}
	registration struct {
		noop.Registration
		from *meters
	}
	observer struct {
		noop.Observer
		from   *meters
		series map[string]int64
	}
)

func (m *meters) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	c := metric.NewMeterConfig(opts...)
	m.scope = name + " " + c.InstrumentationVersion()
	return meter{from: m}
}

func (m meter) Int64ObservableCounter(name string, opts ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	m.from.units[name] = metric.NewInt64ObservableCounterConfig(opts...).Unit()
	return counter{name: name}, m.from.broken
}

func (m meter) Int64ObservableUpDownCounter(name string, opts ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	m.from.units[name] = metric.NewInt64ObservableUpDownCounterConfig(opts...).Unit()
	return upDownCounter{name: name}, m.from.broken
}

func (m meter) Float64Histogram(name string, opts ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	m.from.units[name] = metric.NewFloat64HistogramConfig(opts...).Unit()
	return histogram{name: name, from: m.from}, m.from.broken
}

func (m meter) RegisterCallback(f metric.Callback, _ ...metric.Observable) (metric.Registration, error) {
	r := &registration{from: m.from}
	m.from.mu.Lock()
	defer m.from.mu.Unlock()
	m.from.callbacks[r] = f
	return r, nil
}

func (r *registration) Unregister() error {
	last := r.from.collect()
	r.from.mu.Lock()
	defer r.from.mu.Unlock()
	delete(r.from.callbacks, r)
	r.from.last = last
	return nil
}

// collect observes as a reader does.
func (m *meters) collect() map[string]int64 {
	m.mu.Lock()
	callbacks := maps.Clone(m.callbacks)
	m.mu.Unlock()
	o := observer{from: m, series: make(map[string]int64)}
	for _, f := range callbacks {
		if err := f(context.Background(), o); err != nil {
			panic(err)
		}
	}
	return o.series
}

func (o observer) ObserveInt64(i metric.Int64Observable, n int64, opts ...metric.ObserveOption) {
	var name string
	switch i := i.(type) {
	case counter:
		name = i.name
	case upDownCounter:
		name = i.name
	}
	o.series[o.from.note(name, metric.NewObserveConfig(opts).Attributes())] += n
}

func (h histogram) Record(_ context.Context, v float64, opts ...metric.RecordOption) {
	series := h.from.note(h.name, metric.NewRecordConfig(opts).Attributes())
	h.from.mu.Lock()
	defer h.from.mu.Unlock()
	h.from.recorded[series]++
	h.from.seconds += v
}

// note returns the series' name: what comes behind otel.sdk., and its error.type.
func (m *meters) note(name string, set attribute.Set) string {
	failure, _ := set.Value("error.type")
	name = strings.TrimSpace(strings.TrimPrefix(name, "otel.sdk.") + " " + failure.AsString())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attributes[name] = set
	return name
}

// final returns what was observed at the end. It may come a moment after a Shutdown
// whose context has ended.
func (m *meters) final(t testing.TB) map[string]int64 {
	t.Helper()
	eventually(t, "the callbacks are unregistered", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.callbacks) == 0
	})
	return m.last
}

// sum adds up the series with that name, with an error.type or without.
func sum(series map[string]int64, name string) (ok, failed uint64) {
	for s, n := range series {
		if s == name {
			ok += uint64(n)
		} else if strings.HasPrefix(s, name+" ") {
			failed += uint64(n)
		}
	}
	return ok, failed
}

// checkMeters checks what holds of the metrics at any time.
func checkMeters(t testing.TB, series map[string]int64) {
	t.Helper()
	handed, _ := sum(series, "processor.span.processed")
	exported, lost := sum(series, "exporter.span.exported")
	inflight := series["exporter.span.inflight"]
	if inflight < 0 || series["processor.span.queue.size"] < 0 || handed != exported+lost+uint64(inflight) {
		t.Errorf("the metrics do not balance: %v", series)
	}
}
