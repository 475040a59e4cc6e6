package otlpclient

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

var errDown = errors.New("backend is down")

// fake is a transport in memory. It must be used in a bubble by one goroutine at a time.
type fake struct {
	send   func(ctx context.Context, ids []int) (Answer, error)
	sent   [][]int // span ids of each attempt
	closed int
}

func (f *fake) client(t *testing.T, change func(*Config)) *Client {
	cfg := NewConfig()
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return NewClient(cfg, Transport{
		Send: func(ctx context.Context, msg [][]byte) (Answer, error) {
			ids := otlptest.IDs(t, slices.Concat(msg...))
			f.sent = append(f.sent, ids)
			if f.send == nil {
				return Answer{}, nil
			}
			return f.send(ctx, ids)
		},
		Close: func() error { f.closed++; return nil },
	})
}

func TestExportSendsNoEmptyEnvelope(t *testing.T) {
	f := &fake{}
	c := f.client(t, nil)
	if err := c.Export(t.Context(), otlptest.Batch(t, 1, 0, 0)); err != nil || len(f.sent) != 0 {
		t.Errorf("%v, %d requests", err, len(f.sent))
	}
}

func TestExportSplitsAndRetriesEachPartAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := map[int]int{} // by first span
		f := &fake{send: func(_ context.Context, ids []int) (Answer, error) {
			calls[ids[0]]++
			switch {
			case slices.Contains(ids, 20) && calls[ids[0]] < 3:
				return Answer{}, &export.RetryableError{Err: errDown}
			case slices.Contains(ids, 40):
				return Answer{}, Permanent(errors.New("bad data"))
			case slices.Contains(ids, 60):
				return Answer{Rejected: 2, Message: "two are odd"}, nil
			case slices.Contains(ids, 80):
				return Answer{}, &export.RetryableError{Err: context.DeadlineExceeded}
			}
			return Answer{}, nil
		}}
		c := f.client(t, func(c *Config) { c.MaxRequest = 1000 })
		err := c.Export(t.Context(), otlptest.Batch(t, 1, 100, 50))
		if err == nil {
			t.Fatal("no error")
		}
		parts := map[int]int{} // size by first span
		var all []int
		for _, ids := range f.sent {
			if parts[ids[0]] == 0 {
				all = append(all, ids...)
			}
			parts[ids[0]] = len(ids)
		}
		if len(all) != 100 || !slices.IsSorted(all) {
			t.Errorf("sent %v", all)
		}
		var rejected, timedOut int
		for first, n := range parts {
			want := 1
			switch {
			case first <= 20 && 20 < first+n:
				want = 3
			case first <= 40 && 40 < first+n:
				rejected += n
			case first <= 80 && 80 < first+n:
				timedOut += n
				want = calls[first]
			}
			if calls[first] != want {
				t.Errorf("part of span %d was sent %d times, want %d", first, calls[first], want)
			}
		}
		losses := ringtail.Losses(err, 100)
		if got := int(losses[ringtail.ReasonRejected]); got != rejected+2 {
			t.Errorf("%d spans rejected, want %d", got, rejected+2)
		}
		if got := int(losses[ringtail.ReasonTimeout]); got != timedOut {
			t.Errorf("%d spans timed out, want %d", got, timedOut)
		}
		if got := int(losses.Total()); got != rejected+2+timedOut {
			t.Errorf("%d spans lost in all: %v", got, err)
		}
	})
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer Answer
		lost   int
		logged string
	}{
		{"nothing", Answer{}, 0, ""},
		{"honest", Answer{Rejected: 3, Message: "no"}, 3, ""},
		{"without a reason", Answer{Rejected: 3}, 3, ""},
		{"more than were sent", Answer{Rejected: 1 << 40}, 10, ""},
		{"negative", Answer{Rejected: -5}, 0, ""},
		{"warning", Answer{Message: "slow down"}, 0, "slow down"},
		{"negative with a message", Answer{Rejected: -5, Message: "hm"}, 0, "hm"},
		{"garbage", Answer{Err: errors.New("garbage")}, 0, "garbage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			f := &fake{send: func(context.Context, []int) (Answer, error) { return c.answer, nil }}
			client := f.client(t, func(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			err := client.Export(t.Context(), otlptest.Batch(t, 1, 10, 0))
			losses := ringtail.Losses(err, 10)
			if len(f.sent) != 1 {
				t.Errorf("sent %d times", len(f.sent))
			}
			if int(losses[ringtail.ReasonRejected]) != c.lost || int(losses.Total()) != c.lost {
				t.Errorf("lost %v, want %d rejected: %v", losses, c.lost, err)
			}
			if c.logged == "" && log.Len() > 0 || !strings.Contains(log.String(), c.logged) {
				t.Errorf("log: %q, want %q", &log, c.logged)
			}
		})
	}
}

func TestWarningsAreThrottledAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := &fake{send: func(context.Context, []int) (Answer, error) { return Answer{Message: "slow down"}, nil }}
		c := f.client(t, func(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		batch := otlptest.Batch(t, 1, 1, 0)
		for range 100 {
			_ = c.Export(t.Context(), batch)
		}
		time.Sleep(10 * time.Second)
		_ = c.Export(t.Context(), batch)
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "suppressed=99") {
			t.Error(got)
		}
	})
}

func TestAttemptsHaveTheirOwnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(ctx context.Context, _ []int) (Answer, error) {
			started := time.Now()
			<-ctx.Done()
			if took := time.Since(started); took != 3*time.Second {
				t.Errorf("an attempt had %v", took)
			}
			return Answer{}, &export.RetryableError{Err: ctx.Err()}
		}}
		c := f.client(t, func(c *Config) { c.Timeout = 3 * time.Second; c.Retry.MaxAttempts = 2 })
		err := c.Export(t.Context(), otlptest.Batch(t, 1, 5, 0))
		if losses := ringtail.Losses(err, 5); losses[ringtail.ReasonTimeout] != 5 || len(f.sent) != 2 {
			t.Errorf("%v, %v after %d attempts", err, losses, len(f.sent))
		}
	})
}

func TestShutdownEndsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(_ context.Context, ids []int) (Answer, error) {
			if ids[0] == 1 {
				return Answer{}, &export.RetryableError{Err: errDown, After: time.Hour}
			}
			return Answer{}, nil // the rest of the batch has its chance
		}}
		c := f.client(t, func(c *Config) { c.Retry.MaxElapsed = -1; c.MaxRequest = 1000 })
		failed := make(chan error, 1)
		go func() { failed <- c.Export(t.Context(), otlptest.Batch(t, 1, 50, 50)) }()
		synctest.Wait()
		started := time.Now()
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		err := <-failed
		if took := time.Since(started); took != 0 {
			t.Errorf("took %v", took)
		}
		if losses := ringtail.Losses(err, 50); int(losses[ringtail.ReasonExport]) != len(f.sent[0]) || int(losses.Total()) != len(f.sent[0]) {
			t.Errorf("lost %v, want %d: %v", losses, len(f.sent[0]), err)
		}
		if f.closed != 1 {
			t.Errorf("closed %d times", f.closed)
		}
	})
}

func TestShutdownWaitsForExports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(context.Context, []int) (Answer, error) { time.Sleep(2 * time.Second); return Answer{}, nil }}
		c := f.client(t, nil)
		exported := make(chan error, 1)
		go func() { exported <- c.Export(t.Context(), otlptest.Batch(t, 1, 5, 0)) }()
		synctest.Wait()
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		select {
		case err := <-exported:
			if err != nil {
				t.Error(err)
			}
		default:
			synctest.Wait()
			if len(exported) == 0 {
				t.Error("Shutdown did not wait")
			}
		}
	})
}

func TestShutdownBreaksExportsOffWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(ctx context.Context, _ []int) (Answer, error) {
			<-ctx.Done()
			return Answer{}, &export.RetryableError{Err: ctx.Err()}
		}}
		c := f.client(t, func(c *Config) { c.Timeout = time.Hour })
		exported := make(chan error, 1)
		go func() { exported <- c.Export(t.Context(), otlptest.Batch(t, 1, 5, 0)) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		if err := c.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		err := <-exported
		if losses := ringtail.Losses(err, 5); losses.Total() != 5 {
			t.Errorf("Export: %v", err)
		}
		if took := time.Since(started); took != time.Second || f.closed != 1 {
			t.Errorf("took %v, closed %d times", took, f.closed)
		}
	})
}

// Later calls of Shutdown wait for the first, or their context, and leave it alone.
func TestShutdownAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(ctx context.Context, _ []int) (Answer, error) {
			select {
			case <-ctx.Done():
				return Answer{}, &export.RetryableError{Err: ctx.Err()}
			case <-time.After(2 * time.Second):
				return Answer{}, nil
			}
		}}
		c := f.client(t, nil)
		var closed atomic.Int32
		c.transport.Close = func() error { closed.Add(1); return errDown }
		exported, first, later := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() { exported <- c.Export(t.Context(), otlptest.Batch(t, 1, 5, 0)) }()
		synctest.Wait()
		go func() { first <- c.Shutdown(t.Context()) }()
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Shutdown(ended); !errors.Is(err, context.Canceled) || closed.Load() != 0 {
			t.Errorf("with a context that has ended: %v, closed %d times", err, closed.Load())
		}
		go func() { later <- c.Shutdown(t.Context()) }()
		synctest.Wait()
		if len(exported)+len(first)+len(later) != 0 {
			t.Error("the first Shutdown has been cut short")
		}
		if err := <-exported; err != nil {
			t.Errorf("Export: %v", err)
		}
		if err, again := <-first, <-later; !errors.Is(err, errDown) || again != err || closed.Load() != 1 {
			t.Errorf("first %v, later %v, closed %d times", err, again, closed.Load())
		}
	})
}

func TestExportAfterShutdown(t *testing.T) {
	f := &fake{}
	c := f.client(t, nil)
	for range 2 {
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	err := c.Export(t.Context(), otlptest.Batch(t, 1, 5, 0))
	if losses := ringtail.Losses(err, 5); losses[ringtail.ReasonClosed] != 5 || len(f.sent) != 0 {
		t.Errorf("%v; %d requests", err, len(f.sent))
	}
	if _, again := export.Retryable(err); again {
		t.Error("retryable")
	}
	if f.closed != 1 {
		t.Errorf("closed %d times", f.closed)
	}
}

func TestMessagesAreEncodedOnceForAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := NewConfig()
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		encoded, sent := 0, 0
		c := NewClient(cfg, Transport{
			Encode: func(dst []byte, b *ringtail.Batch) ([]byte, error) {
				encoded++
				return append(append(dst, "encoded "...), b.Bytes()...), nil
			},
			Send: func(_ context.Context, msg [][]byte) (Answer, error) {
				if len(msg) != 1 || !bytes.HasPrefix(msg[0], []byte("encoded ")) {
					t.Errorf("sent %q", msg)
				}
				if sent++; sent < 3 {
					return Answer{}, &export.RetryableError{Err: errDown}
				}
				return Answer{}, nil
			},
			Close: func() error { return nil },
		})
		if err := c.Export(t.Context(), otlptest.Batch(t, 1, 5, 0)); err != nil || encoded != 1 || sent != 3 {
			t.Errorf("%v; encoded %d times, sent %d times", err, encoded, sent)
		}
	})
}

// TestKeptMessages: what a transport may still read is not used again, neither the batch, if any
// of its parts is, nor what was encoded.
func TestKeptMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := NewConfig()
		cfg.MaxRequest = 1000
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		sent, kept := 0, func() bool { return false }
		var messages, were [][]byte
		transport := Transport{
			Send: func(_ context.Context, msg [][]byte) (Answer, error) {
				sent++
				if !kept() {
					return Answer{}, nil
				}
				messages, were = append(messages, msg...), append(were, slices.Concat(msg...))
				if sent%3 == 0 {
					panic("in the middle of it")
				}
				if sent%3 == 1 {
					return Answer{Kept: true}, &export.RetryableError{Err: errDown}
				}
				return Answer{Kept: true}, nil
			},
			Close: func() error { return nil },
		}
		try := func(c *Client, b *ringtail.Batch) *ringtail.Batch {
			defer func() { _ = recover() }()
			_ = c.Export(t.Context(), b)
			return b
		}
		plain := NewClient(cfg, transport)
		if b := try(plain, otlptest.Batch(t, 1, 5, 0)); b.Kept() {
			t.Error("kept by nobody")
		}
		for at, how := range map[int]string{1: "fails", 2: "is delivered", 3: "panics"} {
			sent, kept = 0, func() bool { return sent == at }
			b := otlptest.Batch(t, 1, 100, 50)
			try(plain, b)
			if !b.Kept() || sent < 3 {
				t.Errorf("part %d, which %s, is kept, and of the whole of %d Kept says %v", at, how, sent, b.Kept())
			}
		}

		transport.Encode = func(dst []byte, b *ringtail.Batch) ([]byte, error) { return append(dst, b.Bytes()...), nil }
		encoding := NewClient(cfg, transport)
		messages, were, sent, kept = nil, nil, 0, func() bool { return sent%2 == 1 }
		for i := range 100 {
			b := otlptest.Batch(t, i, 1, 50)
			if try(encoding, b); b.Kept() {
				t.Error("a batch is kept that was copied")
			}
		}
		for i := range messages {
			if !bytes.Equal(messages[i], were[i]) {
				t.Errorf("message %d of %d that is kept was written over", i, len(messages))
			}
		}
	})
}

// A backend that cannot be reached is said so at the first attempt, not after the last.
func TestTroubleIsSaidWhileThereIsHope(t *testing.T) {
	for attempts, want := range map[int]string{0: `msg="ringtail: cannot deliver spans yet, trying again" to="" spans=2 error="connection refused"`, 1: ""} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			var atSecond string
			f := &fake{}
			f.send = func(context.Context, []int) (Answer, error) {
				if len(f.sent) == 1 {
					return Answer{}, &export.RetryableError{Err: errors.New("connection refused")}
				}
				atSecond = log.String()
				return Answer{}, nil
			}
			c := f.client(t, func(cfg *Config) {
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				cfg.Retry.MaxAttempts = attempts
			})
			err := c.Export(t.Context(), otlptest.Batch(t, 1, 2, 0))
			if (err == nil) != (attempts == 0) || !strings.Contains(atSecond, want) || want == "" && log.Len() > 0 {
				t.Errorf("%d attempts: %v, log %q, sent %v", attempts, err, &log, f.sent)
			}
		})
	}
}
