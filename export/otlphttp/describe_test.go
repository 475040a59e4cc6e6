package otlphttp

import (
	"testing"

	"github.com/ringtail-otel/ringtail"
)

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		url  string
		opts []Option
		want ringtail.ExporterInfo
	}{
		{"http://127.0.0.1:4318", nil, ringtail.ExporterInfo{Type: "otlp_http_span_exporter", ServerAddress: "127.0.0.1", ServerPort: 4318}},
		{"http://[::1]/x", nil, ringtail.ExporterInfo{Type: "otlp_http_span_exporter", ServerAddress: "::1", ServerPort: 80}},
		{"https://shop.example", []Option{WithJSON()}, ringtail.ExporterInfo{Type: "otlp_http_json_span_exporter", ServerAddress: "shop.example", ServerPort: 443}},
	} {
		if got := newTestExporter(t, c.url, c.opts...).Describe(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.url, got, c.want)
		}
	}
}
