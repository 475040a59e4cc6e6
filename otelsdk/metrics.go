package otelsdk

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strconv"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// WithMeterProvider makes a processor of [NewBatchSpanProcessor] measure itself, by the
// semantic conventions for SDKs, in the instruments that [ringtail.WithMeterProvider] lists:
// all of them with an exporter of ours, the processor's three with one of somebody else's.
// They end with Shutdown. If they cannot be made, that is logged, and the processor works
// without. Nil is ignored, and to the official processor the option means nothing.
// Default: no metrics.
func WithMeterProvider(mp metric.MeterProvider) sdktrace.BatchSpanProcessorOption {
	return func(o *sdktrace.BatchSpanProcessorOptions) {
		if b, ours := building.Load(o); ours && mp != nil {
			b.(*batching).meters = mp
		}
	}
}

func logNoMetrics(err error) {
	slog.Default().Warn("otelsdk: cannot make the instruments of WithMeterProvider; there are none", slog.Any("error", err))
}

const (
	meterName     = "github.com/ringtail-otel/ringtail/otelsdk"
	componentType = "batching_span_processor"
)

// processors numbers those with metrics of their own.
var processors atomic.Int64

// metrics are the instruments of a typed pipeline. The encoded one has its collector's.
type metrics struct {
	size, capacity metric.Int64ObservableUpDownCounter
	processed      metric.Int64ObservableCounter
	attributes     []attribute.KeyValue
	registration   metric.Registration
}

// newMetrics returns nil without a meter provider. What it observes is asked of the pipeline.
func newMetrics(mp metric.MeterProvider, capacity int, progress func() progress) *metrics {
	if mp == nil {
		return nil
	}
	m := &metrics{attributes: []attribute.KeyValue{
		// A collector's processors are numbered apart.
		attribute.String("otel.component.name", componentType+"/otelsdk-"+strconv.FormatInt(processors.Add(1)-1, 10)),
		attribute.String("otel.component.type", componentType),
	}}
	if err := m.register(mp, capacity, progress); err != nil {
		logNoMetrics(err)
		return nil
	}
	return m
}

func (m *metrics) register(mp metric.MeterProvider, capacity int, progress func() progress) error {
	meter := mp.Meter(meterName, metric.WithInstrumentationVersion(ringtail.Version))
	var errs [3]error
	m.size, errs[0] = meter.Int64ObservableUpDownCounter("otel.sdk.processor.span.queue.size", metric.WithUnit("{span}"),
		metric.WithDescription("The number of spans that wait for the exporter."))
	m.capacity, errs[1] = meter.Int64ObservableUpDownCounter("otel.sdk.processor.span.queue.capacity", metric.WithUnit("{span}"),
		metric.WithDescription("The number of spans that can wait for the exporter."))
	m.processed, errs[2] = meter.Int64ObservableCounter("otel.sdk.processor.span.processed", metric.WithUnit("{span}"),
		metric.WithDescription("The number of spans given to the exporter, or dropped before."))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	var err error
	m.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.observe(o, capacity, progress())
		return nil
	}, m.size, m.capacity, m.processed)
	return err
}

// progress is how far the spans of a pipeline have come.
type progress struct {
	queued, handed uint64         // to the exporter, however that ends
	refused        ringtail.Drops // never handed to it
}

func (m *metrics) observe(o metric.Observer, capacity int, p progress) {
	all := metric.WithAttributes(m.attributes...)
	o.ObserveInt64(m.size, int64(p.queued), all)
	o.ObserveInt64(m.capacity, int64(capacity), all)
	o.ObserveInt64(m.processed, int64(p.handed), all)
	for reason, n := range p.refused.All() {
		o.ObserveInt64(m.processed, int64(n), all, metric.WithAttributes(attribute.String("error.type", reason.String())))
	}
}

// end takes the instruments back. m may be nil. The meter provider may be busy: then that goes
// on when ctx has ended.
func (m *metrics) end(ctx context.Context) {
	if m == nil {
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- m.registration.Unregister() }()
	select {
	case err := <-ended:
		if err != nil {
			slog.Default().Warn("otelsdk: cannot unregister the metrics", slog.Any("error", err))
		}
	case <-ctx.Done():
	}
}

// typeName is how an exporter that does not describe itself is called: by its type.
func typeName(e ringtail.Exporter) string {
	t := reflect.TypeOf(e)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}
