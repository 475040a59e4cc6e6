package oteltrace

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// harness is a provider whose exported spans can be looked at.
type harness struct {
	*TracerProvider
	t        testing.TB
	recorder *ringtailtest.Recorder
}

func newHarness(t testing.TB, opts ...Option) *harness {
	t.Helper()
	recorder := &ringtailtest.Recorder{}
	c, err := ringtail.New(recorder, ringtail.LowLatency(), ringtail.WithResource(&ringtail.Resource{}),
		ringtail.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{NewTracerProvider(c, append([]Option{quiet}, opts...)...), t, recorder}
	t.Cleanup(func() { _ = h.Shutdown(context.Background()) })
	return h
}

// spans returns what has been exported, everything that has ended by now.
func (h *harness) spans() []*ringtail.Span {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.ForceFlush(ctx); err != nil {
		h.t.Fatal(err)
	}
	return h.recorder.Spans()
}

// only returns the one span that was exported.
func (h *harness) only() *ringtail.Span {
	h.t.Helper()
	spans := h.spans()
	if len(spans) != 1 {
		h.t.Fatalf("%d spans exported, want 1", len(spans))
	}
	return spans[0]
}

func (h *harness) start(opts ...trace.SpanStartOption) trace.Span {
	_, s := h.Tracer("test").Start(context.Background(), "span", opts...)
	return s
}

var quiet = WithLogger(slog.New(slog.DiscardHandler))

func sameAttributes(got, want []attribute.KeyValue) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if got[i].Key != want[i].Key || got[i].Value.Type() != want[i].Value.Type() || got[i].Value.String() != want[i].Value.String() {
			return false
		}
	}
	return true
}

// recordOf returns the record of a live span that nobody else uses now.
func recordOf(s trace.Span) *record { return (*record)(s.(*span).record.word) }

// remote returns a context with a remote parent.
func remote(flags trace.TraceFlags, state string) (context.Context, trace.SpanContext) {
	ts, err := trace.ParseTraceState(state)
	if err != nil {
		panic(err)
	}
	sc := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 15: 2}, SpanID: trace.SpanID{3}, TraceFlags: flags, TraceState: ts, Remote: true,
	})
	return trace.ContextWithRemoteSpanContext(context.Background(), sc), sc
}

func randomTraceID() (id trace.TraceID) {
	(*generator)(nil).traceID(&id)
	return id
}
