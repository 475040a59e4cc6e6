package unary

import (
	"net"
	"sync"
)

// reader reads a connection. What read returns is valid until release.
type reader interface {
	read() ([]byte, error)
	release()
}

// readSize is how much is read at a time, if there is that much.
const readSize = 64 << 10

var readBuffers = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}

// plainReader reads from anything. While it waits it holds a small buffer, and takes larger ones
// while those are filled.
type plainReader struct {
	conn   net.Conn
	buffer *[]byte
	full   bool // buffer is a large one
	next   bool // the next one is to be
}

var smallBuffers = sync.Pool{New: func() any { b := make([]byte, 2<<10); return &b }}

func (r *plainReader) pool() *sync.Pool {
	if r.full {
		return &readBuffers
	}
	return &smallBuffers
}

func (r *plainReader) read() ([]byte, error) {
	r.buffer = r.pool().Get().(*[]byte)
	n, err := r.conn.Read(*r.buffer)
	r.next = n == len(*r.buffer)
	return (*r.buffer)[:n], err
}

func (r *plainReader) release() {
	if r.buffer == nil {
		return
	}
	r.pool().Put(r.buffer)
	r.buffer, r.full = nil, r.next
}
