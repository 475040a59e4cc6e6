package collector

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// connections counts them, of both protocols.
type connections struct {
	limit   int64
	open    atomic.Int64 // 0 <= open <= limit
	refused atomic.Uint64
}

// limitedListener closes connections beyond the limit as soon as they open. Left unaccepted
// they would look to their clients like a server that hangs; closed, they are tried again,
// or elsewhere, after a while.
type limitedListener struct {
	net.Listener
	*connections
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &countedConn{Conn: conn, leave: l.leave}, nil
		}
		l.leave()
		l.refused.Add(1)
		conn.Close()
	}
}

func (c *connections) leave() { c.open.Add(-1) }

// countedConn is a connection that says when it is closed.
type countedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// SyscallConn lets who reads wait without a buffer.
func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite says that no more is sent.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *countedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
