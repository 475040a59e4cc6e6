package autoconfigure

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"

	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// own is a propagator that a program brings along.
type own struct{ propagation.TextMapPropagator }

func (own) Fields() []string { return []string{"own"} }

func TestPropagators(t *testing.T) {
	w3c := []string{"baggage", "traceparent", "tracestate"}
	for _, c := range []struct {
		value string
		want  []string
		log   int // lines
	}{
		{"", w3c, 0},
		{"tracecontext,baggage", w3c, 0},
		{" Baggage ,baggage,,TRACECONTEXT", w3c, 0},
		{"tracecontext", w3c[1:], 0},
		{"none", nil, 0},
		{"none,baggage", w3c[:1], 1},
		{"b3,baggage", w3c[:1], 1},
		{"b3,jaeger", w3c, 2}, // nothing of it is known
		{"B3,own", []string{"own"}, 1},
	} {
		t.Run(c.value, func(t *testing.T) {
			setenv(t, map[string]string{"OTEL_PROPAGATORS": c.value})
			var log logBuffer
			p := newConfig([]Option{WithPropagator("Own", own{}), withLog(&log)}).propagator()
			if got := slices.Sorted(slices.Values(p.Fields())); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if got := log.String(); strings.Count(got, "ignoring OTEL_PROPAGATORS") != c.log || strings.Contains(strings.ToLower(c.value), "b3") != strings.Contains(got, `autoconfigure.WithPropagator(\"b3\", …)`) {
				t.Error(got)
			}
		})
	}
}

// A name that is given twice is one propagator.
func TestPropagatorsAreNotRepeated(t *testing.T) {
	setenv(t, map[string]string{"OTEL_PROPAGATORS": "own,OWN,own"})
	injected := 0
	newConfig([]Option{WithPropagator("own", counting{n: &injected})}).propagator().Inject(t.Context(), propagation.MapCarrier{})
	if injected != 1 {
		t.Errorf("injected %d times", injected)
	}
}

type counting struct {
	own
	n *int
}

func (c counting) Inject(context.Context, propagation.TextMapCarrier) { *c.n++ }

func TestBatching(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        batching
		log         string
	}{
		{"SCHEDULE_DELAY", "5000", batching{age: 5 * time.Second}, ""},
		{"SCHEDULE_DELAY", "0", batching{age: time.Millisecond}, ""},
		{"SCHEDULE_DELAY", "-1", batching{}, "a number from 0 to 3600000"},
		{"SCHEDULE_DELAY", "3600001", batching{}, "a number from 0 to 3600000"},
		{"SCHEDULE_DELAY", "5s", batching{}, "value=5s"},
		{"EXPORT_TIMEOUT", "30000", batching{exportTimeout: 30 * time.Second}, ""},
		{"EXPORT_TIMEOUT", "0", batching{exportTimeout: time.Hour}, ""},
		{"EXPORT_TIMEOUT", "-5", batching{}, "value=-5"},
		{"MAX_QUEUE_SIZE", "2048", batching{queueBytes: 2 << 20}, ""},
		{"MAX_QUEUE_SIZE", "1", batching{queueBytes: 1 << 10}, ""},
		{"MAX_QUEUE_SIZE", "0", batching{}, "a number from 1 to 2147483647"},
		{"MAX_EXPORT_BATCH_SIZE", "512", batching{spans: 512}, ""},
		{"MAX_EXPORT_BATCH_SIZE", "many", batching{}, "value=many"},
		{"MAX_EXPORT_BATCH_SIZE", " ", batching{}, ""},
	} {
		t.Run(c.name+" "+c.value, func(t *testing.T) {
			setenv(t, map[string]string{"OTEL_BSP_" + c.name: c.value})
			var log logBuffer
			got := env{slog.New(slog.NewTextHandler(&log, nil))}.batching()
			if got != c.want || !strings.Contains(log.String(), c.log) || (log.String() == "") != (c.log == "") {
				t.Errorf("%+v; log: %s", got, log.String())
			}
			// What is accepted here, the collector accepts.
			sdk, err := New(t.Context(), WithExporter(new(ringtailtest.Recorder)), withLog(new(logBuffer)))
			if err != nil {
				t.Fatal(err)
			}
			if err := sdk.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBatchesOfTheEnvironment waits for nothing but full batches, which are sent long
// before the delay is over.
func TestBatchesOfTheEnvironment(t *testing.T) {
	setenv(t, map[string]string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "3", "OTEL_BSP_SCHEDULE_DELAY": "3600000"})
	synctest.Test(t, func(t *testing.T) {
		var r ringtailtest.Recorder
		sdk, err := New(t.Context(), WithExporter(&r))
		if err != nil {
			t.Fatal(err)
		}
		record(sdk.TracerProvider, "1", "2", "3", "4", "5", "6", "7")
		time.Sleep(time.Minute)
		if n := len(r.Spans()); n != 6 {
			t.Errorf("%d spans after a minute", n)
		}
		time.Sleep(time.Hour)
		if n := len(r.Spans()); n != 7 {
			t.Errorf("%d spans after an hour", n)
		}
		if err := sdk.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, b := range r.Batches() {
			if b.Len() > 3 {
				t.Errorf("a batch of %d", b.Len())
			}
		}
	})
}

func TestResource(t *testing.T) {
	for _, c := range []struct {
		name, service, attributes string
		opts                      []Option
		want                      map[attribute.Key]string
	}{
		{"the environment's name", "till", "", []Option{WithServiceName("shop")}, map[attribute.Key]string{"service.name": "till"}},
		{"by an attribute", "", "a=1, service.name=till", []Option{WithServiceName("shop")}, map[attribute.Key]string{"service.name": "till", "a": "1"}},
		{"the program's name", " ", "a=1", []Option{WithServiceName("shop")}, map[attribute.Key]string{"service.name": "shop", "a": "1"}},
		{"the name before an attribute of it", "", "", []Option{WithServiceName("shop"), WithResourceAttributes(attribute.String("service.name", "other"))}, map[attribute.Key]string{"service.name": "shop"}},
		{"attributes", "till", "a=env", []Option{WithResourceAttributes(attribute.String("a", "program"), attribute.Int("b", 2)), WithResourceAttributes(attribute.String("host.name", "mine"))},
			map[attribute.Key]string{"a": "env", "b": "2", "host.name": "mine", "service.name": "till"}},
		{"an encoded key", "", "a%2Eb=env", []Option{WithResourceAttributes(attribute.String("a.b", "program"))}, map[attribute.Key]string{"a.b": "env"}},
		{"what cannot be read is not there", "", "a=1,service.name=till,broken", []Option{WithServiceName("shop"), WithResourceAttributes(attribute.String("a", "program"))},
			map[attribute.Key]string{"a": "program", "service.name": "shop"}},
		{"what cannot be read, and the program says nothing", "till", "broken", nil, map[attribute.Key]string{"service.name": "till"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, map[string]string{"OTEL_SERVICE_NAME": c.service, "OTEL_RESOURCE_ATTRIBUTES": c.attributes})
			var r ringtailtest.Recorder
			var log logBuffer
			sdk, err := New(t.Context(), append(c.opts, WithExporter(&r), withLog(&log))...)
			if err != nil {
				t.Fatal(err)
			}
			record(sdk.TracerProvider, "x")
			if err := sdk.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			got := map[attribute.Key]string{}
			for _, kv := range r.Spans()[0].Resource.Attributes {
				if _, twice := got[kv.Key]; twice {
					t.Errorf("%s twice", kv.Key)
				}
				got[kv.Key] = kv.Value.String()
			}
			for key, want := range c.want {
				if got[key] != want {
					t.Errorf("%s is %q, want %q", key, got[key], want)
				}
			}
			if got["telemetry.sdk.name"] != "ringtail" {
				t.Errorf("%v", got)
			}
			if strings.Contains(c.attributes, "broken") != (strings.Count(log.String(), "OTEL_RESOURCE_ATTRIBUTES") == 1) {
				t.Error(log.String())
			}
		})
	}
}

// TestEachProblemIsLoggedOnce has something wrong with every variable that can be
// ignored.
func TestEachProblemIsLoggedOnce(t *testing.T) {
	env := map[string]string{
		"OTEL_SDK_DISABLED": "0", "OTEL_PROPAGATORS": "b3", "OTEL_TRACES_EXPORTER": "console,otlp,zipkin",
		"OTEL_TRACES_SAMPLER": "mine", "OTEL_RESOURCE_ATTRIBUTES": "broken", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many",
		"OTEL_BSP_SCHEDULE_DELAY": "x", "OTEL_BSP_EXPORT_TIMEOUT": "x", "OTEL_BSP_MAX_QUEUE_SIZE": "x", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "x",
		"OTEL_EXPORTER_OTLP_PROTOCOL": "thrift", "OTEL_EXPORTER_OTLP_TIMEOUT": "x", "OTEL_EXPORTER_OTLP_COMPRESSION": "lzw",
		"OTEL_EXPORTER_OTLP_HEADERS": "a secret", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/not/read",
	}
	setenv(t, env)
	var log logBuffer
	stdout(t, func() {
		sdk, err := New(t.Context(), withLog(&log), WithServiceName("shop"))
		if err != nil {
			t.Error(err)
			return
		}
		if err := sdk.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for name := range env {
		if n := strings.Count(log.String(), name); n != 1 {
			t.Errorf("%s: %d times", name, n)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != len(env) || strings.Contains(log.String(), "secret") {
		t.Errorf("%d lines for %d variables:\n%s", n, len(env), log.String())
	}
}
