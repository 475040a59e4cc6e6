package otlphttp

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
	"github.com/ringtail-otel/ringtail/otlp"
)

// OTLP specification, "OTLP/HTTP Response", "Retryable Response Codes".
func TestStatusCodes(t *testing.T) {
	otlptest.NoLeaks(t)
	var mu sync.Mutex
	var now answer
	r := (&receiver{answer: func(*http.Request, []int) answer { mu.Lock(); defer mu.Unlock(); return now }}).start(t)
	e := newTestExporter(t, r.server.URL, WithRetry(export.RetryConfig{InitialInterval: time.Millisecond, MaxAttempts: 3}))
	for _, c := range []struct {
		status int
		calls  int
		reason ringtail.Reason
	}{
		{200, 1, 0}, {202, 1, 0}, {204, 1, 0},
		{301, 1, ringtail.ReasonRejected}, {307, 1, ringtail.ReasonRejected},
		{400, 1, ringtail.ReasonRejected}, {401, 1, ringtail.ReasonRejected}, {403, 1, ringtail.ReasonRejected},
		{404, 1, ringtail.ReasonRejected}, {408, 1, ringtail.ReasonRejected}, {413, 1, ringtail.ReasonRejected},
		{429, 3, ringtail.ReasonExport},
		{500, 1, ringtail.ReasonRejected}, {501, 1, ringtail.ReasonRejected},
		{502, 3, ringtail.ReasonExport}, {503, 3, ringtail.ReasonExport}, {504, 3, ringtail.ReasonExport},
		{505, 1, ringtail.ReasonRejected}, {599, 1, ringtail.ReasonRejected},
	} {
		r.reset()
		mu.Lock()
		now = answer{status: c.status, header: map[string]string{"Location": r.server.URL + "/elsewhere"}}
		if c.status >= 400 {
			now.body = otlp.AppendStatus(nil, 3, "because of this")
		}
		mu.Unlock()
		err := e.Export(t.Context(), otlptest.Batch(t, 1, 7, 0))
		if r.count() != c.calls {
			t.Errorf("%d: %d calls, want %d", c.status, r.count(), c.calls)
		}
		if losses := ringtail.Losses(err, 7); c.status < 300 && err != nil || c.status >= 300 && losses[c.reason] != 7 {
			t.Errorf("%d: %v", c.status, err)
		}
		if c.status >= 400 && !strings.Contains(err.Error(), "because of this") {
			t.Errorf("%d: the receiver's message is not told: %v", c.status, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		"0":                             0,
		"-7":                            0,
		"1.5":                           0,
		"soon":                          0,
		"99999999999999":                9223372036 * time.Second,
		"Wed, 02 Jan 2030 03:04:35 GMT": 30 * time.Second,
		"Wed Jan  2 03:04:35 2030":      30 * time.Second,
		"Wed, 02 Jan 2030 03:04:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	// And through an export.
	for _, status := range []int{429, 503} {
		r := (&receiver{answer: func(*http.Request, []int) answer {
			return answer{status: status, header: map[string]string{"Retry-After": "17"}}
		}}).start(t)
		e := newTestExporter(t, r.server.URL, WithRetry(export.RetryConfig{MaxAttempts: 1}))
		if after, again := export.Retryable(e.Export(t.Context(), otlptest.Batch(t, 1, 1, 0))); after != 17*time.Second || !again {
			t.Errorf("%d: %v, %v", status, after, again)
		}
	}
}

func TestErrorMessages(t *testing.T) {
	status := otlp.AppendStatus(nil, 3, "because")
	for _, c := range []struct {
		contentType string
		body        []byte
		want        string
	}{
		{protobuf, status, "the receiver answered 400 Bad Request: because"},
		{"application/json; charset=utf-8", otlp.AppendStatusJSON(nil, 3, "because"), "the receiver answered 400 Bad Request: because"},
		{"text/plain", []byte("because"), "the receiver answered 400 Bad Request: because"},
		{"text/html", []byte("<h1>because</h1>"), "the receiver answered 400 Bad Request"},
		{protobuf, []byte("garbage\xff"), "the receiver answered 400 Bad Request"},
		{"text/plain", bytes.Repeat([]byte("x"), 10000), "the receiver answered 400 Bad Request: " + strings.Repeat("x", 500)},
	} {
		r := (&receiver{answer: func(*http.Request, []int) answer {
			return answer{status: 400, header: map[string]string{"Content-Type": c.contentType}, body: c.body}
		}}).start(t)
		var e *ringtail.ExportError
		err := newTestExporter(t, r.server.URL).Export(t.Context(), otlptest.Batch(t, 1, 1, 0))
		if !errors.As(err, &e) || e.Err.Error() != c.want {
			t.Errorf("%s %.20q: %v", c.contentType, c.body, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	otlptest.NoLeaks(t)
	html := map[string]string{"Content-Type": "text/html; charset=utf-8"}
	json := map[string]string{"Content-Type": "application/json"}
	for _, c := range []struct {
		name   string
		opts   []Option
		answer answer
		lost   uint64
		logged string
	}{
		{"empty body", nil, answer{}, 0, ""},
		{"empty partial success", nil, answer{body: []byte{0x0a, 0x00}}, 0, ""},
		{"partial success", nil, answer{body: otlp.AppendTraceResponse(nil, 4, "four are odd")}, 4, ""},
		{"partial success, gzip", nil, answer{body: zipped(otlp.AppendTraceResponse(nil, 4, "four are odd")), header: map[string]string{"Content-Encoding": "gzip"}}, 4, ""},
		{"too many", nil, answer{body: otlp.AppendTraceResponse(nil, 1<<60, "liar")}, 10, ""},
		{"negative", nil, answer{body: otlp.AppendTraceResponse(nil, -4, "")}, 0, ""},
		{"warning", nil, answer{body: otlp.AppendTraceResponse(nil, 0, "slow down")}, 0, "slow down"},
		{"JSON", []Option{WithJSON()}, answer{body: otlp.AppendTraceResponseJSON(nil, 4, "four are odd")}, 4, ""},
		{"empty JSON", []Option{WithJSON()}, answer{body: []byte("{}")}, 0, ""},
		{"JSON to protobuf", nil, answer{header: json, body: otlp.AppendTraceResponseJSON(nil, 4, "four are odd")}, 4, ""},
		{"garbage", nil, answer{body: []byte("\xff\xff\xff\xffgarbage")}, 0, "cannot be read"},
		{"garbage JSON", []Option{WithJSON()}, answer{body: []byte("OK")}, 0, "cannot be read"},
		{"huge", nil, answer{body: make([]byte, 5<<20)}, 0, "longer than 4 MiB"},
		{"bomb", nil, answer{body: zipped(make([]byte, 50<<20)), header: map[string]string{"Content-Encoding": "gzip"}}, 0, "longer than 4 MiB"},
		{"shorter than announced", nil, answer{body: []byte("x"), header: map[string]string{"Content-Length": "100"}}, 0, "unexpected EOF"},
		{"web page", nil, answer{header: html, body: []byte("<html>please log in</html>")}, 10, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			r := (&receiver{answer: func(*http.Request, []int) answer { return c.answer }}).start(t)
			e := newTestExporter(t, r.server.URL, append(c.opts, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))...)
			err := e.Export(t.Context(), otlptest.Batch(t, 1, 10, 0))
			if losses := ringtail.Losses(err, 10); losses[ringtail.ReasonRejected] != c.lost || losses.Total() != c.lost || r.count() != 1 {
				t.Errorf("%v, %d calls", err, r.count())
			}
			if c.logged == "" && log.Len() > 0 || !strings.Contains(log.String(), c.logged) {
				t.Errorf("log %q, want %q", &log, c.logged)
			}
		})
	}
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}
