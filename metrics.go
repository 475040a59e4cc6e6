package ringtail

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// ExporterInfo says what an exporter is, in the words of the semantic conventions.
type ExporterInfo struct {
	Type          string // otel.component.type, as "otlp_grpc_span_exporter"
	ServerAddress string // server.address; empty if there is none
	ServerPort    int    // server.port; 0 if there is none
}

// Describer is an [Exporter] that says what it is, for the attributes of metrics.
// Describe is called once, by [New], and gives the same answer at any time. An exporter
// that is no Describer, or has no Type, goes by the name of its Go type.
type Describer interface {
	Describe() ExporterInfo
}

// WithMeterProvider makes the collector report on itself, in the instruments of the
// semantic conventions for SDKs (otel.sdk.processor.span.… and
// otel.sdk.exporter.…, in development there). All but the duration of an export are
// read from the ledger, when the provider collects: a submit does not notice. They end
// with [Collector.Shutdown], after its last export; a provider that is shut down later
// does not collect them again. Default: no metrics.
//
//   - otel.sdk.processor.span.queue.size: spans in rings and batches that the exporter
//     does not have yet.
//   - otel.sdk.processor.span.queue.capacity: what is bounded is bytes, and this is for
//     how many spans of 256 bytes they are enough, by which rings are sized. The queue
//     may hold more than that if spans are smaller.
//   - otel.sdk.processor.span.processed: spans given to the exporter, and with an
//     error.type those that were not, which is their [Reason]. Spans that the head
//     sampler decided against were never to be processed, and are not counted.
//   - otel.sdk.exporter.span.inflight, .exported: spans that the exporter has, and had.
//     An error.type is the Reason of a loss.
//   - otel.sdk.exporter.operation.duration: of each export, with all its attempts; if it
//     lost spans, with the Reason for most of them as error.type; over OTLP with the
//     status of the last attempt ([ReportStatus]).
func WithMeterProvider(mp metric.MeterProvider) Option {
	return func(c *config) { c.meterProvider = mp }
}

// meterName is the instrumentation scope of the collector's own metrics.
const meterName = "github.com/ringtail-otel/ringtail"

// metrics are a collector's instruments. Nil has none.
type metrics struct {
	collector    *Collector
	registration metric.Registration

	queueSize, queueCapacity, inflight metric.Int64ObservableUpDownCounter
	processed, exported                metric.Int64ObservableCounter
	duration                           metric.Float64Histogram

	processor, exporter component
}

// component has the attributes of one component, ready for use: those of success,
// and those of failure by reason.
type component struct {
	ok     metric.MeasurementOption
	failed [numReasons]metric.MeasurementOption
}

func newComponent(kvs ...attribute.KeyValue) component {
	c := component{ok: metric.WithAttributeSet(attribute.NewSet(kvs...))}
	for r := range c.failed {
		failed := append(kvs[:len(kvs):len(kvs)], attribute.String("error.type", Reason(r).String()))
		c.failed[r] = metric.WithAttributeSet(attribute.NewSet(failed...))
	}
	return c
}

// newMetrics makes the instruments of a collector and registers them.
func newMetrics(c *Collector, mp metric.MeterProvider) (*metrics, error) {
	meter := mp.Meter(meterName, metric.WithInstrumentationVersion(Version), metric.WithSchemaURL(semconvSchema))
	m := &metrics{
		collector: c,
		processor: newComponent(named("batching_span_processor")...),
		exporter:  newComponent(describe(c.exporter)...),
	}
	var errs [6]error
	m.queueSize, errs[0] = meter.Int64ObservableUpDownCounter("otel.sdk.processor.span.queue.size", metric.WithUnit("{span}"),
		metric.WithDescription("The number of spans that wait for the exporter."))
	m.queueCapacity, errs[1] = meter.Int64ObservableUpDownCounter("otel.sdk.processor.span.queue.capacity", metric.WithUnit("{span}"),
		metric.WithDescription("The number of spans of 256 bytes that can wait for the exporter."))
	m.processed, errs[2] = meter.Int64ObservableCounter("otel.sdk.processor.span.processed", metric.WithUnit("{span}"),
		metric.WithDescription("The number of spans given to the exporter, or dropped before."))
	m.inflight, errs[3] = meter.Int64ObservableUpDownCounter("otel.sdk.exporter.span.inflight", metric.WithUnit("{span}"),
		metric.WithDescription("The number of spans given to the exporter whose export has not ended."))
	m.exported, errs[4] = meter.Int64ObservableCounter("otel.sdk.exporter.span.exported", metric.WithUnit("{span}"),
		metric.WithDescription("The number of spans whose export has ended, well or not."))
	m.duration, errs[5] = meter.Float64Histogram("otel.sdk.exporter.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("The duration of the export of a batch."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	var err error
	m.registration, err = meter.RegisterCallback(m.observe, m.queueSize, m.queueCapacity, m.processed, m.inflight, m.exported)
	return m, err
}

// end takes the instruments back. The provider may be busy: then that goes on when
// ctx has ended.
func (m *metrics) end(ctx context.Context) error {
	if m == nil {
		return nil
	}
	err := within(ctx, func(context.Context) error { return m.registration.Unregister() })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("ringtail: cannot unregister the metrics: %w", err)
	}
	return nil
}

// exportBegins returns the context for an export, and the operation whose status it takes.
func (m *metrics) exportBegins(ctx context.Context) (context.Context, *operation) {
	if m == nil {
		return ctx, nil
	}
	o := &operation{}
	return context.WithValue(ctx, operationKey{}, o), o
}

// exportEnded records one export. o may be nil.
func (m *metrics) exportEnded(took time.Duration, lost Drops, err error, o *operation) {
	if m == nil {
		return
	}
	attributes := m.exporter.ok
	if err != nil {
		attributes = m.exporter.failed[mainReason(lost)]
	}
	if o != nil {
		if status := o.status.Load(); status != nil {
			m.duration.Record(context.Background(), took.Seconds(), attributes, metric.WithAttributes(*status))
			return
		}
	}
	m.duration.Record(context.Background(), took.Seconds(), attributes)
}

// observe is called when the provider collects.
func (m *metrics) observe(_ context.Context, o metric.Observer) error {
	// In the order of Stats, for its reason.
	out := m.collector.sender.outcome()
	in := m.collector.core.Stats()
	m.collector.intake.addTo(&in)

	o.ObserveInt64(m.queueSize, int64(in.InFlight-out.handed-out.unsent), m.processor.ok)
	o.ObserveInt64(m.queueCapacity, int64((in.RingBytes+m.collector.cfg.queueBytes)/spanBytes), m.processor.ok)
	refused := in.Dropped
	refused[ReasonSampled] = 0
	refused[ReasonShutdown] = out.unsent
	m.processor.observe(o, m.processed, out.handed, &refused)
	o.ObserveInt64(m.inflight, int64(out.handed-out.exported-out.lost.Total()), m.exporter.ok)
	m.exporter.observe(o, m.exported, out.exported, &out.lost)
	return nil
}

func (c *component) observe(o metric.Observer, counter metric.Int64ObservableCounter, ok uint64, failed *Drops) {
	o.ObserveInt64(counter, int64(ok), c.ok)
	for r, n := range failed.All() {
		o.ObserveInt64(counter, int64(n), c.failed[r])
	}
}

// describe returns the attributes of an exporter.
func describe(e Exporter) []attribute.KeyValue {
	var info ExporterInfo
	if d, ok := e.(Describer); ok {
		info = d.Describe()
	}
	if info.Type == "" {
		info.Type = typeName(e)
	}
	kvs := named(info.Type)
	if info.ServerAddress != "" {
		kvs = append(kvs, attribute.String("server.address", info.ServerAddress))
	}
	if info.ServerPort != 0 {
		kvs = append(kvs, attribute.Int("server.port", info.ServerPort))
	}
	return kvs
}

// typeName returns the name of e's type with the path of its package.
func typeName(e Exporter) string {
	t := reflect.TypeOf(e)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

// instances counts the components of each type in this process.
var instances struct {
	sync.Mutex
	of map[string]int
}

// named returns the attributes of the next component of a type.
func named(kind string) []attribute.KeyValue {
	instances.Lock()
	defer instances.Unlock()
	if instances.of == nil {
		instances.of = make(map[string]int)
	}
	n := instances.of[kind]
	instances.of[kind]++
	return []attribute.KeyValue{
		attribute.String("otel.component.name", kind+"/"+strconv.Itoa(n)),
		attribute.String("otel.component.type", kind),
	}
}
