package seglog

import (
	"os"
	"syscall"
)

// allocate gives a file its blocks before they are written.
func allocate(f *os.File, size int64) error {
	return syscall.Fallocate(int(f.Fd()), 0, 0, size)
}
