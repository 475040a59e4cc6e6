package ringtail

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
)

// request returns an encoded request of spans numbered from first.
func request(t testing.TB, first uint64, spans int) []byte {
	t.Helper()
	var all []*Span
	for n := range spans {
		all = append(all, numbered(first+uint64(n)))
	}
	b, _ := submitted(t, &Resource{}, all...)
	return b.Bytes()
}

func (e *backend) batches() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.sizes)
}

// TestBatchLimits runs with a fake clock: a batch leaves when it is full or old, and not before.
func TestBatchLimits(t *testing.T) {
	interval := WithInterval(10 * time.Millisecond)
	for _, test := range []struct {
		name  string
		opts  []Option
		spans int
		size  int // of one attribute
		after time.Duration
		want  []int
	}{
		{"young", []Option{WithBatchAge(time.Second)}, 50, 0, 900 * time.Millisecond, nil},
		{"old", []Option{WithBatchAge(time.Second)}, 50, 0, 1100 * time.Millisecond, []int{50}},
		{"spans", []Option{WithBatchAge(time.Minute), WithBatchSpans(20)}, 50, 0, time.Second, []int{20, 20}},
		{"spans, then age", []Option{WithBatchAge(time.Minute), WithBatchSpans(20)}, 50, 0, 61 * time.Second, []int{20, 20, 10}},
		{"bytes", []Option{WithBatchAge(time.Minute), WithBatchBytes(1 << 10)}, 8, 300, time.Second, []int{3, 3}},
		{"slow poll", []Option{WithBatchAge(time.Second), WithInterval(time.Minute)}, 1, 0, 59 * time.Second, nil},
		{"small polls", []Option{WithMaxPoll(1), WithBatchAge(time.Second)}, 50, 0, 1100 * time.Millisecond, []int{50}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := new(backend)
				c := start(t, e, append([]Option{interval, WithConcurrentExports(1)}, test.opts...)...)
				p, err := c.Register()
				if err != nil {
					t.Fatal(err)
				}
				for n := range test.spans {
					s := numbered(uint64(n))
					s.Attributes = []attribute.KeyValue{attribute.String("k", strings.Repeat("x", test.size))}
					if err := p.TrySubmit(s); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(test.after)
				synctest.Wait()
				if got := e.batches(); !slices.Equal(got, test.want) {
					t.Errorf("batches of %v, want %v", got, test.want)
				}
				if err := c.Shutdown(t.Context()); err != nil || e.total(t) != test.spans {
					t.Errorf("%v; %d arrived", err, e.total(t))
				}
			})
		})
	}
}

// TestWatermark: a ring that is half full is polled before the interval is over.
func TestWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(backend)
		c := start(t, e, WithInterval(time.Hour), WithRingBits(8), WithBatchSpans(100))
		p, _ := c.Register()
		for n := range uint64(1000) {
			if err := p.TrySubmit(numbered(n)); err != nil {
				t.Fatalf("span %d: %v", n, err)
			}
			synctest.Wait() // the drainer, if it was called
		}
		if e.total(t) < 300 {
			t.Errorf("%d of 1000 arrived", e.total(t))
		}
	})
}

func TestTrySubmitRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := &backend{behave: func(ctx context.Context, b *Batch) (int, error) { <-release; return b.Len(), nil }}
		c := start(t, e, WithBatchBytes(1<<10), WithQueueBytes(4<<10), WithBatchAge(time.Second), WithConcurrentExports(1))
		var syntax interface{ Error() string }
		if n, err := c.TrySubmitRequest([]byte{0xff}); n != 0 || !errors.As(err, &syntax) {
			t.Errorf("garbage: %d, %v", n, err)
		}
		if n, err := c.TrySubmitRequest(nil); n != 0 || err != nil {
			t.Errorf("nothing: %d, %v", n, err)
		}
		accepted, refused := 0, 0
		for n := range uint64(200) {
			spans, err := c.TrySubmitRequest(request(t, n*10, 2))
			if spans != 2 || err != nil && err != ErrFull {
				t.Fatalf("%d, %v", spans, err)
			}
			if err == nil {
				accepted += 2
			} else {
				refused += 2
			}
		}
		synctest.Wait()
		s := c.Stats()
		balance(t, s)
		if refused == 0 || s.Submitted != 400 || s.Dropped.Of(ReasonFull) != uint64(refused) || s.QueuedBytes > 8<<10 {
			t.Errorf("%d accepted, %d refused: %v, %d bytes queued", accepted, refused, s, s.QueuedBytes)
		}
		close(release)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if s := c.Stats(); e.total(t) != accepted || s.InFlight != 0 {
			t.Errorf("after the batch age %d of %d arrived; %v", e.total(t), accepted, s)
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if n, err := c.TrySubmitRequest(request(t, 1e6, 2)); n != 2 || err != ErrClosed {
			t.Errorf("after Shutdown: %d, %v", n, err)
		}
		s = c.Stats()
		balance(t, s)
		if s.Dropped.Of(ReasonClosed) != 2 {
			t.Errorf("%v", s)
		}
	})
}

// TestExportTimeout: an export that minds its context ends with the time allowed.
func TestExportTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &backend{behave: func(ctx context.Context, b *Batch) (int, error) { <-ctx.Done(); return 0, ctx.Err() }}
		c := start(t, e, WithExportTimeout(3*time.Second), WithBatchAge(time.Second))
		c.TrySubmit(numbered(1))
		time.Sleep(3900 * time.Millisecond) // it began after 1.1 s
		synctest.Wait()
		if s := c.Stats(); s.InFlight != 1 || s.Exporting != 1 {
			t.Errorf("early: %v", s)
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if s := c.Stats(); s.InFlight != 0 || s.Dropped.Of(ReasonTimeout) != 1 || s.Exporting != 0 {
			t.Errorf("late: %v", s)
		}
	})
}

// TestFlush: every span submitted before is exported when Flush returns, with others
// being submitted all the time.
func TestFlush(t *testing.T) {
	e := new(backend)
	c := start(t, e, WithInterval(time.Hour), WithBatchAge(time.Hour), WithRingBits(8), WithMaxPoll(64),
		WithBatchSpans(500), WithQueueBytes(1<<16)) // or a flush waits for a long queue before its own spans
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i, p := range registered(t, c.core, 2) {
		all.Go(func() {
			s := numbered(0)
			for n := uint64(i+1) << 40; ; n++ {
				select {
				case <-stop:
					return
				default:
					setNumber(s, n)
					if p.TrySubmit(s) != nil {
						runtime.Gosched()
					}
				}
			}
		})
	}
	p, _ := c.Register()
	for n := range uint64(rounds(20)) {
		if err := p.Submit(t.Context(), numbered(n)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.TrySubmitRequest(request(t, 1<<50|n, 1)); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(within30s(t)); err != nil {
			t.Fatal(err)
		}
		e.mu.Lock()
		ok, request := e.taken[n] == 1, e.taken[1<<50|n] == 1
		e.mu.Unlock()
		if !ok || !request {
			t.Fatalf("round %d: span %t, request %t", n, ok, request)
		}
	}
	close(stop)
	all.Wait()
	if err := c.Shutdown(within30s(t)); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); int(s.Exported) != e.total(t) || s.InFlight != 0 {
		t.Errorf("%v; %d arrived", s, e.total(t))
	}
}

type flusher struct {
	backend
	flushes int
	flush   func(context.Context) error
}

func (f *flusher) Flush(ctx context.Context) error { f.flushes++; return f.flush(ctx) }

// TestFlushOfTheExporter: its error and its panic are the caller's to see, and it
// cannot keep the caller longer than its context.
func TestFlushOfTheExporter(t *testing.T) {
	e := &flusher{flush: func(context.Context) error { return errors.New("disk full") }}
	c := start(t, e)
	if err := c.Flush(t.Context()); err == nil || err.Error() != "disk full" {
		t.Errorf("%v", err)
	}
	e.flush = func(context.Context) error { panic("at the disco") }
	if err := c.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "at the disco") {
		t.Errorf("%v", err)
	}
	release := make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithCancel(context.Background())
	e.flush = func(context.Context) error { cancel(); <-release; return nil }
	if err := c.Flush(ctx); err != context.Canceled {
		t.Errorf("%v", err)
	}
	c.Shutdown(t.Context())
	if err := c.Flush(t.Context()); err != nil || e.flushes != 3 {
		t.Errorf("after Shutdown: %v; the exporter was flushed %d times", err, e.flushes)
	}
}

// TestReporter has failures of the exporter logged once in ten seconds, with a
// count of the others, and one that is of another kind in between.
func TestReporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		boom := errors.New("boom")
		calls := 0
		e := &backend{behave: func(context.Context, *Batch) (int, error) {
			if calls++; calls == 16 {
				return 0, &ExportError{Spans: 1, Reason: ReasonRejected}
			}
			return 0, boom
		}}
		c := start(t, e, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		for n := range uint64(25) {
			c.TrySubmit(numbered(n))
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		c.Shutdown(t.Context())
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 4 || !strings.Contains(lines[0], "reason=export_failed error=boom") || strings.Contains(lines[0], "suppressed") ||
			!strings.Contains(lines[1], "suppressed=9") || !strings.Contains(lines[2], "reason=rejected") || !strings.Contains(lines[3], "suppressed=8") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

func TestNewErrors(t *testing.T) {
	if _, err := New(nil); err == nil || !strings.Contains(err.Error(), "exporter is nil") {
		t.Errorf("%v", err)
	}
	if _, err := New(discard{}, WithMaxPoll(0)); err == nil {
		t.Error("an option of no use is taken")
	}
}

// TestDoNothing: a collector that gets no spans calls the exporter for Shutdown only.
func TestDoNothing(t *testing.T) {
	e := new(backend)
	c := start(t, e)
	if err := errors.Join(c.Flush(t.Context()), c.Shutdown(t.Context())); err != nil || len(e.batches()) != 0 || e.ended != 1 {
		t.Errorf("%v, %d batches, %d shutdowns", err, len(e.batches()), e.ended)
	}
}
