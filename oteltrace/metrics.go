package oteltrace

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// WithMeterProvider makes the provider measure itself, by the semantic conventions
// for OpenTelemetry SDKs (in development): otel.sdk.span.started and
// otel.sdk.span.live. What comes behind, the collector measures; see
// [ringtail.WithMeterProvider]. Nil is ignored.
func WithMeterProvider(m metric.MeterProvider) Option {
	return func(c *config) {
		if m != nil {
			c.meters = m
		}
	}
}

// metrics counts spans in shards, of which each processor mostly has one for itself,
// and adds them up when it is asked. Spans with a pooled record count in the shard of that,
// and others in one that a pool gives them a hint to: pools are local to processors.
type metrics struct {
	shards       []shard
	hints        sync.Pool // of *uint32
	next         atomic.Uint32
	registration metric.Registration
}

// shard has a cache line of its own, and the next one, which is fetched with it.
type shard struct {
	started [numAncestries][RecordAndSample + 1]atomic.Int64
	ended   [2]atomic.Int64 // by whether they were sampled
	_       [120]byte
}

// newMetrics returns nil without a meter provider.
func newMetrics(c *config) *metrics {
	if c.meters == nil {
		return nil
	}
	m := &metrics{shards: make([]shard, 4*runtime.GOMAXPROCS(0))}
	m.hints.New = func() any { return new(m.next.Add(1)) }
	if err := m.register(c.meters); err != nil {
		c.logger.Warn("oteltrace: cannot make all instruments: " + err.Error())
	}
	return m
}

// shard returns the shard of a number, whatever number.
func (m *metrics) shard(number uint32) *shard { return &m.shards[number%uint32(len(m.shards))] }

// started counts a span that begins without a pooled record.
func (m *metrics) started(kin ancestry, decision SamplingDecision) {
	hint := m.hints.Get().(*uint32)
	m.shard(*hint).started[kin][decision].Add(1)
	m.hints.Put(hint)
}

// ended counts a recording span that ends without a pooled record.
func (m *metrics) ended(flags trace.TraceFlags) {
	hint := m.hints.Get().(*uint32)
	m.shard(*hint).ended[flags&trace.FlagsSampled].Add(1)
	m.hints.Put(hint)
}

// origins are the values of otel.span.parent.origin.
var origins = [numAncestries]string{"none", "remote", "remote", "local", "local"}

func (m *metrics) register(meters metric.MeterProvider) error {
	meter := meters.Meter(DefaultTracerName, metric.WithInstrumentationVersion(ringtail.Version))
	started, err := meter.Int64ObservableCounter("otel.sdk.span.started", metric.WithUnit("{span}"),
		metric.WithDescription("The number of created spans."))
	if err != nil {
		return err
	}
	live, err := meter.Int64ObservableUpDownCounter("otel.sdk.span.live", metric.WithUnit("{span}"),
		metric.WithDescription("The number of created spans with recording=true for which the end operation has not been called yet."))
	if err != nil {
		return err
	}
	m.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.observe(o, started, live)
		return nil
	}, started, live)
	return err
}

// observe reports every combination that there has been.
func (m *metrics) observe(o metric.Observer, started, live metric.Int64Observable) {
	// What has ended is read first, so that no number of live spans is below zero.
	var ended [2]int64
	for i := range m.shards {
		for j := range ended {
			ended[j] += m.shards[i].ended[j].Load()
		}
	}
	var begun [RecordAndSample + 1]int64
	sums := make(map[[2]string]int64)
	for i := range m.shards {
		for kin := range numAncestries {
			for decision := range begun {
				n := m.shards[i].started[kin][decision].Load()
				begun[decision] += n
				sums[[2]string{origins[kin], SamplingDecision(decision).String()}] += n
			}
		}
	}
	for key, n := range sums {
		if n > 0 {
			o.ObserveInt64(started, n, metric.WithAttributes(
				attribute.String("otel.span.parent.origin", key[0]), attribute.String("otel.span.sampling_result", key[1])))
		}
	}
	for j, decision := range []SamplingDecision{RecordOnly, RecordAndSample} {
		if begun[decision] > 0 {
			o.ObserveInt64(live, begun[decision]-ended[j], metric.WithAttributes(attribute.String("otel.span.sampling_result", decision.String())))
		}
	}
}

// stop ends the observation, which waits for the one that is under way, within ctx. m may
// be nil.
func (m *metrics) stop(ctx context.Context, logger *slog.Logger) {
	if m == nil || m.registration == nil {
		return
	}
	if err := within(ctx, m.registration.Unregister); err != nil && ctx.Err() == nil {
		logger.Warn("oteltrace: cannot unregister the metrics: " + err.Error())
	}
}
