package unary

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a server needs to know. All fields but TLS and Misdirected must be set.
type Config struct {
	Handler Handler
	// TLS is for all connections. nil: none.
	TLS *tls.Config
	// MaxCalls bounds the calls under way on one connection: those that are being received
	// and those that are not answered.
	MaxCalls int
	// HeaderTimeout is for the handshake and the greeting of a connection, and for each
	// header; BodyTimeout for the rest of a request, and again for its answer.
	HeaderTimeout, BodyTimeout time.Duration
	// Unanswered answers a call that the handler did not answer in time. It is called by the
	// clock, which it must not hold up.
	Unanswered func() *Status
	// Idle is how long a connection without calls is kept. A peer from which nothing has
	// come for PingAfter is asked for a sign of life, and has Patience for it, and as long for
	// reading what it was sent.
	Idle, PingAfter, Patience time.Duration
	// Misdirected is a text for clients that speak HTTP/1.
	Misdirected string
}

// Handler is whose calls these are.
type Handler interface {
	// Begin is called when the header of a call has come, by the goroutine that reads the
	// connection. It returns who gets the call's bytes, or the status by which it is refused.
	Begin(*Call, Header) (Body, *Status)
}

// Body gets the bytes of one call. Its methods are called by the goroutine that reads the
// connection, which they hold up. A status that is not nil refuses the call: nothing more
// is called.
type Body interface {
	// Data brings the next bytes. They stay where they are, and as they are, until Keep,
	// End or Abort.
	Data(p []byte) *Status
	// Keep says that the bytes of Data will be read over: what is still needed must be copied.
	Keep() *Status
	// End says that all bytes have come, and hands the call over: it is to be answered by
	// Call.Reply, once, now or later. The bytes of Data are valid until End returns.
	End()
	// Abort says that there will be no End. The status is for a peer that is there.
	Abort(Cause) *Status
}

// Cause is why a call ends before it has come.
type Cause int

const (
	// Gone: the connection is lost, or the peer has cancelled the call.
	Gone Cause = iota
	// Late: BodyTimeout is over.
	Late
)

// Server serves connections. Its methods may be called from any goroutine.
type Server struct {
	cfg Config

	tick  atomic.Uint64 // the clock, in steps of every; it begins with 1
	every time.Duration

	mu       sync.Mutex
	conns    map[*conn]struct{}
	listener net.Listener
	closing  bool
	empty    chan struct{}  // closed when closing and without connections
	running  sync.WaitGroup // the clock and the connections
}

// ErrClosed is returned by Serve after Shutdown or Close.
var ErrClosed = errors.New("unary: the server is closed")

// New returns a server that does not serve yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, conns: map[*conn]struct{}{}, empty: make(chan struct{})}
	s.every = max(min(cfg.HeaderTimeout/8, cfg.BodyTimeout/8, cfg.Patience/8, time.Second), time.Millisecond)
	s.tick.Store(1)
	return s
}

// ticks is a duration in steps of the clock, rounded up.
func (s *Server) ticks(d time.Duration) uint64 { return uint64((d + s.every - 1) / s.every) }

// Serve accepts connections until the listener fails, or the server is closed.
// It is called once.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		l.Close()
		return ErrClosed
	}
	s.listener = l
	s.running.Go(s.clock)
	s.mu.Unlock()
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			closing := s.closing
			s.mu.Unlock()
			if closing {
				return ErrClosed
			}
			// Out of files, for the moment. net/http goes on by the same sign.
			if t, ok := err.(interface{ Temporary() bool }); ok && t.Temporary() {
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				time.Sleep(pause)
				continue
			}
			return err
		}
		pause = 0
		s.welcome(nc)
	}
}

func (s *Server) welcome(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.running.Go(c.serve)
	s.mu.Unlock()
}

// left is called when a connection has ended.
func (s *Server) left(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.closing && len(s.conns) == 0 {
		close(s.empty)
	}
}

// clock looks after everything that takes too long. One for all connections costs less than
// deadlines and timers that are set anew with each request.
func (s *Server) clock() {
	clock := time.NewTicker(s.every)
	defer clock.Stop()
	var all []*conn
	for {
		select {
		case <-clock.C:
		case <-s.empty:
			return
		}
		now := s.tick.Add(1)
		s.mu.Lock()
		for c := range s.conns {
			all = append(all, c)
		}
		s.mu.Unlock()
		for _, c := range all {
			c.look(now)
		}
		clear(all)
		all = all[:0]
	}
}

// Shutdown stops listening, lets the calls under way end, and closes the connections. When
// ctx ends first, it breaks them off and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.close() {
		c.drain()
	}
	var err error
	select {
	case <-s.empty:
	case <-ctx.Done():
		err = ctx.Err()
		s.breakOff()
	}
	s.running.Wait()
	return err
}

// Close breaks everything off.
func (s *Server) Close() {
	s.close()
	s.breakOff()
	s.running.Wait()
}

// close begins the end, and returns the connections that there are.
func (s *Server) close() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.closing = true
		if s.listener != nil {
			s.listener.Close()
		}
		if len(s.conns) == 0 {
			close(s.empty)
		}
	}
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

func (s *Server) breakOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.nc.Close()
	}
}
