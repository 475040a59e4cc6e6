package ringtail

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// TestRefusalsAreLogged: each reason once in ten seconds, with all spans since; the
// rest at Shutdown.
func TestRefusalsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := start(t, new(backend), WithLogger(slog.New(slog.NewTextHandler(&log, nil))), WithRingBits(6),
			WithSampler(samplerFunc(func(s *Span) bool { return s.Name != "sampled" })))
		sampled, large := numbered(1), numbered(2)
		sampled.Name, large.Name = "sampled", strings.Repeat("x", 64*256)
		for i := range 250 {
			c.TrySubmit(&Span{})
			c.TrySubmit(sampled)
			if i == 52 {
				c.TrySubmit(large)
			}
			time.Sleep(100 * time.Millisecond)
		}
		c.Shutdown(t.Context())
		line := regexp.MustCompile(`level=WARN msg="ringtail: spans were refused" reason=(\w+) spans=(\d+) total=(\d+) remedy="[^"]+"\n`)
		lines := line.FindAllStringSubmatch(log.String(), -1)
		if strings.Count(log.String(), "\n") != len(lines) {
			t.Errorf("log:\n%s", log.String())
		}
		told, times := make(map[string]int), make(map[string]int)
		for _, l := range lines {
			n, _ := strconv.Atoi(l[2])
			told[l[1]] += n
			times[l[1]]++
			if total, _ := strconv.Atoi(l[3]); total != told[l[1]] {
				t.Errorf("%s, but %d were told", l[0], told[l[1]])
			}
		}
		if len(told) != 2 || told["invalid"] != 250 || times["invalid"] != 4 || told["too_large"] != 1 {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

// TestRefusedRequestsAreLogged: of requests, too, and what is left comes at Shutdown.
func TestRefusedRequestsAreLogged(t *testing.T) {
	var log bytes.Buffer
	goOn := make(chan struct{})
	e := &backend{behave: func(_ context.Context, b *Batch) (int, error) { <-goOn; return b.Len(), nil }}
	c := start(t, e, WithLogger(slog.New(slog.NewTextHandler(&log, nil))), WithRingBits(6),
		WithConcurrentExports(1), WithBatchSpans(1), WithQueueBytes(1<<10), WithInterval(time.Hour))
	refused, number := 0, uint64(0)
	for refused < 4 {
		if _, err := c.TrySubmitRequest(request(t, number, 2)); err == ErrFull {
			refused += 2
		}
		number += 2
	}
	close(goOn)
	if err := c.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if told := strings.Count(log.String(), "reason=queue_full"); told == 0 || !strings.Contains(log.String(), "total=4") {
		t.Errorf("log:\n%s", log.String())
	}
}

// stuck is a log that blocks.
type stuck struct {
	slog.Handler
	begun   chan struct{}
	release chan struct{}
}

func (s stuck) Handle(context.Context, slog.Record) error {
	s.begun <- struct{}{}
	<-s.release
	return nil
}

// TestLogThatBlocks: it holds up no spans, and Shutdown not beyond its context; what it
// was not asked for is told later.
func TestLogThatBlocks(t *testing.T) {
	t.Run("refusals", func(t *testing.T) {
		log := stuck{slog.NewTextHandler(io.Discard, nil), make(chan struct{}, 10), make(chan struct{})}
		var r refusals
		r.report(slog.New(log), time.Unix(0, 0), Drops{ReasonFull: 1})
		<-log.begun
		r.report(slog.New(log), time.Unix(60, 0), Drops{ReasonFull: 2, ReasonInvalid: 1})
		close(log.release)
		r.speaking.Lock() // when it has been logged
		defer r.speaking.Unlock()
		if r.logged != (Drops{ReasonFull: 1}) || len(log.begun) != 0 {
			t.Errorf("told %v", r.logged)
		}
		if lines := r.lines(time.Unix(60, 0), Drops{ReasonFull: 2, ReasonInvalid: 1}, throttle.Period); len(lines) != 2 {
			t.Errorf("%v", lines)
		}
	})
	e := new(backend)
	log := stuck{slog.NewTextHandler(io.Discard, nil), make(chan struct{}, 10), make(chan struct{})}
	c := start(t, e, WithLogger(slog.New(log)), WithInterval(time.Millisecond))
	c.TrySubmit(&Span{})
	<-log.begun
	for n := range uint64(100) {
		c.TrySubmit(&Span{})
		c.TrySubmit(numbered(n))
		if err := c.Flush(within30s(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := e.total(t); n != 100 {
		t.Errorf("%d spans arrived", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Shutdown(ctx); err != nil {
		t.Error(err) // nothing was lost
	}
	close(log.release)
}
