package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/otlpgrpc"
	"github.com/ringtail-otel/ringtail/export/otlphttp"
	"go.opentelemetry.io/otel/attribute"
)

// The ways to send OTLP.
const (
	overGRPC = "gRPC"
	overHTTP = "HTTP protobuf"
	overJSON = "HTTP JSON"
)

var compressions = []string{"none", "gzip", "zstd"}

// service is what the spans of a test come from.
func service(t *testing.T) *ringtail.Resource {
	return &ringtail.Resource{
		SchemaURL: "https://opentelemetry.io/schemas/1.40.0",
		Attributes: append([]attribute.KeyValue{
			attribute.String("service.name", "interop"),
			attribute.String("test", t.Name()),
		}, everyType...),
		DroppedAttributes: 6,
	}
}

// exporterTo returns one of our exporters to a Collector.
func exporterTo(t *testing.T, c *otelcol, over, compression string) ringtail.Exporter {
	t.Helper()
	// Pauses are short since the test waits for them, and there is a test in which
	// the Collector is away for as long as it takes to start again.
	retry := export.RetryConfig{InitialInterval: 20 * time.Millisecond, MaxInterval: 200 * time.Millisecond, MaxElapsed: 2 * patience}
	var exporter ringtail.Exporter
	var err error
	switch over {
	case overGRPC:
		exporter, err = otlpgrpc.New("http://"+c.grpc, otlpgrpc.WithCompressor(compression), otlpgrpc.WithRetry(retry))
	case overHTTP:
		exporter, err = otlphttp.New("http://"+c.http, otlphttp.WithCompression(compression), otlphttp.WithRetry(retry))
	case overJSON:
		exporter, err = otlphttp.New("http://"+c.http, otlphttp.WithCompression(compression), otlphttp.WithRetry(retry), otlphttp.WithJSON())
	}
	if err != nil {
		t.Fatal(err)
	}
	return exporter
}

// TestExportToCollector sends spans through a collector of ours and each of its
// OTLP exporters to an OpenTelemetry Collector, and compares every field of what
// that has received with what was submitted.
func TestExportToCollector(t *testing.T) {
	skipIfShort(t)
	for _, over := range []string{overGRPC, overHTTP, overJSON} {
		for _, compression := range compressions {
			r := route{"ringtail library", over, compression, "Collector"}
			r.run(t, func(t *testing.T) string {
				backend := startCollector(t, "")
				res := service(t)
				// Small batches, so that several are under way at once.
				collector, err := ringtail.New(exporterTo(t, backend, over, compression), ringtail.WithResource(res),
					ringtail.WithBatchSpans(100), ringtail.WithExportTimeout(2*patience))
				if err != nil {
					t.Fatal(err)
				}
				sent := sample(t, 1000)
				submit(t, collector, sent)
				shutdown(t, collector, len(sent))
				if err := compare(expect(t, res, sent), backend.spans(t), nil); err != nil {
					t.Fatal(err)
				}
				return exact(len(sent))
			})
		}
	}
}

// TestCollectorComesBack stops the Collector while spans are being sent to it, keeps
// it away until the exporter has run into that, and starts it again. Nothing may be
// lost.
func TestCollectorComesBack(t *testing.T) {
	skipIfShort(t)
	for _, over := range []string{overGRPC, overHTTP} {
		r := route{"ringtail library", over, "gzip", "Collector, restarted"}
		r.run(t, func(t *testing.T) string {
			first := startCollector(t, "")
			res := service(t)
			collector, err := ringtail.New(exporterTo(t, first, over, "gzip"), ringtail.WithResource(res), ringtail.LowLatency(),
				ringtail.WithBatchSpans(50), ringtail.WithInterval(5*time.Millisecond), ringtail.WithBatchAge(5*time.Millisecond),
				ringtail.WithExportTimeout(2*patience))
			if err != nil {
				t.Fatal(err)
			}
			sent := sample(t, 6000)

			// A third of the spans goes before the stop, or during it; the submits of
			// the second third run beside it, and those of the last beside the restart.
			third := len(sent) / 3
			submit(t, collector, sent[:third])
			awaitExported(t, collector, third/2)
			submitted := make(chan error, 1)
			go func() { submitted <- submitAll(collector, sent[third:2*third]) }()
			first.stop(t)
			if err := <-submitted; err != nil {
				t.Fatal(err)
			}
			awaitAttempt(t, first, over)
			go func() { submitted <- submitAll(collector, sent[2*third:]) }()
			second := tryCollector(t, first.grpc, first.http, "")
			if second == nil {
				t.Fatal("the Collector's port was taken while it was stopped")
			}
			if err := <-submitted; err != nil {
				t.Fatal(err)
			}
			shutdown(t, collector, len(sent))

			got := readSpans(t, first.out)
			before := got.len()
			for id, texts := range second.spans(t) {
				got[id] = append(got[id], texts...)
			}
			if before == 0 || before == got.len() {
				t.Fatalf("%d of %d spans arrived before the stop: this has tested nothing", before, got.len())
			}
			twice := 0
			if err := compare(expect(t, res, sent), got, &twice); err != nil {
				t.Fatal(err)
			}
			// One that was received but not acknowledged is rightly sent again.
			return fmt.Sprintf("%d before, %d after: none lost, %d sent again", before, got.len()-before, twice)
		})
	}
}

// TestLargeBatch exports a batch that is larger than what the Collector's gRPC
// receiver takes in one message.
func TestLargeBatch(t *testing.T) {
	skipIfShort(t)
	r := route{"ringtail library", overGRPC, "none", "Collector, batch over 4 MiB"}
	r.run(t, func(t *testing.T) string {
		backend := startCollector(t, "")
		res := service(t)
		collector, err := ringtail.New(exporterTo(t, backend, overGRPC, "none"), ringtail.WithResource(res),
			ringtail.WithRingBits(16), ringtail.WithInterval(time.Hour), ringtail.WithBatchAge(time.Hour),
			ringtail.WithBatchSpans(1<<20), ringtail.WithBatchBytes(64<<20), ringtail.WithExportTimeout(2*patience))
		if err != nil {
			t.Fatal(err)
		}
		sent := sample(t, 1000)
		submit(t, collector, sent)
		shutdown(t, collector, len(sent))
		if n := collector.Stats().Batches; n != 1 {
			t.Fatalf("the spans went in %d batches: this has tested nothing", n)
		}
		if info, err := os.Stat(backend.out); err != nil || info.Size() < 5<<20 {
			t.Fatalf("too few bytes: this has tested nothing (%v)", err)
		}
		if err := compare(expect(t, res, sent), backend.spans(t), nil); err != nil {
			t.Fatal(err)
		}
		return exact(len(sent))
	})
}

// awaitAttempt takes the stopped Collector's place until the exporter has come
// there, and hangs up on it.
func awaitAttempt(t *testing.T, stopped *otelcol, over string) {
	t.Helper()
	l, err := net.Listen("tcp", stopped.address(over))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func submit(t *testing.T, c *ringtail.Collector, all []*ringtail.Span) {
	t.Helper()
	if err := submitAll(c, all); err != nil {
		t.Fatal(err)
	}
}

func submitAll(c *ringtail.Collector, all []*ringtail.Span) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, s := range all {
		if err := c.Submit(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// awaitExported waits until n spans have been exported. There is no event for that.
func awaitExported(t *testing.T, c *ringtail.Collector, n int) {
	t.Helper()
	for start := time.Now(); c.Stats().Exported < uint64(n); time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("%d spans not exported in %v: %+v", n, patience, c.Stats())
		}
	}
}

// shutdown ends the collector, whose ledger has to say that n spans were exported
// and none was dropped.
func shutdown(t *testing.T, c *ringtail.Collector, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := c.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	s := c.Stats()
	if s.Submitted != uint64(n) || s.Exported != uint64(n) || s.Dropped.Total() != 0 || s.InFlight != 0 {
		t.Fatalf("want %d spans submitted and exported, got %+v", n, s)
	}
}
