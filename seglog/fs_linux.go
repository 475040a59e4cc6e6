package seglog

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"
)

// syncData is fdatasync: the data and the length, but not the times, which would be one
// more write of the journal.
func syncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			if failed = syscall.Fdatasync(int(fd)); !errors.Is(failed, syscall.EINTR) {
				return
			}
		}
	})
	if err == nil && failed != nil {
		err = &os.PathError{Op: "fdatasync", Path: f.Name(), Err: failed}
	}
	return err
}

// direct writes the end of a file past the kernel's cache (O_DIRECT). That takes whole blocks
// from memory that lies as blocks do. So what is written is copied into such memory, behind
// the begin of its first block, which the file has already, and zeros follow it.
type direct struct {
	buf []byte
	on  bool
	end int64 // of the file's data whose last block buf begins with; -1: of none
}

const (
	directBlock  = page // no device that we know of asks for more
	directBuffer = mib / 2
)

// newDirect returns nil if the file's file system has no such thing.
func newDirect(f *os.File) *direct {
	d := &direct{end: -1}
	if !d.turn(f, true) {
		return nil
	}
	raw := make([]byte, directBuffer+directBlock)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (directBlock - 1)
	d.buf = raw[skip : skip+directBuffer : skip+directBuffer]
	return d
}

// turn says how the file is written, and read, from now on.
func (d *direct) turn(f *os.File, on bool) bool {
	if d.on == on {
		return true
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	if errno != 0 {
		return false
	}
	if flags &^= syscall.O_DIRECT; on {
		flags |= syscall.O_DIRECT
	}
	_, _, errno = syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFL, flags)
	if errno == 0 {
		d.on = on
	}
	return errno == 0
}

// write lays rows one behind the other into the file.
func (d *direct) write(f *os.File, rows [][]byte, at int64) error {
	if !d.turn(f, true) {
		return syscall.EINVAL
	}
	if at != d.end {
		if err := d.load(f, at); err != nil {
			return err
		}
	}
	d.end = -1
	n := int(at % directBlock) // in buf
	to := at - int64(n)        // where buf goes
	for _, row := range rows {
		for len(row) > 0 {
			k := copy(d.buf[n:], row)
			n, row = n+k, row[k:]
			if n < len(d.buf) {
				continue
			}
			if _, err := f.WriteAt(d.buf, to); err != nil {
				return err
			}
			n, to = 0, to+int64(len(d.buf))
		}
	}
	begun := n % directBlock
	if n > 0 {
		whole := n - begun
		if begun > 0 {
			whole += directBlock
			clear(d.buf[n:whole])
		}
		if _, err := f.WriteAt(d.buf[:whole], to); err != nil {
			return err
		}
		copy(d.buf, d.buf[n-begun:n])
	}
	d.end = to + int64(n)
	return nil
}

// load reads what the block that at lies in begins with.
func (d *direct) load(f *os.File, at int64) error {
	n := at % directBlock
	if n == 0 {
		return nil
	}
	// One call: where the file ends, a second one would not begin with a block.
	k, err := syscall.Pread(int(f.Fd()), d.buf[:directBlock], at-n)
	if err == nil && int64(k) < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return &os.PathError{Op: "pread", Path: f.Name(), Err: err}
	}
	return nil
}
