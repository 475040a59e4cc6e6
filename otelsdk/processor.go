package otelsdk

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

// BatchSpanProcessor is what [NewBatchSpanProcessor] returns: assert it to get at
// Stats.
//
//	p := otelsdk.NewBatchSpanProcessor(exporter).(*otelsdk.BatchSpanProcessor)
//
// All methods may be called from any goroutine. OnEnd never waits for an export, but
// with the one option that asks for it, and calls of OnEnd share no lock.
type BatchSpanProcessor struct {
	pipeline pipeline // nil: there is no exporter, and nothing to do
}

var _ sdktrace.SpanProcessor = (*BatchSpanProcessor)(nil)

// pipeline takes spans to an exporter: as bytes, if it is one of ours, or as they are.
type pipeline interface {
	// offer takes a sampled span, or drops it, counts it and says so in the log.
	offer(sdktrace.ReadOnlySpan)
	flush(context.Context) error
	shutdown(context.Context) error
	stats() ringtail.Stats
}

// NewBatchSpanProcessor takes the place of the official function of that name, with
// the same options, defaults and OTEL_BSP_* variables. What it returns is a
// [*BatchSpanProcessor], which takes over the exporter and shuts it down. A nil
// exporter gives a processor that does nothing.
//
// An exporter made by [NewSpanExporter] is given bytes: the spans are encoded as they
// end, and exported by several goroutines at once. Any other one is given the spans,
// by one goroutine, as its contract asks.
//
// MaxQueueSize spans find room while the backend does not answer, besides the batch
// that it has; a span more is dropped and counted, or waits, with WithBlocking. For an
// exporter of ours the room is memory: 2 KiB for each span, so that several
// times as many fit as long as they are small. Values of the options that are 0 or
// below mean the default, but for a BatchTimeout, which becomes 1 ms, and an
// ExportTimeout, which becomes none. A MaxExportBatchSize above MaxQueueSize is
// lowered to it.
//
// [WithMeterProvider] is one more option, for its metrics.
//
// Failed exports and dropped spans are logged through [slog.Default], each at most
// once in 10 s. (Specification: Trace SDK, "Batching processor".)
func NewBatchSpanProcessor(exporter sdktrace.SpanExporter, options ...sdktrace.BatchSpanProcessorOption) sdktrace.SpanProcessor {
	if exporter == nil {
		return &BatchSpanProcessor{}
	}
	o := batchOptions(options)
	if ours, ok := exporter.(*SpanExporter); ok {
		return &BatchSpanProcessor{pipeline: newEncoded(ours, o)}
	}
	return &BatchSpanProcessor{pipeline: newTyped(exporter, o)}
}

// OnStart does nothing.
func (p *BatchSpanProcessor) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd takes a span, if it is sampled. When the queue is full the span is dropped and
// counted as [ringtail.ReasonFull], or with BlockOnQueueFull OnEnd waits for room,
// until Shutdown at the latest. After Shutdown it is counted as [ringtail.ReasonClosed].
func (p *BatchSpanProcessor) OnEnd(s sdktrace.ReadOnlySpan) {
	if p.pipeline != nil {
		p.pipeline.offer(s)
	}
}

// ForceFlush returns when every span that ended before has been exported, or when ctx
// ends. An error says how many spans were lost meanwhile, or are still on their way
// when ctx ends; these are exported later. After Shutdown there is nothing to do.
func (p *BatchSpanProcessor) ForceFlush(ctx context.Context) error {
	if p.pipeline == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return p.inFlight(err)
	}
	before := undelivered(p.pipeline.stats())
	err := p.pipeline.flush(ctx)
	if ctx.Err() != nil && err == ctx.Err() {
		return p.inFlight(err)
	}
	if lost := undelivered(p.pipeline.stats()) - before; lost > 0 {
		if err == nil {
			err = errInLog
		}
		return fmt.Errorf("otelsdk: flush: %d spans were not delivered: %w", lost, err)
	}
	if err != nil {
		return fmt.Errorf("otelsdk: cannot flush: %w", err)
	}
	return nil
}

func (p *BatchSpanProcessor) inFlight(err error) error {
	return fmt.Errorf("otelsdk: cannot flush in time: %d spans are not delivered yet: %w", p.pipeline.stats().InFlight, err)
}

// Shutdown refuses further spans, exports what there is, shuts the exporter down, and
// returns within ctx. No span whose OnEnd returned before, or took it meanwhile, is
// lost while the backend answers. When ctx ends first, the export under way is told to
// stop, what is left counts as [ringtail.ReasonShutdown], and the error says how many
// spans were not delivered. Later calls wait for the first one, as long as
// their own ctx lets them, and return its error.
func (p *BatchSpanProcessor) Shutdown(ctx context.Context) error {
	if p.pipeline == nil {
		return nil
	}
	return p.pipeline.shutdown(ctx)
}

// Stats returns the ledger: every sampled span that ended is exported, dropped for a
// reason, or in flight. Fields that tell of rings and queues are set for exporters of
// ours only.
func (p *BatchSpanProcessor) Stats() ringtail.Stats {
	if p.pipeline == nil {
		return ringtail.Stats{}
	}
	return p.pipeline.stats()
}

// undelivered returns how many spans were taken and then lost.
func undelivered(s ringtail.Stats) uint64 {
	var n uint64
	for reason, count := range s.Dropped.All() {
		if reason > ringtail.ReasonCanceled {
			n += count
		}
	}
	return n
}
