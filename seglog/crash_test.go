package seglog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// longRun multiplies the seeds: go test ./seglog -run "Crash|Failing" -seglog.long -timeout 1h
var longRun = flag.Bool("seglog.long", false, "try many more seeds")

func seeds(few int) int {
	switch {
	case *longRun:
		return few * 50
	case testing.Short():
		return 1
	}
	return few
}

// check opens the log that a crash has left, and reads all of it with every cursor.
func (w *world) check(after *crashFS) error {
	records := map[string]record{}
	for name, m := range w.cursors {
		r, err := w.checkCursor(after, name, m)
		if err != nil {
			return fmt.Errorf("cursor %s: %w", name, err)
		}
		records[name] = r
	}
	o := w.opts
	o.FS = after
	l, err := Open(crashDir, o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer l.Close()
	known := map[uint64]*modelFrame{}
	for _, f := range w.frames {
		known[f.id] = f
	}
	for name, r := range records {
		c, err := l.OpenCursor(name)
		if err != nil {
			return err
		}
		st := c.Stats()
		if st.Skipped[SkippedDamage] != r.skipped[SkippedDamage] || w.opts.WhenFull == Refuse && st.Position != r.at.position {
			return fmt.Errorf("cursor %s was stored at %d, is at %d: %+v", name, r.at.position, st.Position, st)
		}
		if err := w.checkFrames(l, c, known); err != nil {
			return fmt.Errorf("cursor %s, from %d: %w", name, st.Position, err)
		}
	}
	if _, err := l.Append(context.Background(), []byte("and it goes on"), 1); err != nil {
		return fmt.Errorf("append after the crash: %w", err)
	}
	return nil
}

// checkServed opens the log that a killed process has left. What it serves then survives
// a power cut right after that.
func (w *world) checkServed(after *crashFS) error {
	o := w.opts
	o.FS = after
	l, err := Open(crashDir, o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	served := l.Stats()
	cut := after.powerCut(keepNone)
	_ = l.Close()
	o.FS = cut
	if l, err = Open(crashDir, o); err != nil {
		return fmt.Errorf("open after a power cut: %w", err)
	}
	defer l.Close()
	if st := l.Stats(); st.End != served.End || st.Count != served.Count {
		return fmt.Errorf("the log has served up to %d, count %d; after a power cut it ends at %d, %d", served.End, served.Count, st.End, st.Count)
	}
	return nil
}

// checkCursor says whether the file of a cursor has a pair that was committed, not before
// the last one that was stored. Segments that are forced out move a cursor on without a
// commit: then the position is later, the difference is skipped, and the rest the same.
func (w *world) checkCursor(fs *crashFS, name string, m *modelCursor) (record, error) {
	r, err := loadRecord(fs, cursorFile(crashDir, name))
	if err != nil {
		return r, err
	}
	consumed := r.at.count - r.start
	for _, n := range r.skipped {
		consumed -= n
	}
	for _, p := range m.pairs[m.durable:] {
		if p.state == string(r.state) && p.stats.Consumed == consumed && p.stats.Start == r.start &&
			(p.position == r.at.position && p.stats.Skipped == r.skipped ||
				w.opts.WhenFull == DropOldest && p.position <= r.at.position && p.stats.Skipped[SkippedLimit] <= r.skipped[SkippedLimit]) {
			return r, nil
		}
	}
	return r, fmt.Errorf("at %d, consumed %d, skipped %v, with state %.20q, which is none of %d pairs",
		r.at.position, consumed, r.skipped, r.state, len(m.pairs)-m.durable)
}

// checkFrames reads everything and compares.
func (w *world) checkFrames(l *Log, c *Cursor, known map[uint64]*modelFrame) error {
	st := c.Stats()
	begin, sum, seen := st.Position, uint64(0), map[uint64]bool{}
	last := -1
	for c.Stats().Read < l.Stats().End {
		r, err := c.Read(context.Background(), Want{MaxBytes: 2000})
		if err != nil {
			return err
		}
		for _, f := range r.Frames {
			id := binary.LittleEndian.Uint64(f.Body)
			m := known[id]
			switch {
			case m == nil || !bytes.Equal(m.body, f.Body) || m.count != f.Count:
				return fmt.Errorf("frame at %d was never appended", f.Position)
			case m.fate == refused && f.Position >= w.end && w.closed != nil:
				// Neither the file could be cut nor another one begun, and Close has said so.
			case m.fate == refused:
				return fmt.Errorf("frame %d at %d was refused", id, f.Position)
			case m.fate == acked && m.position != f.Position:
				return fmt.Errorf("frame %d is at %d, was at %d", id, f.Position, m.position)
			case int(id) <= last:
				return fmt.Errorf("frame %d comes after %d", id, last)
			}
			last = int(id)
			seen[id] = true
			sum += uint64(f.Count)
		}
		if err := c.Commit(r.End, nil); err != nil { // which settles what was skipped
			return err
		}
		r.Release()
	}
	for _, f := range w.frames {
		if f.fate == acked && f.position >= begin && !seen[f.id] {
			return fmt.Errorf("frame %d at %d was acknowledged and is lost", f.id, f.position)
		}
	}
	for i, n := range c.Stats().Skipped {
		sum += n - st.Skipped[i]
	}
	if sum != st.LagCount {
		return fmt.Errorf("count behind the cursor is %d, the frames there have %d", st.LagCount, sum)
	}
	consumed := uint64(0)
	for _, f := range w.frames {
		if f.fate == acked && f.position < begin {
			consumed += uint64(f.count)
		}
	}
	if total := st.Start + st.Consumed + st.Skipped[0] + st.Skipped[1] + st.Skipped[2]; consumed > total {
		return fmt.Errorf("count %d before the cursor, acknowledged frames there have %d", total, consumed)
	}
	if l.Stats().Count != st.Start+st.Consumed+st.Skipped[0]+st.Skipped[1]+st.Skipped[2]+st.LagCount {
		return errors.New("the ledger does not add up")
	}
	return nil
}

// TestCrash cuts the power at every operation of a run, and leaves nothing, everything or
// some of what was not synced.
func TestCrash(t *testing.T) { testCrash(t, testOptions(), seeds(4)) }

// TestCrashDropOldest is the same for a log that is always full.
func TestCrashDropOldest(t *testing.T) {
	o := testOptions()
	o.MaxBytes, o.WhenFull = 16<<10, DropOldest
	testCrash(t, o, seeds(2))
}

func testCrash(t *testing.T, o Options, seeds int) {
	const steps = 60
	for seed := range uint64(seeds) {
		whole := newWorld(seed, newCrashFS(), o)
		whole.run(steps)
		if err := whole.check(whole.fs.kill()); err != nil {
			t.Fatalf("seed %d, no crash: %v", seed, err)
		}
		for at := 1; at <= whole.fs.ops; at++ {
			rng := rand.New(rand.NewPCG(seed, uint64(at)))
			fs := newCrashFS()
			fs.crashAt, fs.torn = at, func(n int) int { return rng.IntN(n + 1) }
			w := newWorld(seed, fs, o)
			w.run(steps)
			if err := w.checkServed(fs.kill()); err != nil {
				t.Fatalf("seed %d, killed at operation %d (%v): %v", seed, at, last(fs.log), err)
			}
			for name, keep := range map[string]func(int) int{
				"nothing": keepNone, "everything": func(n int) int { return n }, "something": keepSome(rng), "something else": keepSome(rng),
			} {
				if err := w.check(fs.powerCut(keep)); err != nil {
					t.Fatalf("seed %d, crash at operation %d (%v), which leaves %s: %v", seed, at, last(fs.log), name, err)
				}
			}
		}
	}
}

// TestKillWithoutSync: with the other policies, what was acknowledged survives the end of the
// process at every operation.
func TestKillWithoutSync(t *testing.T) {
	const steps = 60
	for _, policy := range []SyncPolicy{SyncInterval, SyncNever} {
		o := testOptions()
		o.Sync, o.SyncEvery = policy, time.Hour
		whole := newWorld(1, newCrashFS(), o)
		whole.run(steps)
		for at := 1; at <= whole.fs.ops; at++ {
			rng := rand.New(rand.NewPCG(1, uint64(at)))
			fs := newCrashFS()
			fs.crashAt, fs.torn = at, func(n int) int { return rng.IntN(n + 1) }
			w := newWorld(1, fs, o)
			w.run(steps)
			if err := w.check(fs.kill()); err != nil {
				t.Fatalf("policy %d, killed at operation %d (%v): %v", policy, at, last(fs.log), err)
			}
		}
	}
}

func last(log []string) string {
	if len(log) == 0 {
		return "none"
	}
	return log[len(log)-1]
}

// TestFailingDisk lets every operation fail in turn, once or for a while, and goes on.
// What was refused is never read, what was acknowledged is, at once and after a restart.
func TestFailingDisk(t *testing.T) {
	const steps = 60
	failures := []struct {
		name string
		err  error
		only string
		runs int
		part bool
	}{
		{"EIO once", syscall.EIO, "", 1, false},
		{"sync fails once", syscall.EIO, "sync", 1, false},
		{"sync fails, and cutting the file", syscall.EIO, "sync truncate", 2, false},
		{"write cut short, and cutting the file fails", syscall.EIO, "write truncate", 2, true},
		{"ENOSPC for a while, writes cut short", syscall.ENOSPC, "", 6, true},
		{"read-only for a while", syscall.EROFS, "", 9, false},
	}
	for seed := range uint64(seeds(1)) {
		whole := newWorld(seed, newCrashFS(), testOptions())
		whole.run(steps)
		for _, f := range failures {
			for at := 1; at <= whole.fs.ops; at++ {
				fs := newCrashFS()
				rng := rand.New(rand.NewPCG(seed, uint64(at)))
				fs.fail = func(op int, what, name string, n int) (int, error) {
					if op < at || op >= at+f.runs || f.only != "" && !strings.Contains(f.only, what) {
						return n, nil
					}
					if f.part {
						return rng.IntN(n + 1), f.err
					}
					return 0, f.err
				}
				w := newWorld(seed, fs, testOptions())
				w.run(steps)
				fs.fail = nil
				if w.log == nil {
					continue // it could not be opened
				}
				if err := w.check(fs.kill()); err != nil {
					t.Fatalf("seed %d, %s at operation %d: %v", seed, f.name, at, err)
				}
				if err := w.check(fs.powerCut(keepNone)); err != nil {
					t.Fatalf("seed %d, %s at operation %d, power cut after Close: %v", seed, f.name, at, err)
				}
			}
		}
	}
}

// TestUncut: of a write that failed everything has arrived, and could not be cut off. What
// is appended next is shorter, and does not let the rest come back.
func TestUncut(t *testing.T) {
	fs := newCrashFS()
	o := testOptions()
	o.FS = fs
	l, err := Open(crashDir, o)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.disk.mostPatience = 0
	l.mu.Unlock()
	mustAppend(t, l, []byte("first"), 1)
	fs.mu.Lock()
	fs.fail = func(_ int, what, _ string, n int) (int, error) { return n, syscall.EIO }
	fs.mu.Unlock()
	var slots []*slot
	for range 3 {
		r, err := l.Reserve(100)
		if err != nil {
			t.Fatal(err)
		}
		r.slot.count, r.slot.bodySum = 1, bodySum(r.Bytes())
		slots = append(slots, r.slot)
	}
	commitTogether(l, slots, func(_ int, _ Position, err error) {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("the disk fails: %v", err)
		}
	})
	fs.mu.Lock()
	fs.fail = nil
	fs.mu.Unlock()
	mustAppend(t, l, []byte("then"), 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(crashDir, o); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := mustRead(t, mustCursor(t, l, "c"), Want{})
	if got := bodies(r); !slices.Equal(got, []string{"first", "then"}) || l.Stats().Count != 2 {
		t.Errorf("read %d frames: %q", len(got), got)
	}
	r.Release()
}
