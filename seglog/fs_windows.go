package seglog

import (
	"errors"
	"os"
	"syscall"
)

// lockFile opens a file that nobody else can open for writing as long as it is open.
func lockFile(name string) (f *os.File, locked bool, err error) {
	p, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, false, err
	}
	h, err := syscall.CreateFile(p, syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.FILE_SHARE_READ,
		nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	const sharingViolation = syscall.Errno(32)
	if errors.Is(err, sharingViolation) {
		return nil, false, lockedBy(name)
	}
	if err != nil {
		return nil, false, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), true, nil
}

// syncDir does nothing: Windows has no such call, NTFS keeps a journal of names.
func syncDir(string) error { return nil }

// removed is always false: a file that is open cannot be removed.
func removed(*os.File) bool { return false }

func outOfSpace(err error) bool {
	const handleDiskFull, diskFull = syscall.Errno(39), syscall.Errno(112)
	return errors.Is(err, diskFull) || errors.Is(err, handleDiskFull) || errors.Is(err, syscall.ENOSPC)
}

func unreadable(err error) bool {
	const crc = syscall.Errno(23)
	return errors.Is(err, crc) || errors.Is(err, syscall.EIO)
}

// lockDir does nothing: a lock file that is open cannot be removed, or there are no locks.
func lockDir(string) (f *os.File, locked bool, err error) { return nil, false, nil }
