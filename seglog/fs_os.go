package seglog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// osFS is the operating system's file system.
type osFS struct{}

// osFile is one of its files.
type osFile struct {
	*os.File
	direct   *direct // nil as long as nothing was written so
	buffered bool    // direct was tried, and is not possible
	padded   bool    // zeros may be behind size
	size     int64
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(name string) error     { return os.Remove(name) }
func (osFS) SyncDir(dir string) error     { return syncDir(dir) }

func (osFS) MkdirAll(dir string) error { return mkdirAll(dir, syncDir) }

// mkdirAll makes the names of the directories that it makes durable: what is synced in a
// directory whose own name is lost is lost too.
func mkdirAll(dir string, sync func(dir string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return os.MkdirAll(dir, 0o755)
	}
	if err := mkdirAll(parent, sync); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	err := sync(parent)
	if err != nil {
		_ = os.Remove(dir) // if it stayed, the next one would think that its name is durable
	}
	return err
}

// Create makes files that others cannot read: spans can hold private data.
func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
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
	return &osFile{File: f}, nil
}

func (osFS) List(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (f *osFile) Sync() error { return syncData(f.File) }

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Removed() bool { return removed(f.File) }

// writeRows writes past the cache of the operating system, where that is possible.
func (f *osFile) writeRows(rows [][]byte, at int64) error {
	if f.direct == nil && !f.buffered {
		f.direct = newDirect(f.File)
		f.buffered = f.direct == nil
	}
	if !f.buffered {
		f.padded, f.size = true, at
		err := f.direct.write(f.File, rows, at)
		if err == nil {
			f.size = f.direct.end
			return nil
		}
		if !errors.Is(err, syscall.EINVAL) {
			return err
		}
		f.buffered = true // the device has larger blocks, or who knows
	}
	for _, row := range rows {
		if err := writeAt(f, row, at); err != nil {
			return err
		}
		at += int64(len(row))
	}
	return nil
}

// cached has the file written and read through the cache.
func (f *osFile) cached() error {
	if f.direct == nil {
		return nil
	}
	f.direct.end = -1
	if !f.direct.turn(f.File, false) {
		return &os.PathError{Op: "fcntl", Path: f.Name(), Err: syscall.EINVAL}
	}
	return nil
}

func (f *osFile) ReadAt(b []byte, at int64) (int, error) {
	if err := f.cached(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}

func (f *osFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.cached(); err != nil {
		return 0, err
	}
	n, err := f.File.WriteAt(b, at)
	f.size = max(f.size, at+int64(n))
	return n, err
}

func (f *osFile) Truncate(size int64) error {
	f.padded = false
	return f.File.Truncate(size)
}

// Close cuts zeros off. If it cannot, they are no harm.
func (f *osFile) Close() error {
	if f.padded {
		_ = f.File.Truncate(f.size)
	}
	return f.File.Close()
}

// Lock takes the lock file, which stays there: to remove it would let two processes lock
// two files of one name.
func (osFS) Lock(name string) (io.Closer, error) {
	dir, dirLocked, err := lockDir(name) // first: another one's lock file is not to be made again
	if err != nil {
		return nil, err
	}
	f, locked, err := lockFile(name)
	if err != nil {
		if dir != nil {
			err = errors.Join(err, dir.Close())
		}
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return locks{f, dir, !locked && !dirLocked}, nil
}

// locks are what keeps others out, unless they are void.
type locks struct {
	file, dir *os.File
	void      bool
}

// Void says that the file system has no locks.
func (l locks) Void() bool { return l.void }

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
