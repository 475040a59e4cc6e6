package otlpgrpc

import (
	"testing"

	"github.com/ringtail-otel/ringtail"
)

func TestDescribe(t *testing.T) {
	for endpoint, want := range map[string]ringtail.ExporterInfo{
		"http://127.0.0.1":      {ServerAddress: "127.0.0.1", ServerPort: 4317},
		"https://shop.example":  {ServerAddress: "shop.example", ServerPort: 4317},
		"http://[::1]:99":       {ServerAddress: "::1", ServerPort: 99},
		"unix:/tmp/otlp.socket": {ServerAddress: "/tmp/otlp.socket"},
	} {
		want.Type = "otlp_grpc_span_exporter"
		if got := newTestExporter(t, endpoint).Describe(); got != want {
			t.Errorf("%s: %+v, want %+v", endpoint, got, want)
		}
	}
}
