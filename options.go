package ringtail

import (
	"fmt"
	"log/slog"
	"math/bits"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// An Option configures a [Collector] or a [Core]. Options are applied in order, so
// that one behind a preset changes that one thing.
type Option func(*config)

type config struct {
	ringBits     int
	maxProducers int
	interval     time.Duration
	maxPoll      int

	batchSpans    int
	batchBytes    int
	batchAge      time.Duration
	queueBytes    int
	exports       int
	exportTimeout time.Duration
	adaptive      bool

	resource *Resource
	sampler  Sampler
	logger   *slog.Logger

	meterProvider metric.MeterProvider
}

// spanBytes is what a ring is sized by: the room for one span of a few attributes.
const spanBytes = 256

func (c *config) ringBytes() int { return spanBytes << c.ringBits }

// WithRingBits sets the size of each producer's ring: 2^n spans of 256 bytes. A
// span may take up to half a ring, so that one of more than 2^n × 128 bytes is
// [ErrTooLarge]. Default 13 (2 MiB), 6 to 22.
func WithRingBits(n int) Option { return func(c *config) { c.ringBits = n } }

// WithMaxProducers bounds the producers registered at one time. Default 64. The
// collector-wide submits use rings of their own on top of these, at most one for
// each processor and one more. Memory for a ring is taken when it is first needed.
func WithMaxProducers(n int) Option { return func(c *config) { c.maxProducers = n } }

// WithInterval sets how often the rings are polled. They are polled earlier when
// one is more than half full. Default 100 ms.
func WithInterval(d time.Duration) Option { return func(c *config) { c.interval = d } }

// WithMaxPoll sets how many spans one poll takes from all rings together, before
// it looks at what else there is to do, and then polls on. Default 4096.
func WithMaxPoll(spans int) Option { return func(c *config) { c.maxPoll = spans } }

// WithBatchSpans sets the number of spans at which a batch is closed and sent.
// Default 4096.
func WithBatchSpans(n int) Option { return func(c *config) { c.batchSpans = n } }

// WithBatchBytes sets the encoded size at which a batch is closed and sent; the
// last span may exceed it. Default 1 MiB.
func WithBatchBytes(n int) Option { return func(c *config) { c.batchBytes = n } }

// WithBatchAge sets how long a batch waits for more spans, as long as there is
// an export free to take it. It is looked at once an interval. Default 200 ms.
func WithBatchAge(d time.Duration) Option { return func(c *config) { c.batchAge = d } }

// WithQueueBytes bounds the memory of closed batches that wait for an export. When
// it is used up, spans stay in their rings, and when these are full, submits
// are refused or wait. Default 64 MiB.
func WithQueueBytes(n int) Option { return func(c *config) { c.queueBytes = n } }

// WithConcurrentExports sets how many exports may be under way at once. Default 4.
func WithConcurrentExports(n int) Option { return func(c *config) { c.exports = n } }

// WithExportTimeout bounds a single export, with all its retries. Default 90 s: longer
// than the OTLP exporters try by themselves, so that it is they who give up.
func WithExportTimeout(d time.Duration) Option { return func(c *config) { c.exportTimeout = d } }

// WithAdaptiveBatching lets the size of batches and the number of concurrent
// exports follow the exporter's latency, within WithBatchSpans and
// WithConcurrentExports. See docs/design/adaptive-batching.md.
func WithAdaptiveBatching() Option { return func(c *config) { c.adaptive = true } }

// WithResource sets the resource of all spans, in place of what
// [DetectResource] finds.
func WithResource(r *Resource) Option { return func(c *config) { c.resource = r } }

// WithSampler puts a head sampler in front of every submit.
func WithSampler(s Sampler) Option { return func(c *config) { c.sampler = s } }

// WithLogger sets where problems of the exporter, and spans that submits dropped, are
// reported: each kind at most once every ten seconds, with the number of those left
// out. What a head sampler decided against is no problem. Default slog.Default().
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// LowLatency is a preset for spans that should be seen soon: rings of 4 Ki spans
// (1 MiB), polled every 50 ms, at most 1 000 spans a poll, 16 producers.
func LowLatency() Option {
	return func(c *config) {
		c.ringBits, c.interval, c.maxPoll, c.maxProducers = 12, 50*time.Millisecond, 1000, 16
		c.batchSpans, c.batchAge = 1000, 50*time.Millisecond
	}
}

// HighThroughput is a preset for many spans: rings of 64 Ki spans (16 MiB),
// polled every 200 ms, at most 10 000 spans a poll, 32 producers.
func HighThroughput() Option {
	return func(c *config) {
		c.ringBits, c.interval, c.maxPoll, c.maxProducers = 16, 200*time.Millisecond, 10_000, 32
		c.batchSpans, c.batchBytes, c.batchAge = 10_000, 3<<20, 200*time.Millisecond
		c.queueBytes = 256 << 20
	}
}

func newConfig(opts []Option) (config, error) {
	c := config{
		ringBits: 13, maxProducers: 64, interval: 100 * time.Millisecond, maxPoll: 4096,
		batchSpans: 4096, batchBytes: 1 << 20, batchAge: 200 * time.Millisecond,
		queueBytes: 64 << 20, exports: 4, exportTimeout: 90 * time.Second,
	}
	for i, o := range opts {
		if o == nil {
			return c, fmt.Errorf("ringtail: option %d is nil", i)
		}
		o(&c)
	}
	if err := c.validate(); err != nil {
		return c, err
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	if c.resource == nil {
		var err error
		if c.resource, err = DetectResource(); err != nil {
			c.logger.Warn(err.Error())
		}
	}
	return c, nil
}

// validate names the first option whose value is of no use.
func (c *config) validate() error {
	for _, o := range []struct {
		name       string
		value      int
		least, max int
	}{
		{"WithRingBits", c.ringBits, 6, 22},
		{"WithMaxProducers", c.maxProducers, 1, 1 << 16},
		{"WithMaxPoll", c.maxPoll, 1, 1 << 24},
		{"WithBatchSpans", c.batchSpans, 1, 1 << 24},
		{"WithBatchBytes", c.batchBytes, 1 << 10, 1 << 30},
		{"WithQueueBytes", c.queueBytes, 1 << 10, 1<<(bits.UintSize-2) - 1},
		{"WithConcurrentExports", c.exports, 1, 1 << 10},
	} {
		if o.value < o.least || o.value > o.max {
			return fmt.Errorf("ringtail: %s(%d): want %d to %d", o.name, o.value, o.least, o.max)
		}
	}
	for _, o := range []struct {
		name  string
		value time.Duration
	}{
		{"WithInterval", c.interval},
		{"WithBatchAge", c.batchAge},
		{"WithExportTimeout", c.exportTimeout},
	} {
		if o.value < time.Millisecond || o.value > time.Hour {
			return fmt.Errorf("ringtail: %s(%v): want 1ms to 1h", o.name, o.value)
		}
	}
	return nil
}
