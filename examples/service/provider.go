package main

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ringtail-otel/ringtail/autoconfigure"
)

// tracing is a provider that was chosen by name.
type tracing struct {
	telemetry
	shutdown func(context.Context) error // delivers what has ended
	ledger   func() string               // what became of the spans
}

// newTracing sets one up from the environment: OTEL_EXPORTER_OTLP_ENDPOINT and so on.
func newTracing(ctx context.Context, name string) (*tracing, error) {
	switch name {
	case "ringtail":
		// A program that leaves the provider to the global one calls autoconfigure.Start.
		sdk, err := autoconfigure.New(ctx, autoconfigure.WithServiceName("shop"))
		if err != nil {
			return nil, err
		}
		return &tracing{telemetry{sdk.TracerProvider, sdk.Propagator}, sdk.Shutdown, func() string {
			if sdk.Collector == nil {
				return "no spans, as the environment asks for"
			}
			return "spans: " + sdk.Collector.Stats().String()
		}}, nil
	case "sdk":
		var opts []otlptracehttp.Option
		if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
			opts = append(opts, otlptracehttp.WithInsecure()) // its default is https
		}
		exporter, err := otlptracehttp.New(ctx, opts...)
		if err != nil {
			return nil, err
		}
		process, err := resource.New(ctx, resource.WithTelemetrySDK(),
			resource.WithAttributes(attribute.String("service.name", "shop")), resource.WithFromEnv())
		if err != nil {
			return nil, err
		}
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(process))
		return &tracing{telemetry{provider, propagators}, provider.Shutdown, func() string {
			return "spans: the official SDK does not say"
		}}, nil
	case "none":
		return &tracing{telemetry{noop.NewTracerProvider(), propagators}, func(context.Context) error { return nil }, func() string {
			return "no spans"
		}}, nil
	}
	return nil, fmt.Errorf("-provider is %q: want ringtail, sdk or none", name)
}

// propagators are the environment's default.
var propagators = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
