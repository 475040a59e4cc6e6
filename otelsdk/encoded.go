package otelsdk

import (
	"context"
	"math/bits"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// encoded is the pipeline to an exporter of ours: a collector, which encodes each
// span as it ends, and exports bytes.
type encoded struct {
	collector  *ringtail.Collector
	block      bool
	scopes     scopes
	converters sync.Pool // of *converter
}

// What a span of the queue is taken to need. The official processor's spans of five
// attributes take 1.6 KB, so that its users' sizes are safe with as much; encoded they
// take a quarter of a KB.
const (
	queuedSpanBytes = 2 << 10
	ringSpanBits    = 13 // the least and the most spans of 256 bytes that
	mostSpanBits    = 16 // a burst finds room for in a ring, whatever the drainer does
)

func newEncoded(e *SpanExporter, o *batching) *encoded {
	timeout := min(max(o.ExportTimeout, time.Millisecond), time.Hour)
	if o.ExportTimeout == 0 {
		timeout = time.Hour // the longest that a collector knows
	}
	const most = 1<<30 - 1
	opts := []ringtail.Option{
		ringtail.WithRingBits(min(max(bits.Len(uint(o.MaxQueueSize-1)), ringSpanBits), mostSpanBits)),
		ringtail.WithQueueBytes(max(min(o.MaxQueueSize, most/queuedSpanBytes)*queuedSpanBytes, 1<<10)),
		ringtail.WithBatchSpans(min(o.MaxExportBatchSize, 1<<24)),
		ringtail.WithBatchAge(min(o.BatchTimeout, time.Hour)),
		ringtail.WithInterval(min(o.BatchTimeout, 100*time.Millisecond)),
		ringtail.WithExportTimeout(timeout),
		ringtail.WithResource(noResource), // each scope has its own
	}
	c, err := ringtail.New(collected{e}, append(opts, ringtail.WithMeterProvider(o.meters))...)
	if err != nil && o.meters != nil {
		logNoMetrics(err)
		c, err = ringtail.New(collected{e}, opts...)
	}
	if err != nil {
		panic(err) // every value was brought within its limits above
	}
	return &encoded{collector: c, block: o.BlockOnQueueFull}
}

var noResource = &ringtail.Resource{}

func (p *encoded) offer(s sdktrace.ReadOnlySpan) {
	sc := s.SpanContext()
	if !sc.IsSampled() {
		return
	}
	c, _ := p.converters.Get().(*converter)
	if c == nil {
		c = &converter{scopes: &p.scopes}
	}
	c.convert(s, sc)
	// The collector counts and logs what it refuses.
	if p.block {
		_ = p.collector.Submit(context.Background(), &c.span)
	} else {
		_ = p.collector.TrySubmit(&c.span)
	}
	c.clear()
	p.converters.Put(c)
}

func (p *encoded) flush(ctx context.Context) error    { return p.collector.Flush(ctx) }
func (p *encoded) shutdown(ctx context.Context) error { return p.collector.Shutdown(ctx) }
func (p *encoded) stats() ringtail.Stats              { return p.collector.Stats() }

// collected is a [SpanExporter] as its collector sees it.
type collected struct{ e *SpanExporter }

func (c collected) Export(ctx context.Context, b *ringtail.Batch) error {
	return c.e.exporter.Export(ctx, b)
}

// Describe says what the exporter is, and not that it is wrapped.
func (c collected) Describe() (info ringtail.ExporterInfo) {
	if d, ok := c.e.exporter.(ringtail.Describer); ok {
		info = d.Describe()
	}
	if info.Type == "" {
		info.Type = typeName(c.e.exporter)
	}
	return info
}

func (c collected) Shutdown(ctx context.Context) error { return c.e.Shutdown(ctx) }

func (c collected) Flush(ctx context.Context) error {
	if f, ok := c.e.exporter.(ringtail.Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}
