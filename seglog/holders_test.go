package seglog

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestReadOfAClosedCursor: a Read that was begun before Close gets nothing of what is the
// next holder's.
func TestReadOfAClosedCursor(t *testing.T) {
	l, err := NewMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	old := mustCursor(t, l, "c")
	answer := make(chan error, 1)
	go func() {
		_, err := old.Read(t.Context(), Want{})
		answer <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		l.mu.Lock()
		waiting := old.need.waiting
		l.mu.Unlock()
		if waiting {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the Read does not wait")
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	c := mustCursor(t, l, "c")
	mustAppend(t, l, []byte("first"), 1)
	r, err := c.Read(t.Context(), Want{})
	if err != nil || string(r.Frames[0].Body) != "first" {
		t.Fatal(r, err)
	}
	defer r.Release()
	if err := <-answer; !errors.Is(err, ErrClosed) {
		t.Errorf("the Read of the closed cursor: %v", err)
	}
}

// TestLockFileRemoved: somebody who takes the lock file for a leftover, and removes it, does
// not let a second one in.
func TestLockFileRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file that is open cannot be removed there")
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	l, err := Open(dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if second, err := Open(dir, testOptions()); !errors.Is(err, ErrLocked) {
		t.Errorf("a second log on the directory: %v, %v", second, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(dir, testOptions()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
