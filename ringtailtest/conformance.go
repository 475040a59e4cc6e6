package ringtailtest

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
)

// patience is how long a single call of an exporter may take here. It is generous:
// the suite is after calls that never return.
const patience = 20 * time.Second

// TestExporter checks exporters that open returns against what [ringtail.Exporter]
// asks for, one subtest for each rule, each with an exporter of its own:
//
//   - Export may be called from several goroutines at once, and leaves the batch
//     as it is, which is overwritten as soon as Export has returned, unless it was
//     kept;
//   - an empty batch and a context that has ended do no harm;
//   - after Shutdown every span offered is lost for [ringtail.ReasonClosed];
//   - Shutdown may be called twice, while exports are under way, and with a
//     context that has ended, and always returns;
//   - so does Flush, of an exporter that is a [ringtail.Flusher];
//   - no goroutine is left when all is over.
//
// Whether Export succeeds does not matter: the backend may be down. The backend
// may not hang, though. The test that calls TestExporter must not run in parallel with
// others, because goroutines are counted.
func TestExporter(t *testing.T, open func() ringtail.Exporter) {
	t.Helper()
	for _, rule := range []struct {
		name  string
		check func(*testing.T, ringtail.Exporter)
	}{
		{"concurrent exports", concurrentExports},
		{"empty batch", emptyBatch},
		{"ended context", endedContext},
		{"export after shutdown", exportAfterShutdown},
		{"shutdown twice", shutdownTwice},
		{"shutdown with an ended context", shutdownEnded},
		{"shutdown during exports", shutdownDuringExports},
		{"flush", flushes},
	} {
		t.Run(rule.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			e := open()
			if e == nil {
				t.Fatal("open returned no exporter")
			}
			rule.check(t, e)
			within(t, "Shutdown", func() { _ = e.Shutdown(t.Context()) })
			noGoroutineLeft(t, before)
		})
	}
}

func concurrentExports(t *testing.T, e ringtail.Exporter) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 4 {
				export(t, e, t.Context(), loan(t, uint64(g*4+i+1), 1+7*i))
			}
		})
	}
	within(t, "concurrent exports", wg.Wait)
}

func emptyBatch(t *testing.T, e ringtail.Exporter) {
	within(t, "Export of an empty batch", func() { export(t, e, t.Context(), loan(t, 1, 0)) })
	within(t, "Export afterwards", func() { export(t, e, t.Context(), loan(t, 2, 5)) })
}

func endedContext(t *testing.T, e ringtail.Exporter) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "Export with an ended context", func() { export(t, e, ended, loan(t, 1, 5)) })
	within(t, "Export afterwards", func() { export(t, e, t.Context(), loan(t, 2, 5)) })
}

func exportAfterShutdown(t *testing.T, e ringtail.Exporter) {
	within(t, "Shutdown", func() { _ = e.Shutdown(t.Context()) })
	within(t, "Export after Shutdown", func() { refused(t, e) })
}

func shutdownTwice(t *testing.T, e ringtail.Exporter) {
	within(t, "Export", func() { export(t, e, t.Context(), loan(t, 1, 5)) })
	for range 2 {
		within(t, "Shutdown", func() { _ = e.Shutdown(t.Context()) })
	}
	within(t, "Export after two Shutdowns", func() { refused(t, e) })
}

func shutdownEnded(t *testing.T, e ringtail.Exporter) {
	within(t, "Export", func() { export(t, e, t.Context(), loan(t, 1, 5)) })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "Shutdown with an ended context", func() { _ = e.Shutdown(ended) })
	within(t, "Export after Shutdown", func() { refused(t, e) })
}

func shutdownDuringExports(t *testing.T, e ringtail.Exporter) {
	var wg sync.WaitGroup
	under := make(chan struct{}, 4)
	for g := range 4 {
		wg.Go(func() {
			for i := range 20 {
				if i == 1 {
					under <- struct{}{}
				}
				export(t, e, t.Context(), loan(t, uint64(g*20+i+1), 3))
			}
		})
	}
	<-under
	within(t, "Shutdown during exports", func() { _ = e.Shutdown(t.Context()) })
	within(t, "exports under way at Shutdown", wg.Wait)
	within(t, "Export after Shutdown", func() { refused(t, e) })
}

func flushes(t *testing.T, e ringtail.Exporter) {
	f, ok := e.(ringtail.Flusher)
	if !ok {
		t.Skip("the exporter is not a Flusher")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "Export", func() { export(t, e, t.Context(), loan(t, 1, 5)) })
	within(t, "Flush", func() { _ = f.Flush(t.Context()) })
	within(t, "Flush with an ended context", func() { _ = f.Flush(ended) })
	within(t, "Shutdown", func() { _ = e.Shutdown(t.Context()) })
	within(t, "Flush after Shutdown", func() { _ = f.Flush(t.Context()) })
}

// loan returns a batch whose bytes nobody else has.
func loan(t *testing.T, seed uint64, spans int) *ringtail.Batch {
	b, err := NewBatch(Spans(seed, spans)...)
	if err != nil {
		t.Error(err)
		b, _ = ringtail.NewBatch(nil)
	}
	return b
}

// export exports the batch, checks that it is unchanged, and then makes it useless:
// an exporter that still reads it sends rubbish, or meets the race detector.
func export(t *testing.T, e ringtail.Exporter, ctx context.Context, b *ringtail.Batch) {
	before := bytes.Clone(b.Bytes())
	_ = e.Export(ctx, b)
	if !bytes.Equal(before, b.Bytes()) {
		t.Error("Export changed the batch")
	}
	if b.Kept() {
		return
	}
	for i := range b.Bytes() {
		b.Bytes()[i] = 0xff
	}
}

// refused checks that an export after Shutdown is refused for that reason.
func refused(t *testing.T, e ringtail.Exporter) {
	b := loan(t, 99, 3)
	err := e.Export(t.Context(), b)
	lost := ringtail.Losses(err, b.Len())
	if err == nil || lost.Of(ringtail.ReasonClosed) != uint64(b.Len()) {
		t.Errorf("Export after Shutdown: %v, want an ExportError of 3 spans for %v", err, ringtail.ReasonClosed)
	}
}

// within fails the test, with all stacks, if f does not return.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		t.Fatalf("%s does not return within %v; all goroutines:\n%s", what, patience, stacks[:runtime.Stack(stacks, true)])
	}
}

// noGoroutineLeft waits until there are no more goroutines than before. Those that
// are about to end have no event to wait for.
func noGoroutineLeft(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left, %d were there before:\n%s",
				runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
