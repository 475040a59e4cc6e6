package otlphttp_test

import (
	"context"
	"log"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/otlphttp"
)

func ExampleNew() {
	exporter, err := otlphttp.New("https://otlp.example.com",
		otlphttp.WithHeaders(map[string]string{"authorization": "Bearer …"}),
		otlphttp.WithClientCertificateFiles("client.pem", "client-key.pem"),
		otlphttp.WithCompression("zstd"),
		otlphttp.WithRetry(export.RetryConfig{MaxElapsed: 20 * time.Second}),
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
