package seglog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// each runs a test with a log in memory and one on disk.
func each(t *testing.T, o Options, test func(t *testing.T, l *Log)) {
	o.Logger = slog.New(slog.DiscardHandler)
	run := func(name string, open func(t *testing.T) (*Log, error)) {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			l, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			test(t, l)
			if err := l.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			noLeak(t, before)
		})
	}
	run("memory", func(t *testing.T) (*Log, error) { return NewMemory(o) })
	run("disk", func(t *testing.T) (*Log, error) { return Open(t.TempDir(), o) })
}

// noLeak waits until there are no more goroutines than before.
func noLeak(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

func mustAppend(t *testing.T, l *Log, body []byte, count int) Position {
	t.Helper()
	p, err := l.Append(context.Background(), body, count)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustCursor(t *testing.T, l *Log, name string) *Cursor {
	t.Helper()
	c, err := l.OpenCursor(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustRead(t *testing.T, c *Cursor, w Want) *Run {
	t.Helper()
	r, err := c.Read(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func bodies(r *Run) []string {
	var all []string
	for _, f := range r.Frames {
		all = append(all, string(f.Body))
	}
	return all
}

func TestAppendAndRead(t *testing.T) {
	each(t, Options{}, func(t *testing.T, l *Log) {
		a, b := mustCursor(t, l, "a"), mustCursor(t, l, "b")
		var at []Position
		for _, s := range []string{"one", "", "three"} {
			at = append(at, mustAppend(t, l, []byte(s), len(s)))
		}
		r := mustRead(t, a, Want{})
		if got := bodies(r); !slices.Equal(got, []string{"one", "", "three"}) || r.Count != 8 || r.Bytes != 8 || r.Start != at[0] {
			t.Errorf("read %q, %+v", got, r)
		}
		if err := a.Commit(r.End, []byte("s")); err != nil {
			t.Fatal(err)
		}
		r.Release()
		r.Release()
		if st := a.Stats(); st.Consumed != 8 || st.LagCount != 0 || st.LagBytes != 0 || string(a.State()) != "s" {
			t.Errorf("%+v", st)
		}
		// b has passed nothing, so everything is still there.
		body, count, err := l.ReadAt(at[2], make([]byte, 0, 64))
		if string(body) != "three" || count != 5 || err != nil {
			t.Errorf("ReadAt: %q, %d, %v", body, count, err)
		}
		if _, _, err := l.ReadAt(at[2]+1, nil); err == nil {
			t.Error("ReadAt in the middle of a frame")
		}
		if _, _, err := l.ReadAt(r.End, nil); err == nil {
			t.Error("ReadAt at the end")
		}
		r = mustRead(t, b, Want{MaxBytes: 1})
		if got := bodies(r); !slices.Equal(got, []string{"one"}) {
			t.Errorf("one frame at least: %q", got)
		}
		r.Release()
		r = mustRead(t, b, Want{MaxCount: 5})
		if got := bodies(r); !slices.Equal(got, []string{"", "three"}) {
			t.Errorf("up to a count: %q", got)
		}
		r.Release()
		if st := b.Stats(); st.Unread != 0 || st.LagCount != 8 || st.Consumed != 0 {
			t.Errorf("%+v", st)
		}
		l.Seal()
		if _, err := b.Read(context.Background(), Want{}); !errors.Is(err, ErrClosed) {
			t.Errorf("read of a sealed log: %v", err)
		}
		if _, err := l.Append(context.Background(), nil, 1); !errors.Is(err, ErrClosed) {
			t.Errorf("append to a sealed log: %v", err)
		}
	})
}

func TestReadWaits(t *testing.T) {
	each(t, Options{}, func(t *testing.T, l *Log) {
		c := mustCursor(t, l, "c")
		got := make(chan []string)
		read := func(w Want) {
			go func() {
				r, err := c.Read(context.Background(), w)
				if err != nil {
					got <- []string{err.Error()}
					return
				}
				s := bodies(r)
				r.Release()
				got <- s
			}()
		}
		blocked := func() { // until Read waits
			for {
				l.mu.Lock()
				w := c.need.waiting
				l.mu.Unlock()
				if w {
					return
				}
				runtime.Gosched()
			}
		}
		read(Want{MinBytes: 200, Linger: time.Hour})
		blocked()
		mustAppend(t, l, []byte("a"), 1)
		blocked()
		mustAppend(t, l, make([]byte, 200), 1)
		if s := <-got; len(s) != 2 {
			t.Errorf("by bytes: %d frames", len(s))
		}
		read(Want{MinBytes: 1 << 20, MaxCount: 3, Linger: time.Hour})
		blocked()
		mustAppend(t, l, []byte("a"), 3)
		if s := <-got; len(s) != 1 {
			t.Errorf("by count: %d frames", len(s))
		}
		read(Want{MinBytes: 1 << 20, Linger: time.Millisecond})
		mustAppend(t, l, []byte("a"), 3)
		if s := <-got; len(s) != 1 {
			t.Errorf("by time: %d frames", len(s))
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := c.Read(ctx, Want{}); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		read(Want{})
		blocked()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s[0] != ErrClosed.Error() {
			t.Errorf("closed cursor: %q", s)
		}
		c = mustCursor(t, l, "c")
		r := mustRead(t, c, Want{})
		r.Release()
		read(Want{MinBytes: 1 << 20, Linger: time.Hour})
		blocked()
		mustAppend(t, l, []byte("last"), 1)
		l.Seal()
		if s := <-got; !slices.Equal(s, []string{"last"}) {
			t.Errorf("sealed: %q", s)
		}
	})
}

func TestReservations(t *testing.T) {
	each(t, Options{MaxFrameBytes: 1000}, func(t *testing.T, l *Log) {
		c := mustCursor(t, l, "c")
		ctx := context.Background()
		slow, err := l.Reserve(10)
		if err != nil {
			t.Fatal(err)
		}
		gone, _ := l.Reserve(20)
		copy(gone.Bytes(), "never to be seen")
		mustAppend(t, l, []byte("does not wait for the slow one"), 1)
		gone.Abort()
		gone.Abort()
		if _, err := gone.Commit(ctx, 1); err == nil {
			t.Error("commit after abort")
		}
		copy(slow.Bytes(), "0123456789")
		if _, err := slow.Commit(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := slow.Commit(ctx, 1); err == nil {
			t.Error("second commit")
		}
		slow.Abort()
		if _, err := l.Append(ctx, nil, -1); err == nil {
			t.Error("negative count")
		}
		if _, err := l.Reserve(1001); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if _, err := l.Reserve(-1); err == nil {
			t.Error("negative size")
		}
		l.Seal()
		r := mustRead(t, c, Want{})
		if got := bodies(r); !slices.Equal(got, []string{"does not wait for the slow one", "0123456789"}) {
			t.Errorf("read %q", got)
		}
		r.Release()
		if n := l.Stats().Frames; n != 2 {
			t.Errorf("%d frames", n)
		}
	})
}

// TestDiskFull: a full disk refuses as a full log does, and recovers by itself.
func TestDiskFull(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		t.Run(errno.Error(), func(t *testing.T) { testDiskFull(t, errno) })
	}
}

func testDiskFull(t *testing.T, errno syscall.Errno) {
	fs := newCrashFS()
	o := testOptions()
	o.FS = fs
	l, err := Open(crashDir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mustAppend(t, l, []byte("before"), 1)
	fs.mu.Lock()
	fs.fail = func(_ int, what, _ string, n int) (int, error) {
		if what == "write" {
			return n / 2, errno
		}
		return n, nil
	}
	fs.mu.Unlock()
	if _, err := l.Append(context.Background(), []byte("no room"), 1); !errors.Is(err, ErrFull) || !errors.Is(err, errno) {
		t.Fatalf("append to a full disk: %v", err)
	}
	if _, err := l.Reserve(1); !errors.Is(err, ErrFull) {
		t.Errorf("reserve right after it: %v", err)
	}
	fs.mu.Lock()
	fs.fail = nil
	fs.mu.Unlock()
	for {
		if _, err = l.Append(context.Background(), []byte("after"), 1); err == nil {
			break
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	c := mustCursor(t, l, "c")
	r := mustRead(t, c, Want{})
	if got := bodies(r); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("read %q", got)
	}
	r.Release()
}

// TestCommitContext: who stops waiting does not know, and the frame arrives. The answer that
// nobody waits for is not taken for that of the next one.
func TestCommitContext(t *testing.T) {
	fs := newCrashFS()
	o := testOptions()
	o.FS = fs
	l, err := Open(crashDir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := mustCursor(t, l, "c")
	release, reached := make(chan bool), make(chan bool, 1)
	fs.mu.Lock()
	fs.fail = func(_ int, what, name string, n int) (int, error) {
		if what == "sync" && strings.HasSuffix(name, segmentSuffix) {
			reached <- true
			<-release
		}
		return n, nil
	}
	fs.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-reached
		cancel()
		<-reached
	}()
	_, err = l.Append(ctx, []byte("who knows"), 3)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	go func() {
		for waiting := 0; waiting == 0; runtime.Gosched() {
			l.mu.Lock()
			waiting = len(l.disk.ready)
			l.mu.Unlock()
		}
		close(release)
	}()
	p := mustAppend(t, l, []byte("next"), 1)
	if body, _, err := l.ReadAt(p, nil); string(body) != "next" {
		t.Errorf("%q, %v is where the next frame is said to be", body, err)
	}
	r := mustRead(t, c, Want{})
	if got := bodies(r); !slices.Equal(got, []string{"who knows", "next"}) {
		t.Errorf("read %q", got)
	}
	r.Release()
}

// TestBacklog: a log many times larger than the cache is read with bounded memory.
func TestBacklog(t *testing.T) {
	const cache = 4 << 20
	l, err := Open(t.TempDir(), Options{Logger: quiet(), Sync: SyncNever, CacheBytes: cache, SegmentBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	body := bytes.Repeat([]byte("x"), 100_000)
	for i := range 600 {
		copy(body, fmt.Sprintf("%8d", i))
		mustAppend(t, l, body, 1)
	}
	a, b := mustCursor(t, l, "a"), mustCursor(t, l, "b")
	for n := 0; n < 600; {
		for _, c := range []*Cursor{a, b} {
			r := mustRead(t, c, Want{MaxCount: 10})
			if !bytes.HasPrefix(r.Frames[0].Body, fmt.Appendf(nil, "%8d", n)) {
				t.Fatalf("frame %d is %.8s", n, r.Frames[0].Body)
			}
			if st := l.Stats(); st.MemoryBytes > cache+2*mib {
				t.Fatalf("%d bytes of memory", st.MemoryBytes)
			}
			if err := c.Commit(r.End, nil); err != nil {
				t.Fatal(err)
			}
			r.Release()
		}
		n += 10
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{SegmentBytes: 1}, {SegmentBytes: -1}, {MaxBytes: 1}, {MaxBytes: 1 << 20, SegmentBytes: 1 << 20}, {MaxAge: -1},
		{MaxFrameBytes: -1}, {WhenFull: 2}, {Sync: 3}, {SyncEvery: -1}, {CommitEvery: -1}, {CacheBytes: -1},
	} {
		if _, err := NewMemory(o); err == nil || !strings.Contains(err.Error(), "Options.") {
			t.Errorf("%+v: %v", o, err)
		}
		if _, err := Open(t.TempDir(), o); err == nil {
			t.Errorf("%+v is accepted on disk", o)
		}
	}
}
