package autoconfigure

import (
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// Option is an option of [Start] and [New].
type Option func(*config)

type config struct {
	env         env
	exporter    ringtail.Exporter
	service     string
	attributes  []attribute.KeyValue
	propagators map[string]propagation.TextMapPropagator
	collector   []ringtail.Option
	provider    []oteltrace.Option
	meters      metric.MeterProvider
}

// WithServiceName names the service where neither OTEL_SERVICE_NAME nor
// OTEL_RESOURCE_ATTRIBUTES does.
func WithServiceName(name string) Option { return func(c *config) { c.service = name } }

// WithResourceAttributes adds attributes to the resource, or replaces those that are
// detected. An attribute of the same key in the environment wins.
func WithResourceAttributes(kvs ...attribute.KeyValue) Option {
	return func(c *config) { c.attributes = append(c.attributes, kvs...) }
}

// WithExporter sends spans to e, whatever OTEL_TRACES_EXPORTER says. The SDK's
// Shutdown shuts e down. After an error of Start or New, e is still the caller's.
func WithExporter(e ringtail.Exporter) Option { return func(c *config) { c.exporter = e } }

// WithPropagator lets OTEL_PROPAGATORS choose p by a name, as in
// WithPropagator("b3", b3.New()). It takes the place of a propagator known by that
// name. Names are not case-sensitive.
func WithPropagator(name string, p propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagators[normal(name)] = p }
}

// WithCollectorOptions adds options for the collector, which win over the environment
// and over WithResourceAttributes.
func WithCollectorOptions(opts ...ringtail.Option) Option {
	return func(c *config) { c.collector = append(c.collector, opts...) }
}

// WithTracerProviderOptions adds options for the provider, which win over the environment.
// The SDK's Shutdown shuts down processors that are among them, also with OTEL_SDK_DISABLED.
func WithTracerProviderOptions(opts ...oteltrace.Option) Option {
	return func(c *config) { c.provider = append(c.provider, opts...) }
}

// WithMeterProvider makes the collector and the provider report on themselves; see
// [ringtail.WithMeterProvider] and [oteltrace.WithMeterProvider]. Default: no metrics,
// as a global provider that nobody has set is not free of cost. Pass
// otel.GetMeterProvider() where there is one.
func WithMeterProvider(mp metric.MeterProvider) Option { return func(c *config) { c.meters = mp } }

// WithLogger sets where trouble is reported, with the environment and later with
// spans. Default slog.Default().
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l != nil {
			c.env.log = l
		}
	}
}

func newConfig(opts []Option) *config {
	c := &config{env: env{log: slog.Default()}, propagators: map[string]propagation.TextMapPropagator{
		"tracecontext": propagation.TraceContext{},
		"baggage":      propagation.Baggage{},
	}}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	return c
}

func (c *config) collectorOptions(b batching) []ringtail.Option {
	opts := append([]ringtail.Option{ringtail.WithLogger(c.env.log)}, b.options()...)
	if r := c.resource(); r != nil {
		opts = append(opts, ringtail.WithResource(r))
	}
	if c.meters != nil {
		opts = append(opts, ringtail.WithMeterProvider(c.meters))
	}
	return append(opts, c.collector...)
}

// providerOptions are for a provider with a collector, whose resource is the spans', or
// without.
func (c *config) providerOptions(collector bool) []oteltrace.Option {
	opts := []oteltrace.Option{oteltrace.WithLogger(c.env.log)}
	if !collector {
		opts = append(opts, oteltrace.WithResource(c.resource()))
	}
	if c.meters != nil {
		opts = append(opts, oteltrace.WithMeterProvider(c.meters))
	}
	return append(opts, c.provider...)
}
