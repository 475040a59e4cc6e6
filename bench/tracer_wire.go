package main

import (
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// The processor time of a whole process that traces, through to an OTLP receiver.

const tracerWireFair = "As wire/cpu, but through the API: the same function makes root spans with 5 attributes for all, from one goroutine as fast as it goes, and all" +
	" of them must be received by the same receiver, a process of its own whose time does not count. Both have room for 65 536 spans and else their defaults." +
	" When it is full the SDK waits (WithBlocking); oteltrace never does, so that the goroutine of its line sleeps when it is three quarters full." +
	" The floor is the same loop with the API's no-op provider. All have 64 MiB on the heap besides, so that large rings, which make the garbage collector run rarely, are no advantage."

func tracerWireRows() []Row {
	const sdk512 = "official SDK, batches of 512"
	row := func(name, work, ours string, oursOTLP func(*sink) (ringtail.Exporter, error), sdkOTLP func(*sink) (sdktrace.SpanExporter, error)) Row {
		return Row{
			Description: Description{
				Name: name, Work: work,
				Bar: "≥ 10× less than the SDK", Fair: tracerWireFair,
				Metric: "CPU ns/span", Also: []string{"system ns/span", "M spans/s", "spans/request", "B/span sent"},
				Checks: []Check{{Contender: ours, Metric: "CPU ns/span", Limit: 1. / 10, Times: sdk512}},
			},
			Contenders: inProgram(
				Contender{Name: ours, Ours: true, Run: wire(500_000, oursLives(oursOTLP))},
				Contender{Name: sdk512, Run: wire(500_000, sdkLives(sdkOTLP, 512))},
				Contender{Name: "official SDK, batches of 4096", Run: wire(500_000, sdkLives(sdkOTLP, 4096))},
				Contender{Name: "floor: no-op provider", Run: untracedWire},
			),
		}
	}
	return []Row{
		row("tracer/wire-grpc", "processor time of the whole process a span: Start, SetAttributes, End, batch, OTLP/gRPC, local receiver", "oteltrace, otlpgrpc", ringtailGRPC, sdkGRPC),
		row("tracer/wire-http", "the same with OTLP/HTTP", "oteltrace, otlphttp", ringtailHTTP, sdkHTTP),
	}
}

// lives is a sender whose spans live as those of traced code.
func lives(t *tracing) *sender {
	return &sender{
		send:  func(spans int) error { return t.record(spans, five) },
		close: func() error { return nil }, // record has
	}
}

// untracedWire is the loop alone.
func untracedWire(j *Job) (Metrics, error) {
	spans := j.pick(5_000_000, 20_000)
	user, system := cpuTime()
	if err := noTracing().record(spans, five); err != nil {
		return nil, err
	}
	userAfter, systemAfter := cpuTime()
	return Metrics{
		"CPU ns/span":    float64(userAfter-user+systemAfter-system) / float64(spans),
		"system ns/span": float64(systemAfter-system) / float64(spans),
	}, nil
}

func oursLives(otlp func(*sink) (ringtail.Exporter, error)) func(*sink) (*sender, error) {
	return func(to *sink) (*sender, error) {
		e, err := otlp(to)
		if err != nil {
			return nil, err
		}
		t, err := oursTracing(e, roomBits, sampling(oteltrace.AlwaysSample()))
		if err != nil {
			return nil, err
		}
		return lives(t), nil
	}
}

func sdkLives(otlp func(*sink) (sdktrace.SpanExporter, error), batch int) func(*sink) (*sender, error) {
	return func(to *sink) (*sender, error) {
		e, err := otlp(to)
		if err != nil {
			return nil, err
		}
		return lives(sdkTracing(e, unbounded, sdktrace.AlwaysSample(), sdktrace.NewBatchSpanProcessor,
			sdktrace.WithBlocking(), sdktrace.WithMaxQueueSize(1<<roomBits), sdktrace.WithMaxExportBatchSize(batch))), nil
	}
}
