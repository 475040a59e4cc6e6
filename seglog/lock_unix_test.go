//go:build unix && !solaris && !aix

package seglog

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// flocks lets every flock of the test answer as f does.
func flocks(t *testing.T, f func(*os.File) error) {
	t.Helper()
	before := flock
	flock = f
	t.Cleanup(func() { flock = before })
}

// TestNoLocks: on a file system without locks a log opens, and says at once that nothing keeps
// a second process out.
func TestNoLocks(t *testing.T) {
	real := flock
	onFiles := func(err error) func(*os.File) error {
		return func(f *os.File) error {
			if filepath.Base(f.Name()) == lockName {
				return err
			}
			return real(f)
		}
	}
	for _, c := range []struct {
		name  string
		flock func(*os.File) error
		warns bool
	}{
		{"locks", real, false},
		{"ENOTSUP", func(*os.File) error { return syscall.ENOTSUP }, true},
		{"ENOSYS", func(*os.File) error { return syscall.ENOSYS }, true},
		{"only directories", onFiles(syscall.ENOTSUP), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			flocks(t, c.flock)
			var said bytes.Buffer
			dir := t.TempDir()
			l, err := Open(dir, Options{Logger: slog.New(slog.NewTextHandler(&said, nil))})
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, []byte("a"), 1)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			warned := strings.Count(said.String(), "level=WARN")
			if c.warns && (warned != 1 || !strings.Contains(said.String(), dir) || !strings.Contains(said.String(), "second process")) || !c.warns && warned != 0 {
				t.Errorf("it says:\n%s", said.String())
			}
		})
	}
}

// TestLockFails: what else a lock can answer is no reason to go on without one.
func TestLockFails(t *testing.T) {
	flocks(t, func(*os.File) error { return syscall.ENOLCK })
	if l, err := Open(t.TempDir(), Options{Logger: quiet()}); !errors.Is(err, syscall.ENOLCK) {
		t.Errorf("%v, %v", l, err)
	}
}
