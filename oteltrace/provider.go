// Package oteltrace is a [trace.TracerProvider] over a [ringtail.Collector]: code
// that is instrumented with the OpenTelemetry API gets the collector's fast path
// without a change.
//
//	collector, err := ringtail.New(exporter)
//	if err != nil { … }
//	provider := oteltrace.NewTracerProvider(collector)
//	defer provider.Shutdown(ctx) // with a deadline: see [ringtail.Collector.Shutdown]
//	otel.SetTracerProvider(provider)
//
// Options, samplers and limits carry the names and meanings that they have in the
// official SDK, go.opentelemetry.io/otel/sdk/trace, and obey the same environment
// variables.
//
// # What a span costs
//
// A live span is one allocation of 64 bytes: the [trace.Span] and the context that
// carries it in one. What it gathers until End is kept in a pooled record, which users
// can not get hold of; End encodes that into the collector's ring and gives it back. Spans
// share no lock. With a [SpanProcessor] they are objects that can be kept and read, and
// cost more. docs/design/tracer.md has the figures.
package oteltrace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// DefaultTracerName is the name of tracers that are asked for without one.
const DefaultTracerName = "github.com/ringtail-otel/ringtail/oteltrace"

// maxTracers bounds the tracers that a provider remembers. Programs have tens; one
// that makes up a scope per request still gets tracers, but new ones each time.
const maxTracers = 1 << 14

// TracerProvider makes tracers whose spans go to a collector. (Specification:
// Trace SDK, "Tracer Provider".)
//
// All methods may be called from any goroutine.
type TracerProvider struct {
	embedded.TracerProvider

	collector *ringtail.Collector // nil: spans go nowhere
	sampler   Sampler
	verdicts  verdicts // the sampler's, where they are known
	decider   decider  // the sampler, if it is one; spares it the parameters
	ids       IDGenerator
	randomIDs bool // root spans get the W3C random flag
	limits    SpanLimits
	noPanics  bool               // WithoutPanicRecording
	resource  *ringtail.Resource // nil: the collector's

	processing *processing // nil: spans need not be readable
	metrics    *metrics    // nil: nobody measures
	logger     *slog.Logger
	losses     throttle.Log

	mu      sync.RWMutex
	tracers map[tracerKey]*tracer

	stopped  atomic.Bool // Shutdown has begun
	shutdown struct {
		done chan struct{}
		err  error // set before done is closed
	}
}

var _ trace.TracerProvider = (*TracerProvider)(nil)

type tracerKey struct {
	name, version, schemaURL string
	attributes               attribute.Set
}

// NewTracerProvider returns a provider that submits every sampled span to c when
// it ends. c may be nil: then spans live as ever, and go nowhere, as with an official
// provider without processors.
//
// The provider takes over the collector: its Shutdown shuts the collector down.
// Without options, the sampler and the limits are those of the environment, or
// ParentBased(AlwaysSample()) and 128 of everything. The resource is the
// collector's, unless WithResource says otherwise.
func NewTracerProvider(c *ringtail.Collector, opts ...Option) *TracerProvider {
	cfg := newConfig(opts)
	p := &TracerProvider{
		collector: c,
		sampler:   cfg.sampler,
		ids:       cfg.ids,
		randomIDs: randomIDs(cfg.ids),
		limits:    cfg.limits,
		noPanics:  cfg.noPanics,
		resource:  cfg.resource,
		logger:    cfg.logger,
		tracers:   make(map[tracerKey]*tracer),
	}
	p.metrics = newMetrics(&cfg)
	if p.processing = newProcessing(&cfg); p.processing != nil && c == nil && p.resource == nil {
		var err error // there is no collector to have one
		if p.resource, err = ringtail.DetectResource(); err != nil {
			cfg.logger.Warn(err.Error())
		}
	}
	p.shutdown.done = make(chan struct{})
	startClock.now() // the first reading looks into a file
	p.verdicts = verdictsOf(cfg.sampler)
	p.decider, _ = cfg.sampler.(decider)
	return p
}

// Tracer returns the tracer of an instrumentation scope: the same one for the same
// name, version, schema URL and attributes. An empty name becomes
// [DefaultTracerName]. After Shutdown it returns tracers that do nothing; tracers
// given out before keep working, and the collector counts their spans as
// [ringtail.ReasonClosed]. (Trace API, "Get a Tracer".)
func (p *TracerProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	if p.stopped.Load() {
		return noop.NewTracerProvider().Tracer(name, opts...)
	}
	if name == "" {
		name = DefaultTracerName
	}
	key := tracerKey{name: name}
	if len(opts) > 0 {
		cfg := trace.NewTracerConfig(opts...)
		key.version, key.schemaURL = cfg.InstrumentationVersion(), cfg.SchemaURL()
		key.attributes = cfg.InstrumentationAttributes()
	}
	p.mu.RLock()
	t := p.tracers[key]
	p.mu.RUnlock()
	if t != nil {
		return t
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t = p.tracers[key]; t != nil {
		return t
	}
	t = newTracer(p, p.newScope(key))
	if len(p.tracers) < maxTracers {
		p.tracers[key] = t
	}
	return t
}

func (p *TracerProvider) newScope(key tracerKey) *ringtail.Scope {
	s := &ringtail.Scope{Name: key.name, Version: key.version, SchemaURL: key.schemaURL, Resource: p.resource}
	if key.attributes.Len() > 0 {
		s.Attributes = slices.Clone(key.attributes.ToSlice())
		for i := range s.Attributes {
			s.Attributes[i].Value = limitDepth(s.Attributes[i].Value, p.limits.AttributeValueDepthLimit)
		}
	}
	return s
}

// ForceFlush returns when every span that ended before has been exported, or
// dropped and counted, by the collector and by all processors, or when ctx ends. It joins
// their errors; see [ringtail.Collector.Flush].
func (p *TracerProvider) ForceFlush(ctx context.Context) error {
	processing := p.processing
	if p.stopped.Load() {
		processing = nil // whose Shutdown flushes
	}
	return p.forAll(ctx, processing, "flush", SpanProcessor.ForceFlush, flush)
}

// flush is [ringtail.Collector.Flush], with an error for what was lost meanwhile.
// (Trace SDK, "ForceFlush": the caller is to know whether it succeeded.)
func flush(c *ringtail.Collector, ctx context.Context) error {
	before := lost(c)
	if err := c.Flush(ctx); err != nil {
		return err
	}
	if n := lost(c) - before; n > 0 {
		return fmt.Errorf("oteltrace: flush: %d spans were not delivered; the exporter's errors are in the log, and the reasons in Stats", n)
	}
	return nil
}

// lost is how many spans were taken and did not arrive.
func lost(c *ringtail.Collector) (n uint64) {
	for reason, count := range c.Stats().Dropped.All() {
		if reason > ringtail.ReasonCanceled {
			n += count
		}
	}
	return n
}

// Shutdown exports what has ended, shuts down the processors in their order, and the
// collector with its exporter, and returns within ctx. Its error says how many spans
// were not delivered. Later calls wait for the first one, as long as their own ctx
// lets them, and return its error; see [ringtail.Collector.Shutdown].
func (p *TracerProvider) Shutdown(ctx context.Context) error {
	if p.stopped.CompareAndSwap(false, true) {
		defer p.metrics.stop(ctx, p.logger)
		p.shutdown.err = p.forAll(ctx, p.processing, "shut down", SpanProcessor.Shutdown, (*ringtail.Collector).Shutdown)
		close(p.shutdown.done)
		return p.shutdown.err
	}
	select {
	case <-p.shutdown.done:
		return p.shutdown.err
	default: // first: a select takes either case when both are ready
	}
	select {
	case <-p.shutdown.done:
		return p.shutdown.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forAll calls one of the processors after the other, and the collector meanwhile, so
// that none of the two can use up the time of the other.
func (p *TracerProvider) forAll(ctx context.Context, processing *processing, act string,
	processor func(SpanProcessor, context.Context) error, collector func(*ringtail.Collector, context.Context) error,
) error {
	switch {
	case processing == nil && p.collector == nil:
		return nil
	case processing == nil:
		return collector(p.collector, ctx)
	case p.collector == nil:
		return processing.each(ctx, act, processor)
	}
	processed := make(chan error, 1)
	go func() { processed <- processing.each(ctx, act, processor) }()
	err := collector(p.collector, ctx)
	return errors.Join(<-processed, err)
}
