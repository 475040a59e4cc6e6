//go:build unix

package unary

import (
	"io"
	"net"
	"syscall"
)

func newReader(conn net.Conn) reader {
	if s, ok := conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			r := &rawReader{raw: raw}
			r.try = r.tryRead
			return r
		}
	}
	return &plainReader{conn: conn}
}

// rawReader takes a buffer only once there is something to read, so that a connection that
// waits holds none.
type rawReader struct {
	raw    syscall.RawConn
	try    func(fd uintptr) bool // tryRead, made once
	buffer *[]byte
	n      int
	err    error
}

func (r *rawReader) read() ([]byte, error) {
	r.n, r.err = 0, nil
	if err := r.raw.Read(r.try); err != nil { // closed, or the deadline is over
		return nil, err
	}
	if r.err != nil {
		return nil, r.err
	}
	return (*r.buffer)[:r.n], nil
}

// tryRead reads once, and says whether that was it; false: wait until there is something.
func (r *rawReader) tryRead(fd uintptr) bool {
	r.buffer = readBuffers.Get().(*[]byte)
	for {
		r.n, r.err = syscall.Read(int(fd), *r.buffer)
		if r.err != syscall.EINTR {
			break
		}
	}
	if r.n > 0 {
		return true
	}
	r.n = 0
	r.release()
	if r.err == syscall.EAGAIN {
		return false
	}
	if r.err == nil {
		r.err = io.EOF
	}
	return true
}

func (r *rawReader) release() {
	if r.buffer != nil {
		readBuffers.Put(r.buffer)
		r.buffer = nil
	}
}
