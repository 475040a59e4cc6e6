// Package autoconfigure sets up tracing as the environment asks for it, by the
// variables that OpenTelemetry has for that: one call in main, and everything that is
// instrumented with the OpenTelemetry API is recorded, sent, and propagated.
//
//	shutdown, err := autoconfigure.Start(ctx, autoconfigure.WithServiceName("shop"))
//	if err != nil { … }
//	defer shutdown(context.Background()) // not a context that a signal ends: it leaves no time
//
// # What is read
//
//	OTEL_SDK_DISABLED                          true: record nothing, propagate only
//	OTEL_TRACES_EXPORTER                       otlp (the default), console, none; also several
//	OTEL_EXPORTER_OTLP_PROTOCOL                http/protobuf (the default), http/json, grpc
//	OTEL_EXPORTER_OTLP_ENDPOINT, …             see [otlphttp.NewFromEnv], [otlpgrpc.NewFromEnv]
//	OTEL_PROPAGATORS                           tracecontext,baggage (the default), none
//	OTEL_SERVICE_NAME
//	OTEL_RESOURCE_ATTRIBUTES                   see [ringtail.DetectResource]
//	OTEL_TRACES_SAMPLER, …_ARG                 see [oteltrace.NewSamplerFromEnv]
//	OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, …         see [oteltrace.NewSpanLimits]
//	OTEL_BSP_SCHEDULE_DELAY                    ms that a batch waits for more spans
//	OTEL_BSP_EXPORT_TIMEOUT                    ms for an export with all its retries; 0 for none
//	OTEL_BSP_MAX_QUEUE_SIZE                    spans that may wait for an export
//	OTEL_BSP_MAX_EXPORT_BATCH_SIZE             spans in a batch
//
// An empty value counts as unset. Without a variable, the default is Ringtail's: in
// batching, that differs from the specification's (docs/design/autoconfigure.md).
// A value that makes no sense is logged once, with the variable and what is wanted, and
// ignored; but where nothing could be delivered with it, as with an endpoint that
// is none, it is an error. (Specification: Environment Variables.)
package autoconfigure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// shutdownLimit is for a Shutdown whose context has no deadline.
const shutdownLimit = 5 * time.Second

// Start sets up tracing from the environment, makes the provider and the propagators
// the global ones (otel.SetTracerProvider, otel.SetTextMapPropagator), and returns
// [SDK.Shutdown], to be called before the program ends. ctx is for the set-up alone,
// which waits for nothing: the backend need not be up.
//
// After an error nothing is installed. shutdown is never nil: then it does nothing.
//
// A program usually calls Start once. A later call installs another provider, and the
// first one goes on until its own shutdown; tracers from before stay with it.
func Start(ctx context.Context, opts ...Option) (shutdown func(context.Context) error, err error) {
	sdk, err := New(ctx, opts...)
	if err != nil {
		return func(context.Context) error { return nil }, err
	}
	otel.SetTracerProvider(sdk.TracerProvider)
	otel.SetTextMapPropagator(sdk.Propagator)
	return sdk.Shutdown, nil
}

// SDK is what the environment has asked for. Its fields are not to be changed.
type SDK struct {
	// TracerProvider is an [*oteltrace.TracerProvider]; with OTEL_SDK_DISABLED it is
	// one that records nothing.
	TracerProvider trace.TracerProvider
	Propagator     propagation.TextMapPropagator

	// Collector has the ledger, in Stats, and Flush. It is nil with OTEL_SDK_DISABLED,
	// and with OTEL_TRACES_EXPORTER=none.
	Collector *ringtail.Collector

	// Fanout has a ledger for each exporter, where OTEL_TRACES_EXPORTER names several: what
	// the Collector calls exported was handed on to these. Else it is nil.
	Fanout *export.FanoutExporter

	log      *slog.Logger
	told     sync.Once
	shutdown func(context.Context) error
}

// New is Start without the globals: for programs that pass a provider on, and for
// those that want the ledger.
func New(ctx context.Context, opts ...Option) (*SDK, error) {
	c := newConfig(opts)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("autoconfigure: cannot set up tracing: %w", err)
	}
	if c.env.boolean("OTEL_SDK_DISABLED") {
		return &SDK{TracerProvider: noop.NewTracerProvider(), Propagator: c.propagator(), log: c.env.log, shutdown: c.disabled()}, nil
	}
	batching := c.env.batching()
	exporter, err := c.chooseExporter(batching)
	if err != nil {
		return nil, fmt.Errorf("autoconfigure: %w", err)
	}
	var collector *ringtail.Collector
	if exporter != nil {
		if collector, err = ringtail.New(exporter, c.collectorOptions(batching)...); err != nil {
			if c.exporter == nil { // or it stays the caller's
				_ = exporter.Shutdown(ctx) // it holds nothing yet
			}
			return nil, fmt.Errorf("autoconfigure: %w", err)
		}
	}
	provider := oteltrace.NewTracerProvider(collector, c.providerOptions(collector != nil)...)
	sdk := &SDK{TracerProvider: provider, Propagator: c.propagator(), Collector: collector, log: c.env.log, shutdown: provider.Shutdown}
	if f, ok := exporter.(*export.FanoutExporter); ok {
		sdk.Fanout = f
		sdk.shutdown = func(ctx context.Context) error { return withBranches(ctx, f, provider.Shutdown(ctx)) }
	}
	return sdk, nil
}

// withBranches adds to the error of a Shutdown what a fan-out says about its branches.
// When the context ends, its answer is ready at once, but the collector may not have
// waited for it.
func withBranches(ctx context.Context, f *export.FanoutExporter, err error) error {
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 250*time.Millisecond)
	defer cancel()
	if told := f.Shutdown(ctx); told != nil && !errors.Is(err, told) {
		err = errors.Join(err, told)
	}
	return err
}

// disabled returns the Shutdown of an SDK that does nothing: the processors and the
// exporter that it was given are nevertheless its own.
func (c *config) disabled() func(context.Context) error {
	var owned []func(context.Context) error
	if len(c.provider) > 0 {
		// Nobody has it, so that its processors hear of nothing before they are shut down.
		opts := append([]oteltrace.Option{oteltrace.WithLogger(c.env.log)}, c.provider...)
		owned = append(owned, oteltrace.NewTracerProvider(nil, opts...).Shutdown)
	}
	if c.exporter != nil {
		owned = append(owned, c.exporter.Shutdown)
	}
	var once sync.Once
	var err error
	return func(ctx context.Context) error {
		once.Do(func() {
			for _, shutdown := range owned {
				err = errors.Join(err, shutdown(ctx))
			}
		})
		return err
	}
}

// Shutdown delivers what has ended, and releases everything. It returns within ctx, or
// within five seconds if ctx has no deadline, as a backend that does not answer must
// not keep a program from ending. A ctx that has ended, as the one that a signal ends,
// leaves no time to deliver. The error says how many spans were not delivered.
// It is logged, too: most programs defer Shutdown, and look at no error then. Later calls
// return the same. It may be called from any goroutine.
func (s *SDK) Shutdown(ctx context.Context) error {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, shutdownLimit)
		defer cancel()
	}
	err := s.shutdown(ctx)
	if err != nil {
		s.told.Do(func() { s.log.Warn("ringtail: tracing was shut down", slog.Any("error", err)) })
	}
	return err
}
