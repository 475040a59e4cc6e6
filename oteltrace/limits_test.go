package oteltrace

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestNewSpanLimits(t *testing.T) {
	if got := NewSpanLimits(); got != (SpanLimits{-1, 64, 128, 128, 128, 128, 128}) {
		t.Errorf("defaults %+v", got)
	}
	t.Setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "10")
	t.Setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "11")
	t.Setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "12")
	t.Setenv("OTEL_SPAN_LINK_COUNT_LIMIT", " 13 ")
	t.Setenv("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "-1")
	t.Setenv("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "")
	want := SpanLimits{10, 64, 11, 12, 13, -1, 128}
	if got := NewSpanLimits(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	t.Setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "20")
	t.Setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "21")
	want.AttributeValueLengthLimit, want.AttributeCountLimit = 20, 21
	if got := NewTracerProvider(nil).limits; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	t.Setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
	var log bytes.Buffer
	got := NewTracerProvider(nil, WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).limits
	if want.AttributeCountLimit = 128; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !strings.Contains(log.String(), "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT") {
		t.Errorf("log %q", log.String())
	}
}

func TestSpanLimitOptions(t *testing.T) {
	t.Setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "12")
	if got, want := NewTracerProvider(nil, WithSpanLimits(SpanLimits{AttributeCountLimit: 5})).limits, (SpanLimits{-1, 64, 5, 128, 128, 128, 128}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := NewTracerProvider(nil, WithRawSpanLimits(SpanLimits{AttributeCountLimit: 5})).limits, (SpanLimits{0, 64, 5, 0, 0, 0, 0}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
