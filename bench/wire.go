package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export/otlpgrpc"
	"github.com/ringtail-otel/ringtail/export/otlphttp"
)

// Row 4: the processor time of the whole sending process, from the first submit
// until the last span is acknowledged and everything is shut down.

func wireRows() []Row {
	const grpcPrebuilt, grpcMade = "OTLP/gRPC, a prebuilt span", "OTLP/gRPC, ids, times and attributes made for each span"
	return []Row{{
		Description: Description{
			Name: "wire/cpu", Work: "processor time of the whole process a span: submit, batch, OTLP, local receiver",
			Bar: "≤ 450 ns",
			Fair: "The receiver is the same for all and a process of its own, whose time does not count; all send the span with 5 attributes" +
				" from one goroutine as fast as backpressure allows (Submit; WithBlocking), nothing is dropped, and the receiver's count must" +
				" be exact; user and system time are the kernel's (getrusage). The prebuilt span has its ids and times already; the SDK makes them," +
				" as does Ringtail's line that says so. Both run with their defaults, batches of 512 and of 4096 spans, and the SDK also with batches of 4096.",
			Metric: "CPU ns/span", Also: []string{"system ns/span", "M spans/s", "spans/request", "B/span sent"},
			Checks: []Check{
				{Contender: grpcPrebuilt, Metric: "CPU ns/span", Limit: 450},
			},
		},
		Contenders: []Contender{
			{Name: grpcPrebuilt, Ours: true, Run: wire(1_000_000, oursWire(ringtailGRPC, false))},
			{Name: grpcMade, Ours: true, Run: wire(1_000_000, oursWire(ringtailGRPC, true))},
			{Name: "OTLP/HTTP, ids, times and attributes made for each span", Ours: true, Run: wire(1_000_000, oursWire(ringtailHTTP, true))},
			{Name: "official SDK: OTLP/gRPC, batches of 512", Run: wire(1_000_000, sdkWire(sdkGRPC, 512))},
			{Name: "official SDK: OTLP/gRPC, batches of 4096", Run: wire(1_000_000, sdkWire(sdkGRPC, 4096))},
			{Name: "official SDK: OTLP/HTTP, batches of 512", Run: wire(1_000_000, sdkWire(sdkHTTP, 512))},
			{Name: "official SDK: OTLP/HTTP, batches of 4096", Run: wire(1_000_000, sdkWire(sdkHTTP, 4096))},
		},
	}}
}

// sender is what a contender of this row sends with.
type sender struct {
	send  func(spans int) error
	close func() error
}

// wire is a contender that sends so many spans to a sink.
func wire(full int, start func(*sink) (*sender, error)) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		to, err := startSink()
		if err != nil {
			return nil, err
		}
		defer to.stop()
		s, err := start(to)
		if err != nil {
			return nil, err
		}
		spans := j.pick(full, 2_000)
		began := time.Now()
		user, system := cpuTime()
		if err := errors.Join(s.send(spans), s.close()); err != nil {
			return nil, err
		}
		userAfter, systemAfter := cpuTime()
		took := time.Since(began)
		got, requests, bytes, err := to.count()
		if err != nil {
			return nil, err
		}
		if got != int64(spans) {
			return nil, fmt.Errorf("%d spans were sent, and %d received", spans, got)
		}
		n := float64(spans)
		return Metrics{
			"CPU ns/span":    float64(userAfter-user+systemAfter-system) / n,
			"system ns/span": float64(systemAfter-system) / n,
			"M spans/s":      n / 1e6 / took.Seconds(),
			"spans/request":  n / float64(requests),
			"B/span sent":    float64(bytes) / n,
		}, nil
	}
}

func ringtailGRPC(to *sink) (ringtail.Exporter, error) {
	return otlpgrpc.New("http://" + to.GRPC)
}

func ringtailHTTP(to *sink) (ringtail.Exporter, error) {
	return otlphttp.New("http://" + to.HTTP)
}

func oursWire(exporter func(*sink) (ringtail.Exporter, error), made bool) func(*sink) (*sender, error) {
	return func(to *sink) (*sender, error) {
		ctx := context.Background()
		e, err := exporter(to)
		if err != nil {
			return nil, err
		}
		c, err := ringtail.New(e)
		if err != nil {
			return nil, err
		}
		s := newSpan(true)
		return &sender{
			send: func(spans int) error {
				for range spans {
					if made {
						remake(s)
					}
					if err := c.Submit(ctx, s); err != nil {
						return err
					}
				}
				return nil
			},
			close: func() error { return c.Shutdown(ctx) },
		}, nil
	}
}

func sdkGRPC(to *sink) (sdktrace.SpanExporter, error) {
	return otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpoint(to.GRPC), otlptracegrpc.WithInsecure())
}

func sdkHTTP(to *sink) (sdktrace.SpanExporter, error) {
	return otlptracehttp.New(context.Background(), otlptracehttp.WithEndpoint(to.HTTP), otlptracehttp.WithInsecure())
}

func sdkWire(exporter func(*sink) (sdktrace.SpanExporter, error), batch int) func(*sink) (*sender, error) {
	return func(to *sink) (*sender, error) {
		ctx := context.Background()
		e, err := exporter(to)
		if err != nil {
			return nil, err
		}
		provider, tracer := sdkTracer(sdktrace.NewBatchSpanProcessor(e,
			sdktrace.WithBlocking(), sdktrace.WithMaxQueueSize(1<<16), sdktrace.WithMaxExportBatchSize(batch)))
		return &sender{
			send: func(spans int) error {
				for range spans {
					sdkRecord(ctx, tracer, true)
				}
				return nil
			},
			close: func() error { return provider.Shutdown(ctx) },
		}, nil
	}
}
