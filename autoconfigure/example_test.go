package autoconfigure_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/autoconfigure"
)

// printer is an exporter whose output is the same at every run.
type printer struct{}

func (printer) Export(_ context.Context, b *ringtail.Batch) error {
	for s := range b.Spans() {
		fmt.Println(s.Resource.ServiceName(), s.Name, s.Attributes)
	}
	return nil
}

func (printer) Shutdown(context.Context) error { return nil }

// A program sets up tracing in main; everything else uses the OpenTelemetry API.
func Example() {
	ctx := context.Background()
	shutdown, err := autoconfigure.Start(ctx, autoconfigure.WithServiceName("shop"),
		autoconfigure.WithExporter(printer{})) // leave it out, and OTEL_TRACES_EXPORTER decides
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := shutdown(ctx); err != nil {
			log.Print(err) // says how many spans were not delivered
		}
	}()

	_, span := otel.Tracer("example.com/shop").Start(ctx, "order")
	span.SetAttributes(attribute.Int("cents", 1250))
	span.End()
	// Output:
	// shop order [{"cents":1250}]
}

// With New a program keeps the provider to itself, and sees the ledger.
func ExampleNew() {
	ctx := context.Background()
	sdk, err := autoconfigure.New(ctx, autoconfigure.WithExporter(printer{}), autoconfigure.WithServiceName("shop"))
	if err != nil {
		log.Fatal(err)
	}
	_, span := sdk.TracerProvider.Tracer("example.com/shop").Start(ctx, "order")
	span.End()
	if err := sdk.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	fmt.Println(sdk.Collector.Stats())
	// Output:
	// shop order []
	// 1 submitted = 1 exported + 0 dropped + 0 in flight
}
