package oteltrace

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// logBuffer is a log that several goroutines may write.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.FieldsFunc(l.buf.String(), func(r rune) bool { return r == '\n' })
}

func (l *logBuffer) logger() Option { return WithLogger(slog.New(slog.NewTextHandler(l, nil))) }

// TestLossesAreLogged: once a span, whatever it lost and however often, and not for
// a span that lost nothing.
func TestLossesAreLogged(t *testing.T) {
	limits := SpanLimits{-1, -1, 1, 1, 1, 1, 1}
	_, linked := remote(0, "")
	for name, lose := range map[string]func(trace.Span){
		"attributes": func(s trace.Span) {
			s.SetAttributes(attribute.Int("a", 1), attribute.Int("b", 1), attribute.Int("c", 1))
		},
		"no key": func(s trace.Span) { s.SetAttributes(attribute.Int("", 1)) },
		"events": func(s trace.Span) { s.AddEvent("a"); s.AddEvent("b"); s.AddEvent("c") },
		"links": func(s trace.Span) {
			s.AddLink(trace.Link{SpanContext: linked})
			s.AddLink(trace.Link{SpanContext: linked})
		},
		"an event's attributes": func(s trace.Span) {
			s.AddEvent("a", trace.WithAttributes(attribute.Int("a", 1), attribute.Int("b", 1)))
		},
		"a link's attributes": func(s trace.Span) {
			s.AddLink(trace.Link{SpanContext: linked, Attributes: []kv{attribute.Int("a", 1), attribute.Int("b", 1)}})
		},
		"": func(s trace.Span) {
			s.SetAttributes(attribute.Int("a", 1), attribute.Int("a", 2))
			s.AddEvent("a", trace.WithAttributes(attribute.Int("a", 1)))
			s.AddLink(trace.Link{SpanContext: linked, Attributes: []kv{attribute.Int("a", 1)}})
		},
	} {
		for _, processors := range []bool{false, true} {
			var log logBuffer
			opts := []Option{WithRawSpanLimits(limits), log.logger()}
			if processors {
				a, _, _ := listeners()
				opts = append(opts, WithSpanProcessor(a))
			}
			h := newHarness(t, opts...)
			s := h.start()
			lose(s)
			if len(log.lines()) != 0 {
				t.Errorf("%s: logged before End", name)
			}
			s.End()
			s.End()
			h.start().End() // with a record that may have been that of the first
			want := 1
			if name == "" {
				want = 0
			}
			if lines := log.lines(); len(lines) != want || want == 1 && !strings.Contains(lines[0], "span=span scope=test") {
				t.Errorf("%s: logged %q, want %d", name, lines, want)
			}
		}
	}
}

// TestLossesDoNotFlood: a storm is one line a period, with the number of those left out.
func TestLossesDoNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		tracer := NewTracerProvider(nil, log.logger()).Tracer("t")
		storm := func(n int) {
			for range n {
				_, s := tracer.Start(t.Context(), "x", trace.WithAttributes(attribute.Int("", 1)))
				s.End()
			}
		}
		storm(100)
		time.Sleep(throttle.Period)
		storm(50)
		lines := log.lines()
		if len(lines) != 2 || !strings.Contains(lines[1], "suppressed=99") || !strings.Contains(lines[0], "dropped_attributes=1") {
			t.Errorf("logged %d lines: %s", len(lines), fmt.Sprint(lines))
		}
	})
}
