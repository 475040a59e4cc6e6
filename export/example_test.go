package export_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// Spans of one trace, which may come from several batches, as a tree.
func ExampleWriteTree() {
	_ = export.WriteTree(os.Stdout, checkout(), export.TreeOptions{Width: 90, Location: time.UTC})
	// Output:
	// trace 4bf92f35000000000000000000000001 · 48.2ms · 8 spans · 3 errors · 12:00:00
	// ✗ POST /checkout                  shop       48.2ms  ━━━━━━━━━━━━━━━  server  …
	// ├─ load cart                                 6.00ms  ━━╸              cart.items=3
	// │  └─ SELECT shop.cart                       4.50ms  ╺━╸              client  …
	// ├─ reserve stock                             7.00ms    ━━━            client
	// │  └─ POST /reservations          stock      5.00ms    ╺━╸            server  ok  …
	// └─ ✗ charge card                             31.0ms      ╺━━━━━━━━━━  client
	//    │  payments answered 402: insufficient funds
	//    └─ ✗ POST /charges             payments   29.0ms       ━━━━━━━━━╸  server  …
	//       │  DeclinedError: insufficient funds
	//       └─ publish charge.declined              500µs              ━    producer  …
}

// A collector whose spans are printed as they come.
func ExampleNewStdout() {
	stdout := export.NewStdout(export.AsTree(export.TreeOptions{Width: 90, Location: time.UTC}))
	collector, err := ringtail.New(stdout, ringtail.WithResource(&ringtail.Resource{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range []*ringtail.Span{span(2, 1, "load cart", "", 1*ms, 7*ms), span(1, 0, "POST /checkout", "", 0, 9*ms)} {
		_ = collector.TrySubmit(s)
	}
	_ = collector.Shutdown(context.Background())
	// Output:
	// trace 4bf92f35000000000000000000000001 · 9.00ms · 2 spans · 2026-03-01 12:00:00.000
	// POST /checkout   9.00ms  ━━━━━━━━━━━━━━━
	// └─ load cart     6.00ms   ╺━━━━━━━━━━
}

// A file that is begun anew each day or at 100 MB, of which a week's are kept. zcat
// reads it.
func ExampleNewFile() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	file, err := export.NewFile(filepath.Join(dir, "spans.jsonl.gz"), export.FileConfig{
		Compression:  export.Gzip,
		RotateEvery:  24 * time.Hour,
		RotateBytes:  100 << 20,
		MaxBackupAge: 7 * 24 * time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, _ := ringtailtest.NewBatch(ringtailtest.Spans(1, 10)...)
	fmt.Println(file.Export(context.Background(), b), file.Shutdown(context.Background()))
	// Output: <nil> <nil>
}

// Two exporters, of which one does not work: the other does not notice.
func ExampleFanout() {
	var down, up ringtailtest.Recorder
	down.Fail(fmt.Errorf("connection refused"))
	fan, err := export.Fanout(
		export.Branch{Name: "backend", Exporter: &down, Logger: quiet},
		export.Branch{Name: "archive", Exporter: &up, QueueBytes: 16 << 20, Concurrency: 2},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, _ := ringtailtest.NewBatch(ringtailtest.Spans(1, 10)...)
	fmt.Println(fan.Export(context.Background(), b))
	fmt.Println(fan.Flush(context.Background()))
	for _, s := range fan.Stats() {
		fmt.Printf("%s: %d received = %d exported + %d dropped + %d in flight\n",
			s.Name, s.Received, s.Exported, s.Dropped.Total(), s.InFlight)
	}
	// Output:
	// <nil>
	// <nil>
	// backend: 10 received = 0 exported + 10 dropped + 0 in flight
	// archive: 10 received = 10 exported + 0 dropped + 0 in flight
}

// A limit that holds spans back and drops none: 20 000 spans/s × 90 s is far more than
// one export of 1 000 spans.
func ExampleRateLimit() {
	backend := new(ringtailtest.Recorder)
	collector, err := ringtail.New(export.RateLimit(backend, 20_000, 1_000),
		ringtail.WithConcurrentExports(1),
		ringtail.WithBatchSpans(1_000),
		ringtail.WithExportTimeout(90*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range ringtailtest.Spans(1, 3_000) {
		_ = collector.Submit(context.Background(), s)
	}
	_ = collector.Shutdown(context.Background())
	fmt.Println(collector.Stats())
	// Output: 3000 submitted = 3000 exported + 0 dropped + 0 in flight
}

// A backend that fails: the breaker sees every attempt, and after two of them
// spares it the others.
func ExampleBreaker() {
	backend := new(ringtailtest.Recorder)
	backend.Fail(&export.RetryableError{Err: fmt.Errorf("connection refused")})
	breaker := export.Breaker(backend, export.BreakerConfig{
		Failures:      2,
		OnStateChange: func(from, to export.BreakerState) { fmt.Println(from, "→", to) },
	})
	exporter := export.Retry(breaker, export.RetryConfig{MaxAttempts: 3, InitialInterval: time.Millisecond})

	b, _ := ringtailtest.NewBatch(ringtailtest.Spans(1, 10)...)
	err := exporter.Export(context.Background(), b)
	lost := ringtail.Losses(err, b.Len())
	fmt.Println(lost.Of(ringtail.ReasonUnavailable), "spans lost,", backend.Counts().Started, "attempts")
	// Output:
	// closed → open
	// 10 spans lost, 2 attempts
}
