package autoconfigure

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"

	"github.com/ringtail-otel/ringtail/oteltrace"
)

// stdout returns what is written to standard output while f runs, by a pipe.
func stdout(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string, 1)
	go func() {
		p, _ := io.ReadAll(r)
		text <- string(p)
	}()
	before := os.Stdout
	os.Stdout = w
	func() {
		defer func() { os.Stdout = before; w.Close() }()
		f()
	}()
	defer r.Close()
	return <-text
}

func TestConsole(t *testing.T) {
	noLeaks(t)
	setenv(t, map[string]string{"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "not looked at"})
	text := stdout(t, func() {
		shutdown, err := Start(t.Context(), WithServiceName("shop"))
		if err != nil {
			t.Error(err)
			return
		}
		record(otel.GetTracerProvider(), "order")
		if err := shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if !strings.Contains(text, "order") || !strings.Contains(text, "shop") {
		t.Errorf("%q", text)
	}
}

func TestSeveralExporters(t *testing.T) {
	noLeaks(t)
	r, s := httpReceiver(t, nil)
	setenv(t, map[string]string{"OTEL_TRACES_EXPORTER": "otlp, console,OTLP,zipkin,none", "OTEL_EXPORTER_OTLP_ENDPOINT": s.URL})
	var log logBuffer
	text := stdout(t, func() {
		shutdown, err := Start(t.Context(), withLog(&log))
		if err != nil {
			t.Error(err)
			return
		}
		record(otel.GetTracerProvider(), "order")
		if err := shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if got := r.spans(); len(got) != 1 || strings.Count(text, "order") != 1 {
		t.Errorf("received %q, written %q", got, text)
	}
	if strings.Count(log.String(), "ignoring OTEL_TRACES_EXPORTER") != 2 || !strings.Contains(log.String(), "value=zipkin") {
		t.Error(log.String())
	}
}

func TestNoExporter(t *testing.T) {
	noLeaks(t)
	setenv(t, map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "not looked at"})
	sdk, err := New(t.Context())
	if err != nil || sdk.Collector != nil {
		t.Fatalf("%+v, %v", sdk, err)
	}
	_, span := sdk.TracerProvider.Tracer("x").Start(t.Context(), "x")
	if !span.SpanContext().IsSampled() || !span.IsRecording() {
		t.Error("a span that can not be propagated")
	}
	span.End()
	if err := sdk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// seer is a span processor that looks at services.
type seer struct{ services []string }

func (s *seer) OnStart(context.Context, *oteltrace.ReadWriteSpan) {}
func (s *seer) OnEnd(span *oteltrace.ReadWriteSpan) {
	s.services = append(s.services, span.Resource().ServiceName())
}
func (s *seer) ForceFlush(context.Context) error { return nil }
func (s *seer) Shutdown(context.Context) error   { return nil }

// Processors see the resource, though there is no collector.
func TestNoExporterButAProcessor(t *testing.T) {
	setenv(t, map[string]string{"OTEL_TRACES_EXPORTER": "none"})
	var s seer
	sdk, err := New(t.Context(), WithServiceName("shop"), WithTracerProviderOptions(oteltrace.WithSpanProcessor(&s)))
	if err != nil {
		t.Fatal(err)
	}
	record(sdk.TracerProvider, "x")
	if err := sdk.Shutdown(t.Context()); err != nil || !slices.Equal(s.services, []string{"shop"}) {
		t.Errorf("%v, %q", err, s.services)
	}
}
