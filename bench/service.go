package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// What tracing costs a whole HTTP service.

const connections = 16 // of the load

func serviceRow() Row {
	const (
		ours  = "oteltrace, as it comes"
		sdk   = "official SDK, waits when it is full"
		floor = "floor: otelhttp with the no-op provider"
		none  = "no tracing, no otelhttp"
	)
	return Row{
		Description: Description{
			Name: "service/http", Work: "processor time a request of an HTTP service with otelhttp at full load on 2 cores, and in brackets what is beyond the service without tracing",
			Bar: "≤ 1/5 of what the SDK costs, beyond no tracing, and beyond the floor, in processor time and in time at full load",
			Fair: "One service: net/http, a mux, a JSON answer; otelhttp's span around the handler, and in it a client span with 3 attributes; 16 kept-alive connections" +
				" that ask without a pause, from a process that does little else, so that it and the receiver of OTLP/gRPC share the 2 cores with the service, which has 64 MiB on its heap besides, as services have. Processor time is that of the service's process alone," +
				" user and system; “µs/request” is the whole machine's time a request, that is 1/(requests/s), in which the load, the receiver and waiting are. The SDK has a queue of 65 536 and waits when it is full (WithBlocking):" +
				" as it comes it drops what its one exporting goroutine does not manage, which is cheap; that is a line of its own. “Lost” is what ended and was not received. “Load CPU” is what the process that asks takes itself." +
				" otelhttp's metrics go nowhere. Numbers in brackets, and ×, are what is beyond the line without tracing. otelhttp makes names and attributes whatever the provider does: that is the floor, which no provider can go below.",
			Metric: "CPU µs/request", Also: []string{"requests/s", "µs/request", "p50 ms", "p99 ms", "lost %", "cores used", "load CPU µs/request", "MiB resident at most"},
			Checks: []Check{
				{Contender: ours, Metric: "CPU µs/request", Limit: 1. / 5, Times: sdk, Over: none},
				{Contender: ours, Metric: "µs/request", Limit: 1. / 5, Times: sdk, Over: none},
				{Contender: ours, Metric: "CPU µs/request", Limit: 1. / 5, Times: sdk, Over: floor},
				{Contender: ours, Metric: "µs/request", Limit: 1. / 5, Times: sdk, Over: floor},
				{Contender: ours, Metric: "lost %", Limit: 0},
			},
			Over: none,
		},
		Contenders: inProgram(
			Contender{Name: ours, Ours: true, Run: serves(traced(oursDefault))},
			Contender{Name: sdk, Run: serves(traced(func(to *sink) (*tracing, error) {
				return sdkDefault(to, sdktrace.WithBlocking(), sdktrace.WithMaxQueueSize(1<<roomBits))
			}))},
			Contender{Name: "official SDK, as it comes", Run: serves(traced(func(to *sink) (*tracing, error) { return sdkDefault(to) }))},
			Contender{Name: floor, Run: serves(traced(func(*sink) (*tracing, error) { return noTracing(), nil }))},
			Contender{Name: none, Run: serves(untraced)},
		),
	}
}

// user is what the service tells.
type user struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Mail  string   `json:"mail"`
	Roles []string `json:"roles"`
}

// users is the service. Its query takes no time, and is a span of its own.
func users(tracer trace.Tracer) http.Handler {
	query := func(ctx context.Context, id string) user {
		_, span := tracer.Start(ctx, "SELECT users", trace.WithSpanKind(trace.SpanKindClient))
		defer span.End()
		span.SetAttributes(
			attribute.String("db.system.name", "postgresql"),
			attribute.String("db.collection.name", "users"),
			attribute.Int("db.response.returned_rows", 1),
		)
		return user{ID: id, Name: "A. Nonymous", Mail: "a@users.svc", Roles: []string{"reader", "writer"}}
	}
	return answering(query)
}

// untracedUsers is the same service in a program without tracing.
func untracedUsers() http.Handler {
	return answering(func(_ context.Context, id string) user {
		return user{ID: id, Name: "A. Nonymous", Mail: "a@users.svc", Roles: []string{"reader", "writer"}}
	})
}

func answering(query func(context.Context, string) user) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(query(r.Context(), r.PathValue("id"))) // a client that went away
	})
	return mux
}

// prepared is a service that is ready to be asked.
type prepared struct {
	handler         http.Handler
	spansPerRequest int
	shutdown        func(context.Context) error
}

func traced(of toSink) func(*sink) (*prepared, error) {
	return func(to *sink) (*prepared, error) {
		t, err := of(to)
		if err != nil {
			return nil, err
		}
		p := &prepared{
			handler: otelhttp.NewHandler(users(t.Tracer("users")), "users",
				otelhttp.WithTracerProvider(t), otelhttp.WithPropagators(propagation.TraceContext{})),
			spansPerRequest: 2,
			shutdown:        t.shutdown,
		}
		if t.nowhere {
			p.spansPerRequest = 0
		}
		return p, nil
	}
}

func untraced(*sink) (*prepared, error) {
	return &prepared{handler: untracedUsers(), shutdown: func(context.Context) error { return nil }}, nil
}

// serves is a contender that is a service under load.
func serves(prepare func(*sink) (*prepared, error)) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		to, err := startSink()
		if err != nil {
			return nil, err
		}
		defer to.stop()
		p, err := prepare(to)
		if err != nil {
			return nil, err
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		server := http.Server{Handler: p.handler}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()

		l := load{
			Address: listener.Addr().String(), Path: "/users/12345", Connections: connections,
			Warm: time.Duration(j.pick(500, 50)) * time.Millisecond, Lasts: time.Duration(j.pick(2000, 150)) * time.Millisecond,
		}
		var before, after int64
		now := func(cpu *int64) func() {
			return func() {
				user, system := cpuTime()
				*cpu = user + system
			}
		}
		result, err := l.run(now(&before), now(&after))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err = errors.Join(err, server.Shutdown(ctx), p.shutdown(ctx))
		if serr := <-served; serr != http.ErrServerClosed {
			err = errors.Join(err, serr)
		}
		if err != nil {
			return nil, err
		}
		n := float64(result.Measured)
		m := Metrics{
			"CPU µs/request":       float64(after-before) / 1e3 / n,
			"requests/s":           n / result.Seconds,
			"µs/request":           1e6 * result.Seconds / n,
			"p50 ms":               float64(result.P50) / 1e6,
			"p99 ms":               float64(result.P99) / 1e6,
			"cores used":           float64(after-before) / 1e9 / result.Seconds,
			"load CPU µs/request":  float64(result.CPU) / 1e3 / float64(result.All),
			"MiB resident at most": residentMiB("VmHWM"),
		}
		if ended := float64(p.spansPerRequest * result.All); ended > 0 {
			received, _, _, err := to.count()
			if err != nil {
				return nil, err
			}
			m["lost %"] = 100 * (ended - float64(received)) / ended
		}
		return m, nil
	}
}
