package otlpgrpc_test

import (
	"context"
	"log"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/otlpgrpc"
)

func ExampleNew() {
	exporter, err := otlpgrpc.New("https://otlp.example.com",
		otlpgrpc.WithHeaders(map[string]string{"authorization": "Bearer …"}),
		otlpgrpc.WithClientCertificateFiles("client.pem", "client-key.pem"),
		otlpgrpc.WithCompressor("zstd"),
		otlpgrpc.WithRetry(export.RetryConfig{MaxElapsed: 20 * time.Second}),
	)
	if err != nil {
		log.Fatal(err)
	}
	collector, err := ringtail.New(exporter)
	if err != nil {
		log.Fatal(err)
	}
	defer collector.Shutdown(context.Background())
}
