//go:build unix && !solaris && !aix

package seglog

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile opens and locks a file. The kernel gives the lock back when the process ends,
// however it ends. Locked is false if the file system has no locks, which is no obstacle.
func lockFile(name string) (f *os.File, locked bool, err error) {
	f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	err = flock(f)
	if err == nil || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) {
		return f, err == nil, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, false, lockedBy(name)
	}
	return nil, false, &os.PathError{Op: "flock", Path: name, Err: err}
}

// lockDir locks the directory itself, where that is possible. Somebody may remove the lock
// file, thinking that it was left behind, while the one who holds it is there.
func lockDir(lock string) (f *os.File, locked bool, err error) {
	f, err = os.Open(filepath.Dir(lock))
	if err != nil {
		return nil, false, err
	}
	err = flock(f)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		_ = f.Close()
		return nil, false, lockedBy(lock)
	}
	return f, err == nil, nil // some network file systems lock only what can be written to
}

// flock is a variable so that tests can have a file system without locks.
var flock = func(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func removed(f *os.File) bool {
	var st syscall.Stat_t
	return syscall.Fstat(int(f.Fd()), &st) == nil && st.Nlink == 0
}

// outOfSpace says whether a write failed since the disk, or somebody's part of it, is full.
func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// unreadable says whether the device cannot read a place of the disk.
func unreadable(err error) bool { return errors.Is(err, syscall.EIO) }
