package oteltrace

import (
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// An Option configures a [TracerProvider]. Options are applied in order.
type Option func(*config)

type config struct {
	sampler   Sampler
	ids       IDGenerator
	limits    SpanLimits
	hasLimits bool
	noPanics  bool
	logger    *slog.Logger
	resource  *ringtail.Resource

	processors []SpanProcessor
	spanType   func(*ReadWriteSpan) trace.Span
	meters     metric.MeterProvider
}

// WithSampler sets the sampler, in place of the environment's OTEL_TRACES_SAMPLER
// and of the default, ParentBased(AlwaysSample()). Nil is ignored.
func WithSampler(s Sampler) Option {
	return func(c *config) {
		if s != nil {
			c.sampler = s
		}
	}
}

// WithIDGenerator sets where ids come from, in place of random numbers. Nil is
// ignored.
func WithIDGenerator(g IDGenerator) Option {
	return func(c *config) {
		if g != nil {
			c.ids = g
		}
	}
}

// WithRawSpanLimits sets the limits, in place of the environment's, as they are: 0
// keeps nothing of that kind, and below 0 there is no limit. Begin with
// [NewSpanLimits] and change what should differ. Only an AttributeValueDepthLimit of
// 0 means its default.
func WithRawSpanLimits(l SpanLimits) Option {
	if l.AttributeValueDepthLimit == 0 {
		l.AttributeValueDepthLimit = DefaultAttributeValueDepthLimit
	}
	return func(c *config) { c.limits, c.hasLimits = l, true }
}

// WithSpanLimits is WithRawSpanLimits with the default in place of every limit that
// is 0 or below.
func WithSpanLimits(l SpanLimits) Option {
	d := defaultSpanLimits()
	for _, f := range []struct{ limit, fallback *int }{
		{&l.AttributeValueLengthLimit, &d.AttributeValueLengthLimit},
		{&l.AttributeValueDepthLimit, &d.AttributeValueDepthLimit},
		{&l.AttributeCountLimit, &d.AttributeCountLimit},
		{&l.EventCountLimit, &d.EventCountLimit},
		{&l.LinkCountLimit, &d.LinkCountLimit},
		{&l.AttributePerEventCountLimit, &d.AttributePerEventCountLimit},
		{&l.AttributePerLinkCountLimit, &d.AttributePerLinkCountLimit},
	} {
		if *f.limit <= 0 {
			*f.limit = *f.fallback
		}
	}
	return WithRawSpanLimits(l)
}

// WithoutPanicRecording lets a span that ends during a panic end as any other,
// without an event for the panic.
func WithoutPanicRecording() Option { return func(c *config) { c.noPanics = true } }

// WithLogger sets where is reported what a program should know: values of the
// environment that can not be used, once, by NewTracerProvider, and that spans lost
// attributes, events or links to their limits, at most once a span and once every ten
// seconds with the number of those left out. Default slog.Default().
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l != nil {
			c.logger = l
		}
	}
}

// WithResource sets the resource of the provider's spans, in place of the
// collector's. It must not be changed afterwards. Nil is ignored.
func WithResource(r *ringtail.Resource) Option {
	return func(c *config) {
		if r != nil {
			c.resource = r
		}
	}
}

func newConfig(opts []Option) config {
	c := config{logger: slog.Default()}
	for _, o := range opts {
		if o != nil {
			o(&c)
		}
	}
	if c.sampler == nil {
		s, err := NewSamplerFromEnv()
		if err != nil {
			c.logger.Warn(err.Error())
		}
		c.sampler = s
	}
	if !c.hasLimits {
		var err error
		if c.limits, err = spanLimitsFromEnv(); err != nil {
			c.logger.Warn(err.Error())
		}
	}
	return c
}
