package export_test

import (
	"testing"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
)

type described struct{ *export.NullExporter }

func (described) Describe() ringtail.ExporterInfo {
	return ringtail.ExporterInfo{Type: "otlp_grpc_span_exporter", ServerAddress: "backend", ServerPort: 4317}
}

// What is wrapped goes by its own name in metrics.
func TestWrappersDescribeWhatTheyWrap(t *testing.T) {
	next := described{export.Null()}
	for name, e := range map[string]ringtail.Exporter{
		"retry":      export.Retry(next, export.RetryConfig{}),
		"breaker":    export.Breaker(next, export.BreakerConfig{}),
		"rate limit": export.RateLimit(next, 1, 1),
	} {
		if d, ok := e.(ringtail.Describer); !ok || d.Describe() != next.Describe() {
			t.Errorf("%s: %v", name, ok)
		}
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
