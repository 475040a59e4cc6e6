package otelsdk

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func TestOnEndDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	span := fiveAttributes()
	onBothPaths(t, func(t *testing.T, start starter) {
		h := start(never, sdktrace.WithMaxQueueSize(10000), sdktrace.WithMaxExportBatchSize(10000))
		h.OnEnd(span)
		if n := testing.AllocsPerRun(1000, func() { h.OnEnd(span) }); n >= 1 {
			t.Errorf("%v allocations", n)
		}
		h.mustShutdown()
		if n := h.Stats().Dropped.Total(); n > 0 {
			t.Errorf("%d dropped", n)
		}
	})
}
