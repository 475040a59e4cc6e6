package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// TestConcurrentLoad lets customers come at the same time: under the race detector, it
// is the official instrumentation that uses our spans from many goroutines. Afterwards
// every span is accounted for, and nothing is left running.
func TestConcurrentLoad(t *testing.T) {
	const customers, rounds = 8, 4
	before := runtime.NumGoroutine()
	alone, _ := load(t, 1, 1)
	setUp, _ := load(t, 1, 0) // what the service records of its own start
	spans, requests := load(t, customers, rounds)
	if want := setUp + customers*rounds*(alone-setUp); spans != want {
		t.Errorf("%d customers with %d rounds made %d spans, want %d: one round of one customer makes %d", customers, rounds, spans, want, alone-setUp)
	}
	t.Logf("%d requests, %d spans", requests, spans)
	awaitGoroutines(t, before)
}

// load returns how many spans were exported, and checks the ledger.
func load(t *testing.T, customers, rounds int) (spans, requests int) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var recorder ringtailtest.Recorder
	collector, err := ringtail.New(&recorder)
	if err != nil {
		t.Fatal(err)
	}
	provider := oteltrace.NewTracerProvider(collector)
	tel := telemetry{provider, propagators}
	s, err := start(ctx, "127.0.0.1:0", tel)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range customers {
		wg.Go(func() {
			c := newCustomer(fmt.Sprint("customer-", i), s, tel)
			defer c.closeIdle()
			for range rounds {
				for _, v := range visits {
					if v.name == "leave during a payment" {
						continue // one customer would be told of another's review
					}
					saw := c.visit(ctx, v)
					if strings.Contains(saw, " 500 ") {
						t.Errorf("%s: %s", v.name, saw)
					}
					mu.Lock()
					requests++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if err := s.stop(ctx); err != nil {
		t.Error(err)
	}
	if err := provider.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	stats := collector.Stats()
	received := uint64(recorder.Counts().Spans)
	if stats.Submitted != received || stats.Exported != received || stats.Dropped.Total() != 0 || stats.InFlight != 0 {
		t.Errorf("the ledger says: %v; the exporter has %d spans", stats, received)
	}
	return int(received), requests
}

// awaitGoroutines waits for the goroutines of closed connections to end.
func awaitGoroutines(t *testing.T, most int) {
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > most; {
		if time.Now().After(deadline) {
			var b strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), most, b.String())
		}
		runtime.Gosched()
	}
}
