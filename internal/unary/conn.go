package unary

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// Window is what a client may send of a request before it is told to go on.
	Window = 256 << 10

	// MaxHeader bounds a call's header, as it comes and unpacked.
	MaxHeader = 64 << 10

	// connWindow is what a client may send of all its requests together.
	connWindow = 4 << 20

	// maxFrame is how long the frames may be that clients send. Content is taken as it
	// comes, so that long ones cost nothing.
	maxFrame = 256 << 10

	// maxOutput bounds what a client is still to read, but for the answers to the calls that
	// there are: beyond it nothing more is read from one that only sends.
	maxOutput = 256 << 10

	// farewell is how long a connection that is done stays open for what the client has
	// sent meanwhile. Closed at once, it could lose the client its last answers.
	farewell = time.Second

	// deaf is how long a client may take to hear that the server leaves. Nobody else should
	// wait for one that does not.
	deaf = 3 * time.Second
)

// conn is a connection. What has no other note belongs to the goroutine that reads it.
type conn struct {
	server *Server
	nc     net.Conn // to close it, from any goroutine
	reader reader

	// Of what is coming.
	greeted int // bytes of the greeting that have come
	head    [frameHead]byte
	have    int // bytes of head
	frame   frame
	part    []byte // of the frame's payload, if it comes in parts and is needed whole
	header  header

	settled bool   // the client's settings have come
	last    uint32 // the last stream that the client has opened
	unacked int    // what it has sent and was not told that it may send again

	calls     map[uint32]*Call // that are coming
	current   *Call            // the one of them that bytes came for last; or nil
	receiving queue            // calls, too, by when they began
	touched   []*Call          // calls with bytes in the read buffer

	// For the clock.
	began atomic.Uint64 // when what is coming began, the oldest of it; 0: nothing is
	vital atomic.Bool   // that is the greeting or a frame without content: the connection ends when it is late
	heard atomic.Uint64 // when anything came

	mu sync.Mutex
	output
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, calls: map[uint32]*Call{}}
	now := s.tick.Load()
	c.header.began, c.idleSince = now, now
	c.began.Store(now)
	c.vital.Store(true)
	c.heard.Store(now)
	c.sendWindow, c.callWindow = defaultWindow, defaultWindow
	return c
}

// serve reads the connection to its end.
func (c *conn) serve() {
	defer c.server.left(c)
	defer c.end()
	wire := c.nc
	if cfg := &c.server.cfg; cfg.TLS != nil {
		secure := tls.Server(wire, cfg.TLS)
		c.nc.SetDeadline(time.Now().Add(cfg.HeaderTimeout))
		if err := secure.Handshake(); err != nil {
			c.unencrypted(err)
			return
		}
		c.nc.SetDeadline(time.Time{})
		wire = secure
	}
	c.reader = newReader(wire)
	c.header.decoder = hpack.NewDecoder(tableSize, c.header.emit)
	c.header.decoder.SetMaxStringLength(MaxHeader)
	c.mu.Lock()
	c.wire = wire
	c.mu.Unlock()
	var err error
	for err == nil {
		var p []byte
		if p, err = c.reader.read(); len(p) > 0 {
			err = c.round(p)
		}
		c.reader.release()
		if err == nil {
			err = c.flush()
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.overdue()
		}
	}
	c.complain(err)
}

// round takes what one read has brought. Its answers are sent with one write when it ends, unless
// they become too many before.
func (c *conn) round(p []byte) error {
	if now := c.server.tick.Load(); c.heard.Load() != now {
		c.heard.Store(now)
	}
	c.cork(true)
	err := c.feed(p)
	for _, call := range c.touched {
		call.touched = false
		if status := call.body.Keep(); status != nil {
			c.refuse(call, status)
		}
	}
	clear(c.touched)
	c.touched = c.touched[:0]
	c.note()
	c.cork(false)
	return err
}

// note tells the clock what is coming.
func (c *conn) note() {
	var began uint64
	vital := !c.settled || c.header.stream != 0 || c.frame.left > 0 && c.frame.kind != http2.FrameData
	if vital {
		began = c.header.began
	} else if first := c.receiving.first; first != nil {
		began = first.began
	}
	if c.began.Load() != began {
		c.began.Store(began)
	}
	if c.vital.Load() != vital {
		c.vital.Store(vital)
	}
}

var past = time.Unix(1, 0)

// look is how the clock looks after a connection.
func (c *conn) look(now uint64) {
	s, cfg := c.server, &c.server.cfg
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire == nil || c.broken {
		return // the handshake has a deadline
	}
	for call := c.waiting.first; call != nil && now-call.began > s.ticks(cfg.BodyTimeout); call = c.waiting.first {
		c.answer(call, cfg.Unanswered())
	}
	limit := s.ticks(cfg.BodyTimeout)
	if c.vital.Load() {
		limit = s.ticks(cfg.HeaderTimeout)
	}
	began, silent := c.began.Load(), now-c.heard.Load()
	switch {
	case c.stuck != 0 && now-c.stuck > s.ticks(cfg.Patience):
		c.nc.Close()
	case began != 0 && now-began > limit:
		c.nc.SetReadDeadline(past) // who reads sees to it
	case !c.hello: // nothing is to be sent yet
	case silent <= s.ticks(cfg.PingAfter):
		c.pinged = false
	case !c.pinged:
		c.pinged = true
		c.out = appendPing(c.room(), false, [8]byte{})
	case silent > s.ticks(cfg.PingAfter+cfg.Patience):
		c.nc.Close()
	}
	if c.open == 0 && began == 0 && now-c.idleSince > s.ticks(cfg.Idle) ||
		c.draining != 0 && now-c.draining > s.ticks(deaf) {
		c.leave()
	}
	c.flushSoon()
}

// overdue ends the calls that have taken too long, when the clock has interrupted a read.
// An error means that the connection is to end.
func (c *conn) overdue() error {
	if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	c.mu.Lock()
	done := c.done
	c.mu.Unlock()
	if done {
		return errDone
	}
	now, s := c.server.tick.Load(), c.server
	if c.vital.Load() && now-c.header.began > s.ticks(s.cfg.HeaderTimeout) {
		return errSlow
	}
	limit := s.ticks(s.cfg.BodyTimeout)
	for call := c.receiving.first; call != nil && now-call.began > limit; call = c.receiving.first {
		c.refuse(call, call.body.Abort(Late))
	}
	c.note()
	return c.flush()
}

// A mistake is an error of the client's that ends the connection. (RFC 9113, section 5.4.1.)
type mistake struct {
	code http2.ErrCode
	text string
}

func (m *mistake) Error() string { return m.text }

var (
	errHTTP1 = errors.New("the client speaks HTTP/1")
	errSlow  = &mistake{http2.ErrCodeEnhanceYourCalm, "the client is too slow"}
	errDone  = errors.New("the connection is done")
)

// complain tells the client why its connection ends, and reads for a while what it had sent
// before it heard that. Closed at once, the connection could lose the client the last answers.
func (c *conn) complain(err error) {
	var m *mistake
	switch {
	case errors.Is(err, errHTTP1):
		c.lastWords(c.server.misdirected())
	case errors.As(err, &m):
		c.lastWords(appendGoAway(nil, c.opened, m.code, m.text))
	case errors.Is(err, errDone):
		c.lastWords(nil)
	} // others are the network's
}

// unencrypted tells a client that it should have begun with TLS, if that is what was wrong.
func (c *conn) unencrypted(handshake error) {
	var plain tls.RecordHeaderError
	if !errors.As(handshake, &plain) || plain.Conn == nil {
		return
	}
	c.mu.Lock()
	c.wire = c.nc
	c.mu.Unlock()
	if string(plain.RecordHeader[:]) != http2.ClientPreface[:len(plain.RecordHeader)] {
		c.lastWords(c.server.misdirected())
		return
	}
	words := appendFrame(nil, 0, http2.FrameSettings, 0, 0)
	c.lastWords(appendGoAway(words, 0, http2.ErrCodeInadequateSecurity, "this port takes connections with TLS only"))
}

// misdirected is for clients that speak HTTP/1.
func (s *Server) misdirected() []byte {
	return []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
		s.cfg.Misdirected + "\n")
}

// lastWords sends what there is and these, and reads on for a while.
func (c *conn) lastWords(words []byte) {
	c.nc.SetDeadline(time.Now().Add(farewell))
	c.cork(true)
	c.flushing.Wait() // there will be no more of them
	c.mu.Lock()
	c.out = append(c.room(), words...)
	c.mu.Unlock()
	if c.flush() != nil {
		return
	}
	if half, ok := c.wire.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	io.CopyN(io.Discard, c.wire, connWindow)
}

// end closes the connection, and lets go of the calls that were coming.
func (c *conn) end() {
	c.mu.Lock()
	c.broken = true
	c.mu.Unlock()
	c.nc.Close()
	for call := c.receiving.first; call != nil; call = c.receiving.first {
		c.forget(call)
		call.body.Abort(Gone)
		call.recycle()
	}
	c.flushing.Wait()
}
