package autoconfigure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// record ends spans of these names.
func record(p trace.TracerProvider, names ...string) {
	for _, name := range names {
		_, span := p.Tracer("autoconfigure test").Start(context.Background(), name)
		span.End()
	}
}

// TestStartDelivers has batches wait for longer than a test may take, so that it is
// the shutdown that delivers.
func TestStartDelivers(t *testing.T) {
	cert, certFile, keyFile := certificate(t)
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	mutual := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAnyClientCert}
	for _, c := range []struct {
		name   string
		grpc   bool
		tls    *tls.Config
		env    map[string]string // "%s" is the receiver's address
		path   string
		header map[string]string
	}{
		{"HTTP by default", false, nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://%s"},
			"/v1/traces", map[string]string{"content-type": "application/x-protobuf", "content-encoding": ""}},
		{"HTTP, a path for traces, headers, gzip", false, nil, map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://%s/in",
			"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%%20key", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_TRACES_EXPORTER": " OTLP "},
			"/in", map[string]string{"api-key": "a key", "content-encoding": "gzip"}},
		{"JSON", false, nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://%s", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
			"/v1/traces", map[string]string{"content-type": "application/json"}},
		{"HTTPS, mutual", false, mutual, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://%s", "OTEL_EXPORTER_OTLP_CERTIFICATE": certFile,
			"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": certFile, "OTEL_EXPORTER_OTLP_CLIENT_KEY": keyFile}, "/v1/traces", nil},
		{"gRPC", true, nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://%s", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
			"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%%20key"}, "", map[string]string{"api-key": "a key"}},
		{"gRPC for traces, insecure", true, nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "%s", "OTEL_EXPORTER_OTLP_INSECURE": "true",
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "GRPC"}, "", nil},
		{"gRPC, TLS, mutual", true, mutual, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "%s", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
			"OTEL_EXPORTER_OTLP_CERTIFICATE": certFile, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": certFile, "OTEL_EXPORTER_OTLP_CLIENT_KEY": keyFile}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			var r *received
			var addr string
			if c.grpc {
				r, addr = grpcReceiver(t, c.tls)
			} else {
				receiver, s := httpReceiver(t, c.tls)
				r, addr = receiver, s.Listener.Addr().String()
			}
			env := map[string]string{"OTEL_SERVICE_NAME": "till", "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
			for name, value := range c.env {
				if strings.Contains(value, "%") {
					value = strings.ReplaceAll(strings.ReplaceAll(value, "%s", addr), "%%", "%")
				}
				env[name] = value
			}
			setenv(t, env)
			var log logBuffer
			shutdown, err := Start(t.Context(), withLog(&log), WithServiceName("shop"))
			if err != nil {
				t.Fatal(err)
			}
			record(otel.GetTracerProvider(), "order", "payment")
			if err := shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if got := r.spans(); !slices.Equal(got, []string{"order", "payment"}) || r.services[0] != "till" || r.path != c.path {
				t.Errorf("%q of %q at %q", got, r.services, r.path)
			}
			for name, want := range c.header {
				if r.header[name] != want {
					t.Errorf("%s is %q, want %q", name, r.header[name], want)
				}
			}
			if log.String() != "" {
				t.Error(log.String())
			}
			record(otel.GetTracerProvider(), "late")
			if err := shutdown(t.Context()); err != nil || len(r.spans()) != 2 {
				t.Errorf("second shutdown: %v, %q", err, r.spans())
			}
		})
	}
}

// Without an OTEL_BSP_SCHEDULE_DELAY, spans come soon, and nobody has to flush.
func TestSpansComeWithoutAFlush(t *testing.T) {
	noLeaks(t)
	r, s := httpReceiver(t, nil)
	setenv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": s.URL})
	sdk, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	record(sdk.TracerProvider, "order")
	<-r.arrived
	if err := sdk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUnreachableBackend(t *testing.T) {
	for _, c := range []struct{ protocol, exporters string }{{"grpc", "otlp"}, {"http/protobuf", "otlp"}, {"http/protobuf", "otlp,console"}} {
		t.Run(c.protocol+" "+c.exporters, func(t *testing.T) {
			noLeaks(t)
			setenv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + nobody(t), "OTEL_EXPORTER_OTLP_PROTOCOL": c.protocol, "OTEL_TRACES_EXPORTER": c.exporters})
			stdout(t, func() {
				sdk, err := New(t.Context(), withLog(new(logBuffer)))
				if err != nil {
					t.Error(err)
					return
				}
				record(sdk.TracerProvider, "a", "b", "c")
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				err = sdk.Shutdown(ctx)
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "3 spans were not delivered") {
					t.Errorf("error %v", err)
				}
				if again := sdk.Shutdown(t.Context()); again == nil || again.Error() != err.Error() {
					t.Errorf("second shutdown: %v", again)
				}
				if s := sdk.Collector.Stats(); c.exporters == "otlp" && (s.Submitted != 3 || s.Dropped.Total() != 3 || s.InFlight != 0) {
					t.Error(s)
				}
			})
		})
	}
}

// A context without a deadline does not keep the program from ending.
func TestShutdownWithoutADeadline(t *testing.T) {
	setenv(t, nil)
	synctest.Test(t, func(t *testing.T) {
		var r ringtailtest.Recorder
		r.Block()
		sdk, err := New(t.Context(), WithExporter(&r), withLog(new(logBuffer)))
		if err != nil {
			t.Fatal(err)
		}
		record(sdk.TracerProvider, "a")
		begin := time.Now()
		if err := sdk.Shutdown(context.Background()); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != shutdownLimit {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

// meters remembers who has asked for a meter.
type meters struct {
	noop.MeterProvider
	names []string
}

func (m *meters) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	m.names = append(m.names, name)
	return m.MeterProvider.Meter(name, opts...)
}

func TestMeterProvider(t *testing.T) {
	setenv(t, nil)
	var m meters
	sdk, err := New(t.Context(), WithExporter(new(ringtailtest.Recorder)), WithMeterProvider(&m))
	if err != nil {
		t.Fatal(err)
	}
	if err := sdk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"github.com/ringtail-otel/ringtail", "github.com/ringtail-otel/ringtail/oteltrace"} {
		if !slices.Contains(m.names, want) {
			t.Errorf("%q have asked, %s has not", m.names, want)
		}
	}
}

// closing is a processor that keeps account of what is done to it.
type closing struct {
	err           error
	spans, closed int
}

func (p *closing) OnStart(context.Context, *oteltrace.ReadWriteSpan) { p.spans++ }
func (p *closing) OnEnd(*oteltrace.ReadWriteSpan)                    { p.spans++ }
func (p *closing) ForceFlush(context.Context) error                  { return nil }
func (p *closing) Shutdown(context.Context) error                    { p.closed++; return p.err }

func TestDisabled(t *testing.T) {
	noLeaks(t)
	setenv(t, map[string]string{"OTEL_SDK_DISABLED": "True", "OTEL_TRACES_EXPORTER": "nonsense", "OTEL_PROPAGATORS": "baggage"})
	var r ringtailtest.Recorder
	p := &closing{err: errors.New("cannot close")}
	shutdown, err := Start(t.Context(), WithExporter(&r), WithTracerProviderOptions(oteltrace.WithSpanProcessor(p)))
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.GetTracerProvider().Tracer("x").Start(t.Context(), "x")
	span.End()
	if span.IsRecording() || span.SpanContext().IsValid() {
		t.Errorf("%v", span.SpanContext())
	}
	if fields := otel.GetTextMapPropagator().Fields(); !slices.Equal(fields, []string{"baggage"}) {
		t.Errorf("propagators of %q", fields)
	}
	for range 2 {
		if err := shutdown(t.Context()); !errors.Is(err, p.err) || r.Counts().Shutdowns != 1 || p.closed != 1 || p.spans != 0 {
			t.Errorf("%v, exporter shut down %d times, processor %d times with %d spans", err, r.Counts().Shutdowns, p.closed, p.spans)
		}
	}
	setenv(t, map[string]string{"OTEL_SDK_DISABLED": "yes"})
	var log logBuffer
	sdk, err := New(t.Context(), WithExporter(new(ringtailtest.Recorder)), withLog(&log))
	if err != nil || sdk.Collector == nil || !strings.Contains(log.String(), "ignoring OTEL_SDK_DISABLED") {
		t.Fatalf("%v; log: %s", err, log.String())
	}
	if err := sdk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestErrorsLeaveNothing(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		env  map[string]string
		opts []Option
		err  string
	}{
		{"exporter", t.Context(), map[string]string{"OTEL_TRACES_EXPORTER": "zipkin,jaeger"}, nil, `autoconfigure: cannot use OTEL_TRACES_EXPORTER="zipkin,jaeger": want otlp, console or none`},
		{"endpoint", t.Context(), map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, nil, "autoconfigure: otlphttp: cannot use OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"second of two", t.Context(), map[string]string{"OTEL_TRACES_EXPORTER": "console,otlp", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such/file", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://h"}, nil, "OTEL_EXPORTER_OTLP_CERTIFICATE"},
		{"option", t.Context(), nil, []Option{WithCollectorOptions(ringtail.WithBatchSpans(-1))}, "WithBatchSpans(-1)"},
		{"context", ended, nil, nil, "autoconfigure: cannot set up tracing: context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			setenv(t, c.env)
			provider, propagator := otel.GetTracerProvider(), otel.GetTextMapPropagator()
			shutdown, err := Start(c.ctx, c.opts...)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if otel.GetTracerProvider() != provider || fmt.Sprint(otel.GetTextMapPropagator()) != fmt.Sprint(propagator) {
				t.Error("something was installed")
			}
			if err := shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	var r ringtailtest.Recorder
	own := struct { // of a type whose values cannot be compared
		ringtail.Exporter
		_ func()
	}{Exporter: &r}
	if _, err := New(t.Context(), WithExporter(own), WithCollectorOptions(ringtail.WithBatchSpans(-1))); err == nil || r.Counts().Shutdowns != 0 {
		t.Errorf("%v; the exporter is the caller's, and was shut down %d times", err, r.Counts().Shutdowns)
	}
}

func TestStartTwice(t *testing.T) {
	noLeaks(t)
	setenv(t, nil)
	var first, second ringtailtest.Recorder
	shutdownFirst, err := Start(t.Context(), WithExporter(&first))
	if err != nil {
		t.Fatal(err)
	}
	early := otel.GetTracerProvider()
	shutdownSecond, err := Start(t.Context(), WithExporter(&second))
	if err != nil {
		t.Fatal(err)
	}
	record(early, "a")
	record(otel.GetTracerProvider(), "b")
	for range 2 {
		if err := errors.Join(shutdownFirst(t.Context()), shutdownSecond(t.Context())); err != nil {
			t.Error(err)
		}
	}
	for r, want := range map[*ringtailtest.Recorder]string{&first: "a", &second: "b"} {
		if spans := r.Spans(); len(spans) != 1 || spans[0].Name != want || r.Counts().Shutdowns != 1 {
			t.Errorf("%v, want %s; shut down %d times", spans, want, r.Counts().Shutdowns)
		}
	}
}

func TestNewLeavesTheGlobals(t *testing.T) {
	setenv(t, map[string]string{"OTEL_TRACES_EXPORTER": "none"})
	provider := otel.GetTracerProvider()
	sdk, err := New(t.Context())
	if err != nil || otel.GetTracerProvider() != provider {
		t.Fatal(err, "or the provider was installed")
	}
	if err := sdk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOptionsReachTheirPlace(t *testing.T) {
	setenv(t, map[string]string{"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1"})
	var r ringtailtest.Recorder
	sdk, err := New(t.Context(), WithExporter(&r), nil,
		WithTracerProviderOptions(oteltrace.WithSampler(oteltrace.NeverSample())), WithCollectorOptions(ringtail.WithBatchSpans(4096)))
	if err != nil {
		t.Fatal(err)
	}
	record(sdk.TracerProvider, "not sampled")
	for i := range 3 {
		if err := sdk.Collector.TrySubmit(&ringtail.Span{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{byte(i + 1)}, Name: "direct"}); err != nil {
			t.Error(err)
		}
	}
	if err := sdk.Shutdown(t.Context()); err != nil || len(r.Spans()) != 3 || len(r.Batches()) != 1 {
		t.Errorf("%v, %d spans in %d batches", err, len(r.Spans()), len(r.Batches()))
	}
}
