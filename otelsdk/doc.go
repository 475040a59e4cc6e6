// Package otelsdk connects ringtail with the official SDK,
// go.opentelemetry.io/otel/sdk/trace, in both directions. It is the only package of
// the module that imports that SDK.
//
// Those who stay with the official provider get a batch processor that never makes
// ending spans wait for one another or for an export, by changing one line, and with
// [NewSpanExporter] any exporter of ours:
//
//	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(
//		otelsdk.NewBatchSpanProcessor(otelsdk.NewSpanExporter(exporter)),
//	))
//
// Those who switch to package oteltrace keep their plug-ins: [NewExporter] takes any
// exporter of the SDK, [WithSpanProcessor] a processor, [WithSampler] a sampler. An id
// generator of the SDK is one of oteltrace as it is.
//
// docs/design/otelsdk.md says why things are as they are, and where the processor
// differs from the official one.
package otelsdk
