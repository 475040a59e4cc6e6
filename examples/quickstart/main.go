// Command quickstart records one trace. With OTEL_TRACES_EXPORTER=console it is printed;
// without, it goes to OTLP at http://localhost:4318, or wherever the environment says.
package main

import (
	"context"
	"errors"
	"log"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/autoconfigure"
)

func main() {
	ctx := context.Background()
	shutdown, err := autoconfigure.Start(ctx, autoconfigure.WithServiceName("quickstart"))
	if err != nil {
		log.Fatal(err)
	}
	work(ctx)
	if err := shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// work is instrumented with the OpenTelemetry API alone.
func work(ctx context.Context) {
	tracer := otel.Tracer("quickstart")
	ctx, order := tracer.Start(ctx, "order", trace.WithAttributes(attribute.Int("copies", 2)))
	defer order.End()
	_, payment := tracer.Start(ctx, "payment", trace.WithSpanKind(trace.SpanKindClient))
	defer payment.End()
	payment.RecordError(errors.New("card declined"))
	payment.SetStatus(codes.Error, "not paid")
}
