package ringtail

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
)

// describedBackend says what it is.
type describedBackend struct {
	backend
	info ExporterInfo
}

func (e *describedBackend) Describe() ExporterInfo { return e.info }

// TestMetrics follows spans through queue and exporter.
func TestMetrics(t *testing.T) {
	m := newMeters()
	begun, goOn := make(chan struct{}), make(chan error)
	e := &describedBackend{info: ExporterInfo{Type: t.Name(), ServerAddress: "shop", ServerPort: 99}}
	e.behave = func(context.Context, *Batch) (int, error) { begun <- struct{}{}; return 0, <-goOn }
	c := start(t, e, WithMeterProvider(m), WithInterval(time.Hour), WithRingBits(6), WithBatchSpans(10), WithConcurrentExports(1),
		WithQueueBytes(1<<20), WithSampler(samplerFunc(func(s *Span) bool { return s.Name != "sampled" })))
	want := func(what string, want map[string]int64) {
		t.Helper()
		got := m.collect()
		checkMeters(t, got)
		if maps.DeleteFunc(got, func(_ string, n int64) bool { return n == 0 }); !maps.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", what, got, want)
		}
	}
	const queueBytes = 1 << 20 / 256
	want("at the start", map[string]int64{"processor.span.queue.capacity": queueBytes})
	p, _ := c.Register()
	ring := int64(64 + queueBytes)
	for n := range uint64(25) {
		p.TrySubmit(numbered(n))
	}
	p.TrySubmit(&Span{})
	sampled := numbered(99)
	sampled.Name = "sampled"
	p.TrySubmit(sampled)
	want("submitted", map[string]int64{"processor.span.queue.capacity": ring, "processor.span.queue.size": 25,
		"processor.span.processed invalid": 1})
	c.wake()
	<-begun
	want("given to the exporter", map[string]int64{"processor.span.queue.capacity": ring, "processor.span.queue.size": 15,
		"processor.span.processed": 10, "processor.span.processed invalid": 1, "exporter.span.inflight": 10})
	goOn <- nil
	<-begun
	goOn <- errors.Join(&ExportError{Spans: 4, Reason: ReasonRejected}, &ExportError{Spans: 1, Reason: ReasonTimeout})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Shutdown(ctx) }()
	<-begun
	want("the last batch", map[string]int64{"processor.span.queue.capacity": ring,
		"processor.span.processed": 25, "processor.span.processed invalid": 1,
		"exporter.span.exported": 15, "exporter.span.exported rejected": 4, "exporter.span.exported timeout": 1, "exporter.span.inflight": 5})
	cancel()
	if err := <-done; err == nil {
		t.Error("nothing is lost")
	}
	goOn <- nil // too late
	if last := m.final(t); last["exporter.span.exported shutdown"] != 5 || last["exporter.span.inflight"] != 0 {
		t.Errorf("at the end: %v", last)
	}
	want("after Shutdown", map[string]int64{})
	c.sender.wg.Wait()
	if want := map[string]int{"exporter.operation.duration": 2, "exporter.operation.duration rejected": 1}; !maps.Equal(m.recorded, want) || m.seconds <= 0 {
		t.Errorf("durations %v, want %v", m.recorded, want)
	}

	for series, kvs := range m.attributes {
		kind := "batching_span_processor"
		if strings.HasPrefix(series, "exporter") {
			kind = t.Name()
		}
		if got, _ := kvs.Value("otel.component.type"); got.AsString() != kind {
			t.Errorf("%s: type %s", series, got.AsString())
		}
		if got, _ := kvs.Value("otel.component.name"); !strings.HasPrefix(got.AsString(), kind+"/") {
			t.Errorf("%s: name %s", series, got.AsString())
		}
		address, _ := kvs.Value("server.address")
		port, _ := kvs.Value("server.port")
		if remote := kind == t.Name(); (address.AsString() == "shop") != remote || (port.AsInt64() == 99) != remote {
			t.Errorf("%s: %v", series, kvs)
		}
	}
	units := map[string]string{"otel.sdk.processor.span.queue.size": "{span}", "otel.sdk.processor.span.queue.capacity": "{span}",
		"otel.sdk.processor.span.processed": "{span}", "otel.sdk.exporter.span.inflight": "{span}",
		"otel.sdk.exporter.span.exported": "{span}", "otel.sdk.exporter.operation.duration": "s"}
	if !maps.Equal(m.units, units) || m.scope != "github.com/ringtail-otel/ringtail "+Version {
		t.Errorf("%s: %v", m.scope, m.units)
	}
}

// TestMetricsOfSpansNeverSent: what Shutdown gives up before the exporter had it is the
// processor's failure and not the exporter's.
func TestMetricsOfSpansNeverSent(t *testing.T) {
	m := newMeters()
	behave, begun := hang(t)
	c := start(t, &backend{behave: behave}, WithMeterProvider(m), WithBatchSpans(10), WithConcurrentExports(1), WithRingBits(6))
	for n := range uint64(35) {
		c.TrySubmit(numbered(n))
	}
	c.wake()
	<-begun
	c.Shutdown(ended)
	last := m.final(t)
	checkMeters(t, last)
	handed, refused := sum(last, "processor.span.processed")
	if handed != 10 || refused != 25 || last["processor.span.processed shutdown"] != 25 ||
		last["exporter.span.exported shutdown"] != 10 || last["processor.span.queue.size"] != 0 {
		t.Errorf("%v", last)
	}
}

// TestMetricsNames: components are counted by type, and go by their Go type if they
// do not say what they are.
func TestMetricsNames(t *testing.T) {
	name := func(e Exporter) string {
		set := attribute.NewSet(describe(e)...)
		v, _ := set.Value("otel.component.name")
		return v.AsString()
	}
	for e, kind := range map[Exporter]string{
		&describedBackend{info: ExporterInfo{Type: t.Name()}}: t.Name(),
		new(describedBackend): "github.com/ringtail-otel/ringtail.describedBackend",
		struct{ Exporter }{}:  "struct { ringtail.Exporter }",
	} {
		first, found := strings.CutPrefix(name(e), kind+"/")
		n, err := strconv.Atoi(first)
		if !found || err != nil {
			t.Errorf("%s is called %s", kind, first)
		}
		for i := 1; i < 4; i++ {
			if got, want := name(e), fmt.Sprintf("%s/%d", kind, n+i); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
	if set := describe(new(backend)); len(set) != 2 {
		t.Errorf("%v", set)
	}
}

func TestMetricsThatCannotBeMade(t *testing.T) {
	m := newMeters()
	m.broken = errors.New("broken")
	if _, err := New(new(backend), WithMeterProvider(m)); !errors.Is(err, m.broken) || !strings.Contains(fmt.Sprint(err), "WithMeterProvider") {
		t.Errorf("%v", err)
	}
	if len(m.callbacks) != 0 {
		t.Error("registered all the same")
	}
	c := start(t, new(backend), WithMeterProvider(nil))
	if c.metrics != nil {
		t.Error("metrics of nothing")
	}
}
