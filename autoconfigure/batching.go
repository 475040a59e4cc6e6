package autoconfigure

import (
	"math"
	"time"

	"github.com/ringtail-otel/ringtail"
)

const (
	// queuedSpanBytes is what MAX_QUEUE_SIZE counts a span as: four times the usual, so
	// that as many spans as were asked for have room unless they are very large.
	queuedSpanBytes = 1 << 10

	longest = int(time.Hour / time.Millisecond) // that the collector waits for anything
)

// batching is the OTEL_BSP_ variables; 0 is one that is not set, and stays what the
// collector has. docs/design/autoconfigure.md says why. (Specification: Environment
// Variables, "Batch Span Processor".)
type batching struct {
	age, exportTimeout time.Duration
	queueBytes, spans  int
}

func (e env) batching() batching {
	var b batching
	if ms, ok := e.number("OTEL_BSP_SCHEDULE_DELAY", 0, longest); ok {
		b.age = time.Duration(max(ms, 1)) * time.Millisecond
	}
	if ms, ok := e.number("OTEL_BSP_EXPORT_TIMEOUT", 0, longest); ok {
		if ms == 0 { // no limit, for which a very long time is allowed
			ms = longest
		}
		b.exportTimeout = time.Duration(ms) * time.Millisecond
	}
	if n, ok := e.number("OTEL_BSP_MAX_QUEUE_SIZE", 1, math.MaxInt32); ok {
		b.queueBytes = min(n, math.MaxInt/2/queuedSpanBytes) * queuedSpanBytes
	}
	b.spans, _ = e.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1, 1<<24)
	return b
}

func (b batching) options() []ringtail.Option {
	var opts []ringtail.Option
	if b.age > 0 { // the rings are emptied as often as ever, or more often
		opts = append(opts, ringtail.WithBatchAge(b.age), ringtail.WithInterval(min(b.age, 100*time.Millisecond)))
	}
	if b.exportTimeout > 0 {
		opts = append(opts, ringtail.WithExportTimeout(b.exportTimeout))
	}
	if b.queueBytes > 0 {
		opts = append(opts, ringtail.WithQueueBytes(b.queueBytes))
	}
	if b.spans > 0 {
		opts = append(opts, ringtail.WithBatchSpans(b.spans))
	}
	return opts
}
