package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/otlp"
	"github.com/ringtail-otel/ringtail/ringtailtest"
	"github.com/ringtail-otel/ringtail/seglog"
)

// numbered makes a request of spans with running numbers as ids.
func numbered(first, spans int) []byte {
	var framed []byte
	for i := range spans {
		var body []byte
		body = otlp.AppendBytes(body, 1, []byte("0123456789abcdef"))
		body = otlp.AppendBytes(body, 2, fmt.Appendf(nil, "%08d", first+i))
		body = otlp.AppendString(body, 5, "work")
		framed = otlp.AppendBytes(framed, 2, body)
	}
	return otlp.AppendRequest(nil, nil, "", otlp.ScopeRun{Spans: framed})
}

// scripted is an exporter that answers as it is told, and keeps account of what it took.
type scripted struct {
	answer func(attempt int, b *ringtail.Batch) error

	mu       sync.Mutex
	attempts int
	arrived  map[trace.SpanID]int
	closed   int
}

func (e *scripted) Export(_ context.Context, b *ringtail.Batch) error {
	e.mu.Lock()
	e.attempts++
	n := e.attempts
	e.mu.Unlock()
	if e.answer != nil {
		if err := e.answer(n, b); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.arrived == nil {
		e.arrived = make(map[trace.SpanID]int)
	}
	for s := range b.Spans() {
		e.arrived[s.SpanID]++
	}
	return nil
}

func (e *scripted) Shutdown(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed++
	return nil
}

// distinct returns how many spans arrived, and how many of them more than once.
func (e *scripted) distinct() (spans, twice int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.arrived {
		if n > 1 {
			twice++
		}
	}
	return len(e.arrived), twice
}

func memoryLog(t *testing.T, o seglog.Options) *seglog.Log {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	log, err := seglog.NewMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func pipelineOf(t *testing.T, log *seglog.Log, exporters ...ExporterConfig) *Pipeline {
	t.Helper()
	p, err := NewPipeline(PipelineConfig{Log: log, Exporters: exporters, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func appendSpans(t *testing.T, p *Pipeline, first, spans int) {
	t.Helper()
	if n, err := p.Append(t.Context(), [][]byte{numbered(first, spans)}); err != nil || n != spans {
		t.Fatalf("append: %d spans, %v", n, err)
	}
}

// balanced checks the ledger of every exporter.
func balanced(t *testing.T, s PipelineStats) {
	t.Helper()
	for _, e := range s.Exporters {
		if s.Received != e.Before+e.Delivered+e.Dropped.Total()+e.SkippedTotal()+e.InLog {
			t.Errorf("%s: %d received are not %+v", e.Name, s.Received, e)
		}
	}
}

func expect(t *testing.T, e ExporterStats, delivered, dropped uint64) {
	t.Helper()
	if e.Delivered != delivered || e.Dropped.Total() != dropped {
		t.Errorf("%s: %d delivered and %d dropped (%v), want %d and %d; last error %s", e.Name, e.Delivered, e.Dropped.Total(), e.Dropped, delivered, dropped, e.LastError)
	}
}

func TestPipelineDeliversInPieces(t *testing.T) {
	rec := &ringtailtest.Recorder{}
	p := pipelineOf(t, memoryLog(t, seglog.Options{}), ExporterConfig{Name: "rec", Exporter: rec})
	request := numbered(0, 7)
	var pieces [][]byte
	for i := 0; i < len(request); i += 10 {
		pieces = append(pieces, request[i:min(i+10, len(request))])
	}
	if n, err := p.Append(t.Context(), pieces); n != 7 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	for _, empty := range [][][]byte{nil, {}, {nil}} {
		if n, err := p.Append(t.Context(), empty); n != 0 || err != nil {
			t.Errorf("an empty request: %d, %v", n, err)
		}
	}
	var syntax *otlp.SyntaxError
	if _, err := p.Append(t.Context(), [][]byte{request[:30], request[:30]}); !errors.As(err, &syntax) {
		t.Errorf("a request that is damaged: %v", err)
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Append(t.Context(), pieces); !errors.Is(err, ringtail.ErrClosed) {
		t.Errorf("after Shutdown: %v", err)
	}
	if n := len(rec.Spans()); n != 7 {
		t.Errorf("%d spans arrived", n)
	}
	s := p.Stats()
	balanced(t, s)
	if s.Received != 7 {
		t.Errorf("%+v", s)
	}
	expect(t, s.Exporters[0], 7, 0)
}

// Everything that a backend can say, in any order, until it says yes: each span arrives, and
// what was refused for good is counted and kept.
func TestPipelineUnderABadBackend(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var mu sync.Mutex
		var rejected int
		bad := &scripted{answer: func(_ int, b *ringtail.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			switch rng.IntN(6) {
			case 0:
				return &export.RetryableError{Err: errors.New("unavailable"), After: time.Duration(rng.IntN(3)) * time.Second}
			case 1:
				return errors.New("something else")
			case 2:
				return context.DeadlineExceeded
			case 3:
				n := 1 + rng.IntN(b.Len())
				rejected += n
				return &ringtail.ExportError{Spans: n, Reason: ringtail.ReasonRejected, Err: errors.New("not these")}
			}
			return nil
		}}
		letters := &scripted{answer: func(attempt int, _ *ringtail.Batch) error {
			if attempt%3 == 1 {
				return errors.New("no space left")
			}
			return nil
		}}
		good := &scripted{}
		p := pipelineOf(t, memoryLog(t, seglog.Options{}),
			ExporterConfig{Name: "bad", Exporter: bad, DeadLetter: letters, MaxBatchSpans: 50, Linger: time.Millisecond},
			ExporterConfig{Name: "good", Exporter: good, Linger: time.Millisecond})
		const requests = 400
		for i := range requests {
			appendSpans(t, p, i*10, 10)
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.Stats()
		balanced(t, s)
		mu.Lock()
		defer mu.Unlock()
		expect(t, s.Exporters[0], uint64(requests*10-rejected), uint64(rejected))
		expect(t, s.Exporters[1], requests*10, 0)
		arrived, twice := bad.distinct()
		buried, _ := letters.distinct()
		if arrived+buried != requests*10 || twice != 0 {
			t.Errorf("%d arrived and %d are dead letters, %d twice", arrived, buried, twice)
		}
		if rejected == 0 || s.Exporters[0].Failures == 0 {
			t.Errorf("the backend was not bad: %+v", s.Exporters[0])
		}
		if bad.closed != 1 || good.closed != 1 || letters.closed != 1 {
			t.Errorf("shut down %d, %d and %d times", bad.closed, good.closed, letters.closed)
		}
	})
}

// A backend that is down for an hour delays nobody else, and gets everything afterwards.
func TestPipelineThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		down := true
		bad := &scripted{answer: func(int, *ringtail.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return &export.RetryableError{Err: errors.New("connection refused")}
			}
			return nil
		}}
		good := &scripted{}
		p := pipelineOf(t, memoryLog(t, seglog.Options{}), ExporterConfig{Name: "bad", Exporter: bad, MaxBatchSpans: 10}, ExporterConfig{Name: "good", Exporter: good})
		for i := range 100 {
			appendSpans(t, p, i*10, 10)
		}
		time.Sleep(time.Hour)
		s := p.Stats()
		balanced(t, s)
		expect(t, s.Exporters[0], 0, 0)
		expect(t, s.Exporters[1], 1000, 0)
		if e := s.Exporters[0]; e.InLog != 1000 || e.LastError == "" || e.FailingSince.IsZero() || e.Sending != 10 {
			t.Errorf("in the outage: %+v", e)
		}
		mu.Lock()
		down = false
		mu.Unlock()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = p.Stats()
		balanced(t, s)
		expect(t, s.Exporters[0], 1000, 0)
		if e := s.Exporters[0]; !e.FailingSince.IsZero() || e.Failures < 100 {
			t.Errorf("after the outage: %+v", e)
		}
	})
}

func TestPipelineGivesUpWhenToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := func(int, *ringtail.Batch) error { return &export.RetryableError{Err: errors.New("connection refused")} }
		panics := func(int, *ringtail.Batch) error { panic("a bug") }
		p := pipelineOf(t, memoryLog(t, seglog.Options{}),
			ExporterConfig{Name: "minute", Exporter: &scripted{answer: dead}, Retry: export.RetryConfig{MaxElapsed: time.Minute}},
			ExporterConfig{Name: "once", Exporter: &scripted{answer: dead}, Retry: export.RetryConfig{MaxAttempts: 1}},
			ExporterConfig{Name: "panics", Exporter: &scripted{answer: panics}},
			ExporterConfig{Name: "forever", Exporter: &scripted{answer: dead}})
		appendSpans(t, p, 0, 10)
		time.Sleep(10 * time.Minute)
		s := p.Stats()
		balanced(t, s)
		for i, reason := range []ringtail.Reason{ringtail.ReasonExport, ringtail.ReasonExport, ringtail.ReasonPanic} {
			expect(t, s.Exporters[i], 0, 10)
			if s.Exporters[i].Dropped.Of(reason) != 10 {
				t.Errorf("%s: %v", s.Exporters[i].Name, s.Exporters[i].Dropped)
			}
		}
		expect(t, s.Exporters[3], 0, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		p.Shutdown(ctx)
		if took := time.Since(begun); took > 3*time.Second+grace {
			t.Errorf("Shutdown took %v", took)
		}
		s = p.Stats()
		balanced(t, s)
		if s.Exporters[3].InLog != 10 {
			t.Errorf("%+v", s.Exporters[3])
		}
	})
}

// Commits are made in the order of the log, whatever order the backend answers in: a batch
// that hangs holds the cursor, and what is open behind it is bounded.
func TestPipelineCommitsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		slow := &scripted{answer: func(_ int, b *ringtail.Batch) error {
			for s := range b.Spans() {
				if string(s.SpanID[:]) == "00000000" {
					<-release
				}
			}
			return nil
		}}
		p := pipelineOf(t, memoryLog(t, seglog.Options{}), ExporterConfig{Name: "slow", Exporter: slow, MaxBatchSpans: 10, Concurrency: 2, Timeout: time.Hour})
		for i := range 100 {
			appendSpans(t, p, i*10, 10)
		}
		time.Sleep(time.Minute)
		s := p.Stats()
		balanced(t, s)
		expect(t, s.Exporters[0], 0, 0)
		if n, _ := slow.distinct(); n == 0 || n > 10*ahead*2 {
			t.Errorf("%d spans were sent behind the batch that hangs", n)
		}
		close(release)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = p.Stats()
		balanced(t, s)
		expect(t, s.Exporters[0], 1000, 0)
	})
}

// What is being sent is bounded in bytes: requests that are larger than a batch do not all
// go at once.
func TestPipelineBoundsWhatItSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := &scripted{answer: func(int, *ringtail.Batch) error { <-release; return nil }}
		p := pipelineOf(t, memoryLog(t, seglog.Options{}), ExporterConfig{Name: "stuck", Exporter: stuck, Timeout: time.Hour, Concurrency: 4, MaxBatchBytes: 1 << 10})
		for i := range 8 {
			appendSpans(t, p, i*100, 100) // 3.8 KB, where 4 KiB may be under way
		}
		time.Sleep(time.Minute)
		stuck.mu.Lock()
		if stuck.attempts != 1 {
			t.Errorf("%d large requests are being sent at one time", stuck.attempts)
		}
		stuck.mu.Unlock()
		close(release)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.Stats()
		balanced(t, s)
		expect(t, s.Exporters[0], 800, 0)
	})
}

// Shutdown comes back, and says so, also when an exporter does not.
func TestPipelineLeavesAnExporterBehind(t *testing.T) {
	release := make(chan struct{})
	rude := &scripted{answer: func(int, *ringtail.Batch) error { <-release; return nil }}
	p := pipelineOf(t, memoryLog(t, seglog.Options{}), ExporterConfig{Name: "rude", Exporter: rude, Linger: time.Millisecond})
	appendSpans(t, p, 0, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := p.Shutdown(ctx)
	close(release)
	if err == nil || !strings.Contains(err.Error(), "does not come back") {
		t.Errorf("%v", err)
	}
	p.wg.Wait()
}

// A log that is full refuses, and takes more once there is room.
func TestPipelineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := &scripted{answer: func(int, *ringtail.Batch) error { <-release; return nil }}
		p := pipelineOf(t, memoryLog(t, seglog.Options{MaxBytes: 1 << 20}), ExporterConfig{Name: "stuck", Exporter: stuck, Timeout: time.Hour})
		accepted := 0
		var err error
		for err == nil {
			if _, err = p.Append(t.Context(), [][]byte{numbered(accepted*100, 100)}); err == nil {
				accepted++
			}
		}
		if !errors.Is(err, ringtail.ErrFull) {
			t.Fatal(err)
		}
		if kib := accepted * len(numbered(0, 100)) >> 10; kib < 512 || kib > 1024 {
			t.Errorf("%d KiB of a log of 1 MiB were taken", kib)
		}
		close(release)
		time.Sleep(time.Second)
		appendSpans(t, p, accepted*100, 100)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.Stats()
		balanced(t, s)
		expect(t, s.Exporters[0], uint64(accepted+1)*100, 0)
	})
}

// When the oldest goes, each exporter counts what it did not get.
func TestPipelineDropsOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := &scripted{answer: func(int, *ringtail.Batch) error { <-release; return nil }}
		good := &scripted{}
		p := pipelineOf(t, memoryLog(t, seglog.Options{MaxBytes: 1 << 20, WhenFull: seglog.DropOldest}),
			ExporterConfig{Name: "stuck", Exporter: stuck, Timeout: time.Hour, MaxBatchSpans: 100}, ExporterConfig{Name: "good", Exporter: good, Linger: time.Millisecond})
		const requests = 1000
		for i := range requests {
			appendSpans(t, p, i*100, 100)
			synctest.Wait()
			time.Sleep(2 * time.Millisecond)
		}
		close(release)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.Stats()
		balanced(t, s)
		expect(t, s.Exporters[1], requests*100, 0)
		e := s.Exporters[0]
		if n, _ := stuck.distinct(); uint64(n) != e.Delivered || e.Skipped[seglog.SkippedLimit] == 0 || e.Delivered == 0 || e.InLog != 0 {
			t.Errorf("%d arrived: %+v", n, e)
		}
	})
}

// Names that are too long for a cursor, and alike to the last byte, are two cursors.
func TestPipelineLongNames(t *testing.T) {
	long := strings.Repeat("ä", 60)
	log := memoryLog(t, seglog.Options{})
	a, b := &scripted{}, &scripted{}
	p := pipelineOf(t, log, ExporterConfig{Name: long + "a", Exporter: a}, ExporterConfig{Name: long + "b", Exporter: b})
	appendSpans(t, p, 0, 3)
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Stats().Exporters {
		expect(t, e, 3, 0)
	}
	for _, c := range log.Cursors() {
		if !utf8.ValidString(c.Name) || !strings.HasPrefix(c.Name, "ää") {
			t.Errorf("cursor %q", c.Name)
		}
	}
}

func TestPipelineMistakes(t *testing.T) {
	for name, c := range map[string]PipelineConfig{
		"no log":      {},
		"no name":     {Log: memoryLog(t, seglog.Options{}), Exporters: []ExporterConfig{{Exporter: &scripted{}}}},
		"no exporter": {Log: memoryLog(t, seglog.Options{}), Exporters: []ExporterConfig{{Name: "x"}}},
		"twice":       {Log: memoryLog(t, seglog.Options{}), Exporters: []ExporterConfig{{Name: "x", Exporter: &scripted{}}, {Name: "x", Exporter: &scripted{}}}},
		"retries":     {Log: memoryLog(t, seglog.Options{}), Exporters: []ExporterConfig{{Name: "x", Exporter: &scripted{}, Retry: export.RetryConfig{Multiplier: 0.1}}}},
	} {
		if p, err := NewPipeline(c); err == nil {
			t.Errorf("%s: %v", name, p)
		}
	}
}
