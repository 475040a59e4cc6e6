package oteltrace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// smallCollector is one that costs little to make.
func smallCollector(t testing.TB, e ringtail.Exporter, opts ...ringtail.Option) *ringtail.Collector {
	t.Helper()
	opts = append(opts, ringtail.WithRingBits(6), ringtail.WithBatchBytes(1<<12), ringtail.WithResource(&ringtail.Resource{}),
		ringtail.WithLogger(slog.New(slog.DiscardHandler)))
	c, err := ringtail.New(e, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestShutdownLosesNothing: what has ended before Shutdown is exported, once, and what
// ends at the same time is exported or counted. Each round is a provider of its own.
func TestShutdownLosesNothing(t *testing.T) {
	rounds := 8000
	if testing.Short() || raceEnabled {
		rounds = 300
	}
	t.Run("native spans", func(t *testing.T) { shutdownLosesNothing(t, rounds) })
	t.Run("spans for processors", func(t *testing.T) {
		shutdownLosesNothing(t, rounds/4, WithSpanType(func(s *ReadWriteSpan) trace.Span { return s }))
	})
}

func shutdownLosesNothing(t *testing.T, rounds int, opts ...Option) {
	const before, goroutines, most = 4, 2, 60 // a ring has room for all of them
	var closed, late uint64
	for round := range rounds {
		recorder := &ringtailtest.Recorder{}
		p := NewTracerProvider(smallCollector(t, recorder), opts...)
		tracer := p.Tracer("t")
		must := map[trace.SpanID]bool{}
		end := func() trace.SpanID {
			_, s := tracer.Start(context.Background(), "x")
			s.End()
			return s.SpanContext().SpanID()
		}
		for range before {
			must[end()] = true
		}
		begun := make(chan trace.SpanID, goroutines)
		var over atomic.Bool
		var ended atomic.Int64
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for i := 0; i < most && (i < 10 || !over.Load()); i++ {
					if id := end(); i == round%10 { // Shutdown may come at any time
						begun <- id
					}
					ended.Add(1)
					if i%2 == round%2 {
						runtime.Gosched()
					}
				}
			})
		}
		for range goroutines {
			must[<-begun] = true
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := p.Shutdown(ctx); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		cancel()
		inTime := len(recorder.Spans())
		over.Store(true)
		wg.Wait()

		total := before + uint64(ended.Load())
		st := p.collector.Stats()
		if st.Submitted != total || st.InFlight != 0 || int(st.Exported) != inTime || len(recorder.Spans()) != inTime ||
			st.Exported+st.Dropped.Of(ringtail.ReasonClosed) != total {
			t.Fatalf("round %d: %v; %d in the exporter", round, st, len(recorder.Spans()))
		}
		seen := map[trace.SpanID]bool{}
		for _, s := range recorder.Spans() {
			if seen[s.SpanID] {
				t.Fatalf("round %d: exported twice", round)
			}
			seen[s.SpanID] = true
			delete(must, s.SpanID)
		}
		if len(must) > 0 {
			t.Fatalf("round %d: %d spans that had ended before are lost: %v", round, len(must), st)
		}
		closed += st.Dropped.Of(ringtail.ReasonClosed)
		late += uint64(inTime) - before - goroutines
	}
	t.Logf("of the spans that ended meanwhile, %d were exported and %d counted", late, closed)
}

// dead is an exporter whose backend does not answer.
type dead struct {
	deaf    bool // it does not notice the end of its context either
	release chan struct{}
}

func (d *dead) Export(ctx context.Context, _ *ringtail.Batch) error {
	if d.deaf {
		<-d.release
		return errors.New("too late")
	}
	select {
	case <-d.release:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (d *dead) Shutdown(context.Context) error { return nil }

// TestShutdownWithADeadBackend returns by its context, and says what was lost.
func TestShutdownWithADeadBackend(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprint("deaf ", deaf), func(t *testing.T) {
			e := &dead{deaf: deaf, release: make(chan struct{})}
			defer close(e.release)
			p := NewTracerProvider(smallCollector(t, e))
			const spans = 50
			for range spans {
				_, s := p.Tracer("t").Start(context.Background(), "x")
				s.End()
			}
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- p.Shutdown(ctx) }()
			select {
			case err := <-done:
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprintf("%d spans were not delivered", spans)) {
					t.Errorf("error %v", err)
				}
				if again := p.Shutdown(context.Background()); again != err {
					t.Errorf("the second Shutdown says %v", again)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Shutdown does not return")
			}
			if st := p.collector.Stats(); st.Dropped.Total() != spans || st.InFlight != 0 {
				t.Errorf("%v", st)
			}
		})
	}
}

// TestEndNeverWaits: with a backend that does not answer, and no room any more, spans
// are dropped and counted.
func TestEndNeverWaits(t *testing.T) {
	e := &dead{release: make(chan struct{})}
	p := NewTracerProvider(smallCollector(t, e, ringtail.WithQueueBytes(1<<12)))
	const spans = 3000
	for range spans {
		_, s := p.Tracer("t").Start(context.Background(), "x")
		s.End()
	}
	st := p.collector.Stats()
	if st.Submitted != spans || st.Dropped.Of(ringtail.ReasonFull) == 0 || st.Dropped.Of(ringtail.ReasonFull)+st.InFlight != spans {
		t.Errorf("%v", st)
	}
	close(e.release)
	if err := p.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
