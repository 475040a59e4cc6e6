package seglog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// osFS is the operating system's file system.
type osFS struct{}

// osFile is one of its files.
type osFile struct{ *os.File }

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(name string) error     { return os.Remove(name) }
func (osFS) SyncDir(dir string) error     { return syncDir(dir) }

// MkdirAll makes the names of the directories that it makes durable: what is synced in a
// directory whose own name is lost is lost too.
func (f osFS) MkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return os.MkdirAll(dir, 0o755)
	}
	if err := f.MkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// Create makes files that others cannot read: spans can hold private data.
func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Open(name string, write bool) (File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) List(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (f osFile) Sync() error { return syncData(f.File) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Removed() bool { return removed(f.File) }

// Lock takes the lock file, which stays there: to remove it would let two processes lock
// two files of one name.
func (osFS) Lock(name string) (io.Closer, error) {
	dir, err := lockDir(name) // first: another one's lock file is not to be made again
	if err != nil {
		return nil, err
	}
	f, err := lockFile(name)
	if err != nil {
		if dir != nil {
			err = errors.Join(err, dir.Close())
		}
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return locks{f, dir}, nil
}

// locks are what keeps others out.
type locks struct{ file, dir *os.File }

func (l locks) Close() error {
	err := l.file.Close()
	if l.dir != nil {
		err = errors.Join(err, l.dir.Close())
	}
	return err
}

// lockedBy is the error for a lock file that somebody has locked.
func lockedBy(name string) error {
	pid, _ := os.ReadFile(name)
	if len(pid) == 0 { // somebody has removed the file, and not who has locked the directory
		return fmt.Errorf("%w: it has locked %s", ErrLocked, filepath.Dir(name))
	}
	return fmt.Errorf("%w: pid %s has locked %s", ErrLocked, strings.TrimSpace(string(pid)), name)
}
