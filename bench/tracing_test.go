package main

import (
	"context"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ringtail-otel/ringtail/otelsdk"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

func TestRecordPausesBeforeTheRoomIsFull(t *testing.T) {
	var waiting, came, flushes, most int
	tr := noTracing()
	tr.room = 1000
	tr.arrived = func() uint64 { return uint64(came) }
	tr.flush = func(context.Context) error {
		flushes++
		came, waiting = came+waiting, 0
		return nil
	}
	tr.shutdown = tr.flush
	if err := tr.record(10_000, func(context.Context, trace.Tracer) {
		waiting++
		most = max(most, waiting)
	}); err != nil {
		t.Fatal(err)
	}
	if most > tr.room || flushes < 2 {
		t.Errorf("%d spans waited, with room for %d; %d flushes", most, tr.room, flushes)
	}
	if err := tr.complete(10_000); err != nil {
		t.Error(err)
	}
	if err := tr.complete(10_001); err == nil {
		t.Error("a lost span was not noticed")
	}
}

func TestUnsampledFindsSpansThatArrive(t *testing.T) {
	var arrived atomic.Uint64
	tr, err := unsampled(func() (*tracing, error) {
		tr := noTracing()
		tr.room, tr.arrived = 1, arrived.Load
		return tr, nil
	})()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.shutdown(t.Context()); err != nil || !tr.nowhere || tr.room != unbounded {
		t.Errorf("got %v, with room for %d, nowhere %v", err, tr.room, tr.nowhere)
	}
	arrived.Store(1)
	if err := tr.shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "not sampled") {
		t.Errorf("got %v, want an error that tells of spans that were not sampled", err)
	}
}

// What the rows multiply the room with must not overflow.
func TestUnboundedRoom(t *testing.T) {
	if unbounded*3/4 < math.MaxInt32 {
		t.Errorf("three quarters of %d are %d", unbounded, unbounded*3/4)
	}
}

// Each contender's spans arrive, through everything that counts them on the way.
func TestProvidersAndTheirCounts(t *testing.T) {
	for name, of := range map[string]provider{
		"ours":            oursNull(oteltrace.AlwaysSample()),
		"SDK":             sdkNull(sdktrace.NewBatchSpanProcessor, sdktrace.AlwaysSample()),
		"SDK to ours":     sdkOursNull,
		"ours, processor": sdkNull(otelsdk.NewBatchSpanProcessor, sdktrace.AlwaysSample()),
	} {
		tr, err := of()
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.record(1000, five); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := tr.complete(1000); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	calls := 0
	withDuties(func(context.Context, trace.Tracer) { calls++ })(t.Context(), noop.Tracer{})
	if calls != 1 {
		t.Errorf("a span with duties lived %d times", calls)
	}
}
