package seglog

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// reserveFilled reserves a frame and fills it.
func reserveFilled(t *testing.T, l *Log, body string) Reservation {
	t.Helper()
	r, err := l.Reserve(len(body))
	if err != nil {
		t.Fatal(err)
	}
	copy(r.Bytes(), body)
	return r
}

// TestCommitThen: every frame is answered once, in the order of positions, with no lock held,
// and is there then.
func TestCommitThen(t *testing.T) {
	each(t, Options{}, func(t *testing.T, l *Log) {
		const frames = 100
		c := mustCursor(t, l, "c")
		var answered atomic.Int64
		var positions []Position
		var ended sync.WaitGroup
		ended.Add(frames)
		for i := range frames {
			r := reserveFilled(t, l, fmt.Sprint(i))
			r.CommitThen(1, func(p Position, err error) {
				defer ended.Done()
				if body, _, readErr := l.ReadAt(p, nil); err != nil || readErr != nil || string(body) != fmt.Sprint(i) {
					t.Errorf("frame %d at %d: %q, %v, %v", i, p, body, err, readErr)
				}
				positions = append(positions, p)
				answered.Add(1)
			})
			if n := answered.Load(); l.disk == nil && n != int64(i+1) {
				t.Errorf("in memory, after %d calls: %d answers", i+1, n)
			}
			r.CommitThen(1, func(_ Position, err error) {
				if err == nil {
					t.Error("a reservation was committed twice")
				}
			})
			r.Abort()
		}
		ended.Wait()
		if !slices.IsSorted(positions) || answered.Load() != frames {
			t.Errorf("%d answers, at %d", answered.Load(), positions)
		}
		if st := l.Stats(); st.Count != frames || st.Frames != frames {
			t.Errorf("%+v", st)
		}
		r := mustRead(t, c, Want{})
		for i, b := range bodies(r) {
			if b != fmt.Sprint(i) {
				t.Errorf("frame %d of one goroutine is %s", i, b)
			}
		}
		r.Release()
	})
}

// TestCommitThenMisuse: what cannot be committed is answered at once, and by an error.
func TestCommitThenMisuse(t *testing.T) {
	each(t, Options{}, func(t *testing.T, l *Log) {
		refused := func(r Reservation, count int) {
			t.Helper()
			answers := 0
			r.CommitThen(count, func(_ Position, err error) {
				answers++
				if err == nil {
					t.Error("accepted")
				}
			})
			if answers != 1 {
				t.Errorf("%d answers", answers)
			}
		}
		refused(Reservation{}, 1)
		r := reserveFilled(t, l, "a")
		refused(r, -1)
		refused(r, 1)
		r = reserveFilled(t, l, "b")
		r.Abort()
		refused(r, 1)
		if st := l.Stats(); st.Frames != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestCommitThenChain: who is answered may reserve and commit the next frame from there.
func TestCommitThenChain(t *testing.T) {
	each(t, Options{}, func(t *testing.T, l *Log) {
		ended := make(chan struct{})
		left := 1000
		var next func(Position, error)
		next = func(_ Position, err error) {
			if left--; left == 0 || err != nil {
				if err != nil {
					t.Error(err)
				}
				close(ended)
				return
			}
			r, err := l.Reserve(100)
			if err != nil {
				t.Error(err)
				close(ended)
				return
			}
			r.CommitThen(1, next)
		}
		reserveFilled(t, l, "first").CommitThen(1, next)
		<-ended
		if st := l.Stats(); st.Frames != 1000 {
			t.Errorf("%+v", st)
		}
	})
}

// TestCommitThenClose: Close returns when all were answered.
func TestCommitThenClose(t *testing.T) {
	fs := newCrashFS()
	o := testOptions()
	o.FS = fs
	l, err := Open(crashDir, o)
	if err != nil {
		t.Fatal(err)
	}
	release, reached := make(chan struct{}), make(chan struct{}, 10)
	fs.mu.Lock()
	fs.fail = func(_ int, what, name string, n int) (int, error) {
		if what == "sync" && strings.HasSuffix(name, segmentSuffix) {
			reached <- struct{}{}
			<-release
		}
		return n, nil
	}
	fs.mu.Unlock()
	const frames = 5
	var answered atomic.Int64
	closing := make(chan struct{})
	commit := func() {
		reserveFilled(t, l, "x").CommitThen(1, func(_ Position, err error) {
			<-closing // it is slow
			if err != nil {
				t.Error(err)
			}
			answered.Add(1)
		})
	}
	commit()
	<-reached // the first is alone in its group
	for range frames - 1 {
		commit()
	}
	closed := make(chan error, 1)
	go func() {
		err := l.Close()
		if n := answered.Load(); n != frames {
			t.Errorf("closed with %d of %d answers", n, frames)
		}
		closed <- err
	}()
	close(release)
	for !sealed(l) {
		runtime.Gosched()
	}
	close(closing)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestCommitThenCloseMemory is the same where the caller itself calls done.
func TestCommitThenCloseMemory(t *testing.T) {
	l, err := NewMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun, release, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var answered atomic.Bool
	go reserveFilled(t, l, "x").CommitThen(1, func(Position, error) {
		close(begun)
		<-release
		answered.Store(true)
	})
	<-begun
	go func() {
		defer close(closed)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if !answered.Load() {
			t.Error("closed before the frame is answered")
		}
	}()
	for !sealed(l) {
		runtime.Gosched()
	}
	close(release)
	<-closed
}

func sealed(l *Log) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sealed
}

// TestCommitThenFails: a group that the disk refuses is refused to each who is in it, once,
// and is not in the log.
func TestCommitThenFails(t *testing.T) {
	for _, what := range []string{"write", "sync"} {
		fs := newCrashFS()
		o := testOptions()
		o.FS = fs
		l, err := Open(crashDir, o)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, []byte("before"), 1)
		fs.mu.Lock()
		fs.fail = func(_ int, op, _ string, n int) (int, error) {
			if op == what {
				return 0, syscall.ENOSPC
			}
			return n, nil
		}
		fs.mu.Unlock()
		const frames = 4
		answers := make(chan error, 2*frames)
		var rooms []Reservation
		for range frames {
			rooms = append(rooms, reserveFilled(t, l, "refused"))
		}
		for _, r := range rooms {
			r.CommitThen(1, func(p Position, err error) {
				if p != 0 {
					t.Errorf("refused, at %d", p)
				}
				answers <- err
			})
		}
		for range frames {
			if err := <-answers; !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s fails: %v", what, err)
			}
		}
		fs.mu.Lock()
		fs.fail = nil
		fs.mu.Unlock()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if st := l.Stats(); st.Count != 1 || st.Refused != frames || len(answers) != 0 {
			t.Errorf("%d more answers, %+v", len(answers), st)
		}
	}
}

// TestCommitAllocatesNothing: neither Commit nor CommitThen needs memory for a frame.
func TestCommitAllocatesNothing(t *testing.T) {
	each(t, Options{Sync: SyncNever}, func(t *testing.T, l *Log) {
		answered := make(chan struct{}, 1)
		done := func(Position, error) { answered <- struct{}{} }
		ctx := t.Context()
		for name, commit := range map[string]func(r Reservation){
			"Commit": func(r Reservation) { _, _ = r.Commit(ctx, 1) },
			"CommitThen": func(r Reservation) {
				r.CommitThen(1, done)
				<-answered
			},
		} {
			n := testing.AllocsPerRun(200, func() {
				r, err := l.Reserve(100)
				if err != nil {
					t.Fatal(err)
				}
				commit(r)
			})
			if n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
