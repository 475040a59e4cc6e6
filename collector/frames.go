package collector

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
)

// frames watches what a gRPC client sends and finds who cuts its requests into tiny pieces.
// gRPC spends about a hundred bytes on a frame, and keeps padding with it, and flow control
// and the budget see neither: at a byte a frame, a request that has paid for 256 KiB would
// have tens of MiB. Those are kept until a handler reads them, so that it has to be noticed
// here, where they come in.
type frames struct {
	skip   int // bytes of what is no frame header
	header [9]byte
	have   int // bytes of header
	credit int // how many more small frames are welcome
}

const (
	// A data frame of fewer bytes is small; up to 256 of them may be padding. It costs one of
	// credit, and a larger one gives back one for as many bytes, so that what is lost is small in
	// comparison.
	leastFrame = 512

	// mostCredit is about what a request of a MiB has in small frames.
	mostCredit = 2048

	// requestCredit is what the header of a request gives back: clients may send small requests
	// for ever, and in several frames.
	requestCredit = 8
)

func newFrames() frames { return frames{skip: len(http2.ClientPreface), credit: mostCredit} }

// look looks at the next bytes of a connection, and says whether all is well.
func (f *frames) look(p []byte) bool {
	for len(p) > 0 {
		if n := min(f.skip, len(p)); n > 0 {
			f.skip -= n
			p = p[n:]
			continue
		}
		n := copy(f.header[f.have:], p)
		f.have += n
		p = p[n:]
		if f.have < len(f.header) {
			return true
		}
		f.have = 0
		if !f.frame() {
			return false
		}
	}
	return true
}

// frame judges by a frame's header.
func (f *frames) frame() bool {
	f.skip = int(binary.BigEndian.Uint32(f.header[:]) >> 8)
	switch http2.FrameType(f.header[3]) {
	case http2.FrameHeaders:
		f.credit = min(f.credit+requestCredit, mostCredit)
	case http2.FrameData:
		if f.skip >= leastFrame {
			f.credit = min(f.credit+f.skip/leastFrame, mostCredit)
		} else {
			f.credit--
		}
	}
	return f.credit >= 0
}

var errTinyFrames = errors.New("the client sends its requests in tiny frames")

// watchedCredentials are credentials whose connections are watched, behind TLS if there is.
type watchedCredentials struct {
	credentials.TransportCredentials
	ended *atomic.Uint64 // connections
}

func (c watchedCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	w := &watchedConn{Conn: conn, frames: newFrames(), ended: c.ended}
	if r, ok := conn.(readyReader); ok {
		return &watchedReadyConn{w, r}, info, nil
	}
	return w, info, nil
}

func (c watchedCredentials) Clone() credentials.TransportCredentials {
	return watchedCredentials{c.TransportCredentials.Clone(), c.ended}
}

// watchedConn is a connection that fails when it was misused. It is read by one goroutine.
type watchedConn struct {
	net.Conn
	frames frames
	ended  *atomic.Uint64
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return c.check(p, n, err)
}

func (c *watchedConn) check(p []byte, n int, err error) (int, error) {
	if n > 0 && !c.frames.look(p[:n]) {
		c.ended.Add(1)
		return 0, errTinyFrames
	}
	return n, err
}

// readyReader is what gRPC reads by from connections that hold no buffer while they wait.
type readyReader interface {
	ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error)
}

type watchedReadyConn struct {
	*watchedConn
	ready readyReader
}

func (c *watchedReadyConn) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	buffer, n, err := c.ready.ReadOnReady(size, pool)
	if buffer == nil {
		return nil, n, err
	}
	if n, err = c.check(*buffer, n, err); err == errTinyFrames {
		pool.Put(buffer)
		return nil, 0, err
	}
	return buffer, n, err
}
