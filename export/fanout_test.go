package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

var quiet = slog.New(slog.DiscardHandler)

func fanout(t *testing.T, branches ...export.Branch) *export.FanoutExporter {
	t.Helper()
	for i := range branches {
		if branches[i].Logger == nil {
			branches[i].Logger = quiet
		}
	}
	f, err := export.Fanout(branches...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// balanced checks every ledger, and returns them by name.
func balanced(t *testing.T, f *export.FanoutExporter) map[string]export.BranchStats {
	t.Helper()
	stats := make(map[string]export.BranchStats)
	for _, s := range f.Stats() {
		if s.Received != s.Exported+s.Dropped.Total()+s.InFlight {
			t.Errorf("%s does not balance: %+v", s.Name, s)
		}
		stats[s.Name] = s
	}
	return stats
}

// Of five branches one works, and is not to notice what the others do.
func TestFanoutKeepsBranchesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var good, failing, panicking, slow, hung ringtailtest.Recorder
		failing.Fail(errBoom)
		panicking.Panic("boom")
		slow.Behave(func(context.Context, *ringtail.Batch) error { time.Sleep(time.Second); return nil })
		release := hung.Stall()
		b := batch(t, 10)
		room := 5 * len(b.Bytes())
		f := fanout(t,
			export.Branch{Name: "failing", Exporter: &failing},
			export.Branch{Name: "panicking", Exporter: &panicking},
			export.Branch{Name: "slow", Exporter: &slow, Concurrency: 2},
			export.Branch{Name: "hung", Exporter: &hung, QueueBytes: room},
			export.Branch{Name: "good", Exporter: &good},
		)
		begin := time.Now()
		for range 100 {
			mine := b.Clone()
			if err := f.Export(t.Context(), mine); err != nil {
				t.Error(err)
			}
			clear(mine.Bytes()) // the batch is the caller's again
		}
		synctest.Wait()
		if time.Since(begin) != 0 {
			t.Errorf("Export has waited %v", time.Since(begin))
		}
		if n := good.Counts().Spans; n != 1000 {
			t.Errorf("the good branch has %d spans while the others struggle, want 1000", n)
		}
		if s := balanced(t, f)["slow"]; s.Exporting != 2 || s.InFlight != 1000 || s.QueuedBatches != 98 {
			t.Errorf("slow: %+v", s)
		}
		if s := balanced(t, f)["hung"]; s.InFlight != 50 || s.Dropped.Of(ringtail.ReasonFull) != 950 || s.QueuedBytes != room {
			t.Errorf("hung: %+v", s)
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := f.Shutdown(ctx)
		if want := "hung: 50 spans were not delivered: context deadline exceeded\ncannot shut down: context deadline exceeded"; err == nil || err.Error() != want {
			t.Errorf("Shutdown: %v, want %s", err, want)
		}
		for name, want := range map[string]struct {
			exported uint64
			reason   ringtail.Reason
			lost     uint64
		}{
			"good": {1000, 0, 0}, "failing": {0, ringtail.ReasonExport, 1000}, "panicking": {0, ringtail.ReasonPanic, 1000},
			"slow": {1000, 0, 0}, "hung": {0, ringtail.ReasonShutdown, 50},
		} {
			s := balanced(t, f)[name]
			if s.Received != 1000 || s.Exported != want.exported || s.Dropped.Of(want.reason) != want.lost || s.InFlight != 0 {
				t.Errorf("%s: %+v", name, s)
			}
		}
		release() // what it answers now does not count any more
		synctest.Wait()
		if s := balanced(t, f)["hung"]; s.Exported != 0 || s.QueuedBytes != 0 || s.Exporting != 0 {
			t.Errorf("hung, later: %+v", s)
		}
		for _, r := range []*ringtailtest.Recorder{&good, &failing, &panicking, &slow, &hung} {
			if r.Counts().Shutdowns != 1 {
				t.Errorf("%d shutdowns, want 1", r.Counts().Shutdowns)
			}
			for _, s := range r.Batches() {
				if !bytes.Equal(s.Bytes(), b.Bytes()) {
					t.Fatal("a branch has read the caller's batch after Export had returned")
				}
			}
		}
	})
}

func TestFanoutFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow, hung ringtailtest.Recorder
		slow.Behave(func(context.Context, *ringtail.Batch) error { time.Sleep(time.Second); return nil })
		f := fanout(t, export.Branch{Name: "slow", Exporter: &slow}, export.Branch{Exporter: &hung})
		b := batch(t, 3)
		for range 4 {
			f.Export(t.Context(), b)
		}
		begin := time.Now()
		if err := f.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if time.Since(begin) != 4*time.Second || slow.Counts().Spans != 12 || slow.Counts().Flushes != 1 {
			t.Errorf("after %v: %+v", time.Since(begin), slow.Counts())
		}
		release := hung.Stall()
		f.Export(t.Context(), b)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := f.Flush(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "branch 2: ") || slow.Counts().Flushes != 2 {
			t.Errorf("Flush: %v, and %d flushes of the other", err, slow.Counts().Flushes)
		}
		release()
		f.Shutdown(t.Context())
	})
}

func TestFanoutTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r ringtailtest.Recorder
		r.Block()
		f := fanout(t, export.Branch{Name: "a", Exporter: &r, Timeout: time.Second})
		f.Export(t.Context(), batch(t, 3))
		time.Sleep(time.Second)
		synctest.Wait()
		if s := balanced(t, f)["a"]; s.Dropped.Of(ringtail.ReasonTimeout) != 3 {
			t.Errorf("%+v", s)
		}
		if err := f.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown tells of a loss before it: %v", err)
		}
	})
}

func TestFanoutTimeoutByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r ringtailtest.Recorder
		r.Block()
		f := fanout(t, export.Branch{Name: "a", Exporter: &r})
		f.Export(t.Context(), batch(t, 3))
		time.Sleep(90*time.Second - ms)
		if s := balanced(t, f)["a"]; s.InFlight != 3 {
			t.Errorf("too early: %+v", s)
		}
		time.Sleep(ms)
		synctest.Wait()
		if s := balanced(t, f)["a"]; s.Dropped.Of(ringtail.ReasonTimeout) != 3 {
			t.Errorf("%+v", s)
		}
		f.Shutdown(t.Context())
	})
}

// vicious is an error that panics when it is asked what it wraps.
type vicious struct{}

func (vicious) Error() string { return "vicious" }
func (vicious) Unwrap() error { panic("boom") }

// An exporter that ends its goroutine, or whose error panics, loses its batch and
// not its branch.
func TestFanoutOutlivesRudeExporters(t *testing.T) {
	for name, rude := range map[string]func() error{
		"error that panics": func() error { return vicious{} },
		"end of goroutine":  func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var good, bad ringtailtest.Recorder
				n := 0 // exports of bad, one at a time
				bad.Behave(func(context.Context, *ringtail.Batch) error {
					if n++; n <= 2 {
						return rude()
					}
					return nil
				})
				f := fanout(t, export.Branch{Name: "bad", Exporter: &bad}, export.Branch{Name: "good", Exporter: &good})
				for range 4 {
					if err := f.Export(t.Context(), batch(t, 5)); err != nil {
						t.Error(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := f.Flush(ctx); err != nil {
					t.Errorf("Flush: %v", err)
				}
				if s := balanced(t, f)["bad"]; s.Exported != 10 || s.Dropped.Of(ringtail.ReasonPanic) != 10 || s.QueuedBytes != 0 {
					t.Errorf("bad: %+v", s)
				}
				if s := balanced(t, f)["good"]; s.Exported != 20 {
					t.Errorf("good: %+v", s)
				}
				if err := f.Shutdown(ctx); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				if s := balanced(t, f)["bad"]; s.Exporting != 0 {
					t.Errorf("after Shutdown: %+v", s)
				}
			})
		})
	}
}

// leaver is an exporter that ends the goroutines of its Flush and Shutdown.
type leaver struct{ ringtailtest.Recorder }

func (*leaver) Flush(context.Context) error    { runtime.Goexit(); return nil }
func (*leaver) Shutdown(context.Context) error { runtime.Goexit(); return nil }

func TestFanoutDoesNotWaitForGoroutinesThatHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fanout(t, export.Branch{Exporter: new(leaver)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		const want = "branch 1: exporter ended its goroutine"
		if err := f.Flush(ctx); fmt.Sprint(err) != want {
			t.Errorf("Flush: %v", err)
		}
		if err := f.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "ended its goroutine") {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestFanoutTellsTheCallerWhenNobodyHasTaken(t *testing.T) {
	var r ringtailtest.Recorder
	release := r.Stall()
	b := batch(t, 10)
	f := fanout(t, export.Branch{Exporter: &r, QueueBytes: len(b.Bytes()) / 2})
	if err := f.Export(t.Context(), b); err != nil {
		t.Errorf("a batch larger than the queue, of an idle branch: %v", err)
	}
	loses(t, f.Export(t.Context(), b), b, ringtail.ReasonUnavailable)
	release()
	if err := f.Shutdown(t.Context()); err != nil || r.Counts().Spans != 10 {
		t.Errorf("Shutdown: %v; %d spans, want 10", err, r.Counts().Spans)
	}
}

func TestFanoutShutdownWithoutTime(t *testing.T) {
	var r ringtailtest.Recorder
	r.Block() // until its context ends
	f := fanout(t, export.Branch{Name: "a", Exporter: &r, Timeout: time.Hour})
	f.Export(t.Context(), batch(t, 4))
	if err := r.Await(t.Context(), func(c ringtailtest.Counts) bool { return c.Running == 1 }); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Shutdown(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if s := balanced(t, f)["a"]; s.Dropped.Of(ringtail.ReasonShutdown) != 4 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	// Its export is told to stop, and its exporter shut down, all the same.
	if err := r.Await(t.Context(), func(c ringtailtest.Counts) bool { return c.Running == 0 && c.Shutdowns == 1 }); err != nil {
		t.Error(err)
	}
}

// An Export that Shutdown has not refused is delivered by every branch.
func TestFanoutExportMeetsShutdown(t *testing.T) {
	b := batch(t, 1)
	for range 300 {
		branches := make([]export.Branch, 20)
		for i := range branches {
			branches[i].Exporter = export.Null()
		}
		f := fanout(t, branches...)
		var wg sync.WaitGroup
		begun := make(chan struct{})
		wg.Go(func() {
			close(begun)
			for f.Export(t.Context(), b) == nil {
			}
		})
		<-begun
		if err := f.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for _, s := range balanced(t, f) {
			if s.Exported != s.Received || s.Received != f.Stats()[0].Received {
				t.Fatalf("%+v", s)
			}
		}
	}
}

func TestFanoutLogsAndDoesNotRepeatItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var r ringtailtest.Recorder
		r.Fail(errBoom)
		f := fanout(t, export.Branch{Name: "a", Exporter: &r, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 3 {
			f.Export(t.Context(), batch(t, 2))
		}
		synctest.Wait()
		time.Sleep(10 * time.Second)
		f.Export(t.Context(), batch(t, 2))
		f.Shutdown(t.Context())
		if strings.Count(log.String(), "\n") != 2 || !strings.Contains(log.String(), "branch=a spans=2 error=boom suppressed=2") {
			t.Error(log.String())
		}
	})
}

func TestFanoutRefusesNonsense(t *testing.T) {
	r := new(ringtailtest.Recorder)
	for _, c := range []struct {
		branches []export.Branch
		want     string
	}{
		{nil, "export: Fanout: no branch"},
		{[]export.Branch{{}}, "export: Fanout: branch 1: Exporter is nil"},
		{[]export.Branch{{Name: "a", Exporter: r}, {Name: "a", Exporter: r}}, `export: Fanout: two branches are named "a"`},
		{[]export.Branch{{Exporter: r, QueueBytes: -1}}, "export: Fanout: branch 1: QueueBytes is -1, must not be negative"},
		{[]export.Branch{{Exporter: r, Concurrency: 2000}}, "export: Fanout: branch 1: Concurrency is 2000, must be from 0 to 1024"},
		{[]export.Branch{{Exporter: r, Timeout: -1}}, "export: Fanout: branch 1: Timeout is -1ns, must not be negative"},
	} {
		if _, err := export.Fanout(c.branches...); fmt.Sprint(err) != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// Under random stalls, failures, panics and a shutdown at any moment, each ledger
// balances at any time, and says what its exporter has.
func TestFanoutLedgerProperty(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 8
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomFanout(t, seed) })
		})
	}
}

func randomFanout(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	batches := []*ringtail.Batch{batch(t, 1), batch(t, 7), batch(t, 30)}
	recorders := make([]*ringtailtest.Recorder, 1+r.IntN(4))
	var branches []export.Branch
	for i := range recorders {
		rec := new(ringtailtest.Recorder)
		recorders[i] = rec
		var mu sync.Mutex
		luck := rand.New(rand.NewPCG(seed, uint64(i)))
		rec.Behave(func(ctx context.Context, b *ringtail.Batch) error {
			mu.Lock()
			what, pause := luck.IntN(8), time.Duration(luck.IntN(20))*ms
			mu.Unlock()
			switch what {
			case 0:
				return errBoom
			case 1:
				panic("boom")
			case 2:
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return ctx.Err()
				}
			case 3:
				time.Sleep(pause) // whatever the context says
			}
			return nil
		})
		branches = append(branches, export.Branch{
			Exporter: rec, QueueBytes: 1 + r.IntN(100_000), Concurrency: 1 + r.IntN(3), Timeout: 15 * ms,
		})
	}
	f := fanout(t, branches...)
	var sent, refused uint64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 3 {
		r := rand.New(rand.NewPCG(seed, uint64(100+g)))
		wg.Go(func() {
			for range 60 {
				b := batches[r.IntN(len(batches))]
				drops := ringtail.Losses(f.Export(t.Context(), b), b.Len())
				mu.Lock()
				sent += uint64(b.Len())
				refused += drops.Of(ringtail.ReasonClosed)
				mu.Unlock()
				time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
				balanced(t, f)
			}
		})
	}
	time.Sleep(time.Duration(r.IntN(40)) * ms)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(60))*ms)
	defer cancel()
	_ = f.Shutdown(ctx)
	wg.Wait()
	stats := f.Stats()
	balanced(t, f)
	time.Sleep(time.Minute) // whoever was given up has ended
	for i, s := range f.Stats() {
		if s.InFlight != 0 || s.Received != sent-refused || s.Exported != stats[i].Exported || s.Dropped != stats[i].Dropped || s.Exporting != 0 || s.QueuedBytes != 0 {
			t.Errorf("%s: %+v, want %d received, and nothing to change after Shutdown: %+v", s.Name, s, sent-refused, stats[i])
		}
		// An export that was given up may have arrived; it counts as lost.
		has := uint64(recorders[i].Counts().Spans)
		if has < s.Exported || has > s.Exported+s.Dropped.Of(ringtail.ReasonShutdown) {
			t.Errorf("%s has %d spans, the ledger says %+v", s.Name, has, s)
		}
	}
}
