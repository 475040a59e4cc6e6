package seglog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// TestFullRefuse: a log that is full refuses, and takes again when the slowest cursor has
// passed a segment.
func TestFullRefuse(t *testing.T) {
	each(t, Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10}, func(t *testing.T, l *Log) {
		fast, slow := mustCursor(t, l, "fast"), mustCursor(t, l, "slow")
		body := make([]byte, 1000)
		n := 0
		for ; ; n++ {
			if _, err := l.Append(context.Background(), body, 1); errors.Is(err, ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if n < 48 || n > 64 {
			t.Errorf("%d frames fit", n)
		}
		if st := l.Stats(); st.Refused != 1 || st.Bytes > 64<<10 {
			t.Errorf("%+v", st)
		}
		drain := func(c *Cursor) {
			for c.Stats().Unread > 0 {
				r := mustRead(t, c, Want{})
				if err := c.Commit(r.End, nil); err != nil {
					t.Fatal(err)
				}
				r.Release()
			}
		}
		drain(fast)
		if _, err := l.Append(context.Background(), body, 1); !errors.Is(err, ErrFull) {
			t.Errorf("one of two has passed: %v", err)
		}
		drain(slow)
		for { // on disk, when the position is stored
			_, err := l.Append(context.Background(), body, 1)
			if err == nil {
				break
			}
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			runtime.Gosched()
		}
		if st := slow.Stats(); st.Consumed != uint64(n) || st.Skipped != [3]uint64{} {
			t.Errorf("%+v", st)
		}
	})
}

// TestFullDropOldest: what a cursor did not get is counted exactly, also with a run in flight.
func TestFullDropOldest(t *testing.T) {
	each(t, Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10, WhenFull: DropOldest}, func(t *testing.T, l *Log) {
		idle, busy, gone := mustCursor(t, l, "idle"), mustCursor(t, l, "busy"), mustCursor(t, l, "gone")
		body := make([]byte, 1000)
		mustAppend(t, l, body, 1)
		mustAppend(t, l, body, 1)
		flight := mustRead(t, busy, Want{})
		mustRead(t, gone, Want{}).Release()
		for range 500 {
			mustAppend(t, l, body, 1)
		}
		if err := busy.Commit(flight.End, []byte("done")); err != nil {
			t.Fatal(err)
		}
		flight.Release()
		st := busy.Stats()
		if st.Consumed != 2 || st.Consumed+st.Skipped[SkippedLimit]+st.LagCount != 502 || st.Skipped[SkippedLimit] < 400 {
			t.Errorf("busy: %+v", st)
		}
		_ = gone.Close() // what it has read and not committed is not there any more
		if st := gone.Stats(); st.Consumed != 0 || st.Skipped[SkippedLimit]+st.LagCount != 502 || st.Position < l.Stats().Oldest {
			t.Errorf("gone: %+v", st)
		}
		st = idle.Stats()
		if st.Consumed != 0 || st.Skipped[SkippedLimit]+st.LagCount != 502 {
			t.Errorf("idle: %+v", st)
		}
		got := uint64(0)
		for idle.Stats().Unread > 0 {
			r := mustRead(t, idle, Want{})
			got += uint64(r.Count)
			r.Release()
		}
		if got != st.LagCount {
			t.Errorf("read %d of %d", got, st.LagCount)
		}
		if _, _, err := l.ReadAt(0, nil); !errors.Is(err, ErrGone) {
			t.Errorf("ReadAt of what was dropped: %v", err)
		}
		if s := l.Stats(); s.DroppedLimit == 0 || s.Bytes > 64<<10 || s.Refused != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestDropOldestInFlight: segments go from the disk though somebody holds runs of them, as
// soon as it is stored that they were forced out.
func TestDropOldestInFlight(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10, WhenFull: DropOldest, Sync: SyncNever, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := mustCursor(t, l, "c")
	for range 500 {
		mustAppend(t, l, make([]byte, 1000), 1)
		mustRead(t, c, Want{}).Release()
	}
	for {
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) <= 64/8+3 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if st := c.Stats(); st.Position != 0 || st.Skipped != [3]uint64{} {
		t.Errorf("%+v", st)
	}
}

func TestMaxAge(t *testing.T) {
	each(t, Options{MaxAge: 20 * time.Millisecond}, func(t *testing.T, l *Log) {
		c := mustCursor(t, l, "c")
		mustAppend(t, l, []byte("old"), 7)
		for c.Stats().Skipped[SkippedAge] != 7 {
			time.Sleep(time.Millisecond)
		}
		if st := l.Stats(); st.Bytes != 0 || st.DroppedAge != 7 {
			t.Errorf("%+v", st)
		}
	})
}

// TestClockSetBack: frames whose time is in the future live for MaxAge from the opening on,
// not until that time comes.
func TestClockSetBack(t *testing.T) {
	opened := time.Now()
	if got := bornAt(opened.Add(24*time.Hour).UnixNano(), opened); !got.Equal(opened) {
		t.Errorf("of tomorrow: %v before the opening", opened.Sub(got))
	}
	if got := bornAt(opened.Add(-time.Hour).UnixNano(), opened); opened.Sub(got).Round(time.Second) != time.Hour {
		t.Errorf("of an hour ago: %v", opened.Sub(got))
	}
}

// TestForcedWhileReading: frames that were gathered, and counted as skipped before the Read
// could return them, are not returned.
func TestForcedWhileReading(t *testing.T) {
	l, err := NewMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := mustCursor(t, l, "c")
	mustAppend(t, l, []byte("a"), 3)
	r, skips, err := c.gather(place{}, l.end, Want{MaxBytes: 100})
	if err != nil || len(r.Frames) != 1 {
		t.Fatal(r, err)
	}
	l.mu.Lock()
	l.dropExtent(SkippedLimit)
	l.mu.Unlock()
	if c.accept(place{}, r, skips) {
		t.Error("the run is returned")
	}
	r.Release()
	if st := c.Stats(); st.Skipped[SkippedLimit] != 3 || st.Consumed != 0 || st.LagCount != 0 {
		t.Errorf("%+v", st)
	}
}

// TestForcedIsStoredFirst: as long as it can not be stored that a segment was forced out,
// its file stays, and a crash finds all in order.
func TestForcedIsStoredFirst(t *testing.T) {
	fs := newCrashFS()
	o := testOptions()
	o.FS, o.MaxBytes, o.WhenFull = fs, 16<<10, DropOldest
	l, err := Open(crashDir, o)
	if err != nil {
		t.Fatal(err)
	}
	mustCursor(t, l, "c")
	fs.mu.Lock()
	fs.fail = func(_ int, _, name string, n int) (int, error) {
		if _, ok := cursorName(filepath.Base(name)); ok {
			return 0, syscall.EIO
		}
		return n, nil
	}
	fs.mu.Unlock()
	// The log passes its bound by a little, until it is known that nothing can be stored, and
	// then refuses.
	var taken uint64
	for err = nil; err == nil && taken < 5000; runtime.Gosched() {
		if _, err = l.Append(t.Context(), make([]byte, 1000), 1); err == nil {
			taken++
		}
		l.clean()
	}
	if !errors.Is(err, ErrFull) || taken < 10 {
		t.Errorf("%d frames of 1 KB are in a log of 16 KiB, and then: %v", taken, err)
	}
	after := fs.kill()
	if err := l.Close(); err == nil {
		t.Error("Close does not say that it could not store the cursor")
	}
	o.FS = after
	if l, err = Open(crashDir, o); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if st := mustCursor(t, l, "c").Stats(); st.Skipped != [3]uint64{} || st.LagCount != taken {
		t.Errorf("%+v, and %d were taken", st, taken)
	}
}
