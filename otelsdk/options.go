package otelsdk

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// batching is what a processor is made of: the official options, and ours.
type batching struct {
	sdktrace.BatchSpanProcessorOptions
	meters metric.MeterProvider // nil: no metrics
}

// building finds the batching whose official options an option is given: its signature is
// the official one, which has no room for more.
var building sync.Map // of *batching by *sdktrace.BatchSpanProcessorOptions

// batchOptions returns what the environment and then the options ask for, made usable.
func batchOptions(options []sdktrace.BatchSpanProcessorOption) *batching {
	b := &batching{}
	o := &b.BatchSpanProcessorOptions
	*o = sdktrace.BatchSpanProcessorOptions{
		MaxQueueSize:       envInt("OTEL_BSP_MAX_QUEUE_SIZE", sdktrace.DefaultMaxQueueSize),
		BatchTimeout:       envMilliseconds("OTEL_BSP_SCHEDULE_DELAY", sdktrace.DefaultScheduleDelay),
		ExportTimeout:      envMilliseconds("OTEL_BSP_EXPORT_TIMEOUT", sdktrace.DefaultExportTimeout),
		MaxExportBatchSize: envInt("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", sdktrace.DefaultMaxExportBatchSize),
	}
	building.Store(o, b)
	defer building.Delete(o)
	for _, option := range options {
		if option != nil {
			option(o)
		}
	}
	if o.MaxQueueSize < 1 {
		o.MaxQueueSize = sdktrace.DefaultMaxQueueSize
	}
	if o.MaxExportBatchSize < 1 {
		o.MaxExportBatchSize = sdktrace.DefaultMaxExportBatchSize
	}
	o.MaxExportBatchSize = min(o.MaxExportBatchSize, o.MaxQueueSize)
	o.BatchTimeout = max(o.BatchTimeout, time.Millisecond)
	o.ExportTimeout = max(o.ExportTimeout, 0)
	return b
}

func envMilliseconds(name string, fallback int) time.Duration {
	return time.Duration(envInt(name, fallback)) * time.Millisecond
}

// envInt reads a number above 0. Another value is reported, and not used.
func envInt(name string, fallback int) int {
	value := strings.TrimSpace(os.Getenv(name))
	if value == "" {
		return fallback
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		slog.Default().Warn("otelsdk: cannot use "+name+": want a number above 0", "value", value, "used", fallback)
		return fallback
	}
	return n
}
