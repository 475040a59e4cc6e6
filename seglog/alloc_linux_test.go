package seglog

import (
	"os"
	"syscall"
)

// allocate gives a file its blocks before they are written.
func allocate(f *os.File, size int64) error {
	return syscall.Fallocate(int(f.Fd()), 0, 0, size)
}

// misalign has a device refuse what is written.
func misalign(d *direct) { d.buf = d.buf[1 : len(d.buf)-directBlock+1] }
