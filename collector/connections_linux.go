package collector

import (
	"io"
	"net"
	"syscall"

	"google.golang.org/grpc/mem"
)

func counted(conn net.Conn, leave func()) net.Conn {
	if s, ok := conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c := &readyConn{countedConn: countedConn{Conn: conn, leave: leave}, raw: raw}
			c.read = c.tryRead
			return c
		}
	}
	return &countedConn{Conn: conn, leave: leave}
}

// readyConn takes a buffer only once there is something to read, so that an idle gRPC
// connection holds none. gRPC does so for the connections of package net, and for those
// that have ReadOnReady.
type readyConn struct {
	countedConn
	raw  syscall.RawConn
	read func(fd uintptr) bool // tryRead, made once

	// Of the one read under way: what it was asked, and its result.
	size   int
	pool   mem.BufferPool
	buffer *[]byte
	n      int
	err    error
}

// ReadOnReady waits until there is something to read, and reads it into a buffer of pool's.
// It is not called by two goroutines at once.
func (c *readyConn) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	c.size, c.pool = size, pool
	waited := c.raw.Read(c.read)
	buffer, n, err := c.buffer, c.n, c.err
	c.pool, c.buffer, c.n, c.err = nil, nil, 0, nil
	if waited != nil { // closed, or the deadline is over
		if buffer != nil {
			pool.Put(buffer)
		}
		return nil, 0, waited
	}
	return buffer, n, err
}

// tryRead reads once, and says whether that was it; false: wait until there is something.
func (c *readyConn) tryRead(fd uintptr) bool {
	c.buffer = c.pool.Get(c.size)
	for {
		c.n, c.err = syscall.Read(int(fd), *c.buffer)
		if c.err != syscall.EINTR {
			break
		}
	}
	if c.n > 0 {
		return true
	}
	c.pool.Put(c.buffer)
	c.buffer, c.n = nil, 0
	switch c.err {
	case syscall.EAGAIN:
		return false
	case nil:
		c.err = io.EOF
	}
	return true
}
