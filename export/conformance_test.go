package export_test

import (
	"context"
	"io"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

func TestExporters(t *testing.T) {
	recorder := func() ringtail.Exporter { return new(ringtailtest.Recorder) }
	failing := func() ringtail.Exporter {
		r := new(ringtailtest.Recorder)
		r.Fail(&export.RetryableError{Err: errBoom})
		return r
	}
	for name, open := range map[string]func() ringtail.Exporter{
		"null":        func() ringtail.Exporter { return export.Null() },
		"writer json": func() ringtail.Exporter { return export.NewWriter(io.Discard, export.AsJSON()) },
		"writer tree": func() ringtail.Exporter { return export.NewWriter(io.Discard) },
		"file":        func() ringtail.Exporter { return openFile(t, export.FileConfig{RotateBytes: 5000, MaxBackups: 3}) },
		"file gzip":   func() ringtail.Exporter { return openFile(t, export.FileConfig{Compression: export.Gzip}) },
		"file zstd":   func() ringtail.Exporter { return openFile(t, export.FileConfig{Compression: export.Zstd, Sync: true}) },
		"fan-out": func() ringtail.Exporter {
			return fanout(t, export.Branch{Exporter: recorder()}, export.Branch{Exporter: failing(), Concurrency: 3})
		},
		"breaker":        func() ringtail.Exporter { return export.Breaker(recorder(), export.BreakerConfig{}) },
		"breaker, open":  func() ringtail.Exporter { return export.Breaker(failing(), export.BreakerConfig{Failures: 1}) },
		"rate limit":     func() ringtail.Exporter { return export.RateLimit(recorder(), 1e6, 0) },
		"all wrappers":   func() ringtail.Exporter { return wrapped(recorder()) },
		"all of failing": func() ringtail.Exporter { return wrapped(failing()) },
	} {
		t.Run(name, func(t *testing.T) { ringtailtest.TestExporter(t, open) })
	}
}

func openFile(t *testing.T, cfg export.FileConfig) *export.FileExporter {
	cfg.Logger = quiet
	e, err := export.NewFile(filepath.Join(t.TempDir(), "spans.jsonl"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func wrapped(e ringtail.Exporter) ringtail.Exporter {
	return export.Breaker(export.RateLimit(export.Retry(e, export.RetryConfig{MaxAttempts: 2, InitialInterval: time.Microsecond}), 1e6, 0), export.BreakerConfig{})
}

// once is an exporter that counts what wrappers pass on.
type once struct {
	flushes, shutdowns atomic.Int32
	err                error
}

func (o *once) Export(context.Context, *ringtail.Batch) error { return nil }
func (o *once) Flush(context.Context) error                   { o.flushes.Add(1); return o.err }
func (o *once) Shutdown(context.Context) error                { o.shutdowns.Add(1); return o.err }

func TestWrappersPassFlushAndShutdownOn(t *testing.T) {
	for name, wrap := range map[string]func(ringtail.Exporter) ringtail.Exporter{
		"breaker":    func(e ringtail.Exporter) ringtail.Exporter { return export.Breaker(e, export.BreakerConfig{}) },
		"rate limit": func(e ringtail.Exporter) ringtail.Exporter { return export.RateLimit(e, 1, 1) },
		"fan-out":    func(e ringtail.Exporter) ringtail.Exporter { return fanout(t, export.Branch{Exporter: e}) },
	} {
		t.Run(name, func(t *testing.T) {
			next := &once{err: errBoom}
			e := wrap(next)
			if err := e.(ringtail.Flusher).Flush(t.Context()); err == nil || next.flushes.Load() != 1 {
				t.Errorf("Flush: %v, %d passed on", err, next.flushes.Load())
			}
			for range 3 {
				if err := e.Shutdown(t.Context()); err == nil {
					t.Error("Shutdown does not return the error of the first one")
				}
			}
			if n := next.shutdowns.Load(); n != 1 {
				t.Errorf("%d shutdowns passed on, want 1", n)
			}
			if err := wrap(export.Null()).(ringtail.Flusher).Flush(t.Context()); err != nil {
				t.Errorf("Flush, of an exporter that is no Flusher: %v", err)
			}
		})
	}
}

func TestNullCounts(t *testing.T) {
	e := export.Null()
	b := batch(t, 12)
	for range 3 {
		if err := e.Export(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := e.Stats(), (export.NullStats{Batches: 3, Spans: 36, Bytes: uint64(3 * len(b.Bytes()))}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A backend that was down comes back: retry around the breaker waits for it, no
// sooner than the breaker allows, and nothing is lost.
func TestRetryAroundBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := new(ringtailtest.Recorder)
		next.Fail(&export.RetryableError{Err: errBoom})
		breaker := export.Breaker(next, export.BreakerConfig{Failures: 3, OpenFor: 20 * time.Second})
		e := export.Retry(breaker, export.RetryConfig{})
		time.AfterFunc(10*time.Second, func() { next.Fail(nil) })
		begin := time.Now()
		if err := e.Export(t.Context(), batch(t, 5)); err != nil {
			t.Fatal(err)
		}
		// Three attempts of its own, and the probe; the breaker has answered one between.
		if took, n := time.Since(begin), next.Counts().Started; took < 20*time.Second || n != 4 {
			t.Errorf("delivered after %v and %d attempts", took, n)
		}
	})
}
