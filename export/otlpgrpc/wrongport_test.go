package otlpgrpc

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// Who sends to the port of OTLP/HTTP is told so, and keeps the spans.
func TestPortOfHTTP(t *testing.T) {
	otlptest.NoLeaks(t)
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	e := newTestExporter(t, s.URL, WithRetry(export.RetryConfig{MaxAttempts: 1}))
	err := e.Export(t.Context(), otlptest.Batch(t, 1, 3, 0))
	if err == nil || !strings.Contains(err.Error(), "OTLP/HTTP") || !strings.Contains(err.Error(), "4317") {
		t.Error(err)
	}
	if losses := ringtail.Losses(err, 3); losses[ringtail.ReasonExport] != 3 {
		t.Errorf("%v", losses)
	}
}
