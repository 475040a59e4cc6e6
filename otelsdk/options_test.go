package otelsdk

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
)

func TestOptions(t *testing.T) {
	type options = sdktrace.BatchSpanProcessorOptions
	defaults := options{MaxQueueSize: 2048, BatchTimeout: 5 * time.Second, ExportTimeout: 30 * time.Second, MaxExportBatchSize: 512}
	with := func(f func(*options)) options {
		o := defaults
		f(&o)
		return o
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		opts []sdktrace.BatchSpanProcessorOption
		want options
	}{
		{"default", nil, nil, defaults},
		{"environment", map[string]string{
			"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_SCHEDULE_DELAY": "7", "OTEL_BSP_EXPORT_TIMEOUT": "8",
			"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "9",
		}, nil, options{MaxQueueSize: 100, BatchTimeout: 7 * time.Millisecond, ExportTimeout: 8 * time.Millisecond, MaxExportBatchSize: 9}},
		{"options win", map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, []sdktrace.BatchSpanProcessorOption{
			sdktrace.WithMaxQueueSize(5000), sdktrace.WithBatchTimeout(time.Minute), sdktrace.WithExportTimeout(time.Hour),
			sdktrace.WithMaxExportBatchSize(700), sdktrace.WithBlocking(), nil,
		}, options{MaxQueueSize: 5000, BatchTimeout: time.Minute, ExportTimeout: time.Hour, MaxExportBatchSize: 700, BlockOnQueueFull: true}},
		{"not a number", map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "many", "OTEL_BSP_SCHEDULE_DELAY": "-1", "OTEL_BSP_EXPORT_TIMEOUT": "0"},
			nil, defaults},
		{"a batch larger than the queue", nil, []sdktrace.BatchSpanProcessorOption{sdktrace.WithMaxQueueSize(3)},
			with(func(o *options) { o.MaxQueueSize, o.MaxExportBatchSize = 3, 3 })},
		{"no sense", nil, []sdktrace.BatchSpanProcessorOption{
			sdktrace.WithMaxQueueSize(-1), sdktrace.WithMaxExportBatchSize(0), sdktrace.WithBatchTimeout(0), sdktrace.WithExportTimeout(-1),
		}, with(func(o *options) { o.BatchTimeout, o.ExportTimeout = time.Millisecond, 0 })},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			if got := batchOptions(test.opts).BatchSpanProcessorOptions; got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

// TestExtremeOptions: there is no value that a collector would not accept.
func TestExtremeOptions(t *testing.T) {
	onBothPaths(t, func(t *testing.T, start starter) {
		for _, opts := range [][]sdktrace.BatchSpanProcessorOption{
			{sdktrace.WithMaxQueueSize(1), sdktrace.WithBatchTimeout(1), sdktrace.WithExportTimeout(1000 * time.Hour)},
			{sdktrace.WithMaxQueueSize(1 << 24), sdktrace.WithMaxExportBatchSize(1 << 24), sdktrace.WithBatchTimeout(1000 * time.Hour), sdktrace.WithExportTimeout(0)},
		} {
			h := start(opts...)
			h.end(0, 1)
			h.mustShutdown()
			h.wantAll(1)
		}
	})
}

// TestDropsAreLogged: at once, by reason, and then not for a while.
func TestDropsAreLogged(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	h := start(t, paths["typed"])
	h.mustShutdown()
	h.end(0, 3)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"otelsdk: spans dropped" already_shutdown=1`) {
		t.Errorf("the log has %q", got)
	}
	log.Reset()
	h.pipeline.(*typed).drops.next.Store(0) // as if the period were over
	h.end(0, 1)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "already_shutdown=3") {
		t.Errorf("the log has %q", got)
	}
	if n := h.Stats().Dropped.Of(ringtail.ReasonClosed); n != 4 {
		t.Errorf("%d are counted", n)
	}
}
