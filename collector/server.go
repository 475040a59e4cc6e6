// Package collector is the daemon: it receives OTLP from other processes and
// hands it on.
//
//	OTLP/gRPC ┐
//	          ├▶ admission ──▶ read, unpack ──▶ Sink (validates, copies, queues)
//	OTLP/HTTP ┘  (byte budget)
//
// A request stays the bytes that it came as: nothing here builds an object for a
// span. What becomes of the bytes is the [Sink]'s business: a [Pipeline] has a log and
// exporters with cursors, [Memory] the collector that applications embed.
//
// Files of the receiving side: server.go, who serves and who stops; listen.go and
// connections.go, on what and for how many; receiver_grpc.go and message.go, receiver_http.go
// and body.go, the two protocols and how each reads a request, after package unary has read
// gRPC's frames; budget.go, admission; waiting.go, a sink's time; buffers.go and
// compression.go, what requests are read into and through; overload.go, what clients are told;
// cors.go, browsers.
package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringtail-otel/ringtail/internal/unary"
)

// Config says where to listen and how much to take on. [DefaultConfig] has
// the values that this documentation calls default.
type Config struct {
	// GRPCAddr and HTTPAddr are what to listen on: HOST:PORT, where port 0 picks a free
	// one, or unix:PATH (unix:///PATH is the same) for a Unix socket, which its owner and
	// group may use (mode 0660). A socket that a dead process left behind is replaced.
	// Empty: that protocol is not served, and one of the two must be. Default
	// 127.0.0.1:4317 and 127.0.0.1:4318.
	GRPCAddr, HTTPAddr string

	// TLS is for both protocols. Zero: none. HTTP is HTTP/1.1, with or without it.
	TLS TLS

	// CORS lets browsers' scripts send over HTTP. Zero: it does not.
	CORS CORS

	// MaxConnections bounds the connections of both protocols together, and half of the files that
	// the process may have open does, if that is less (ulimit -n). One more is
	// closed as soon as it opens. Default 10 000. An idle one is closed after two minutes
	// (HTTP) or ten (gRPC).
	MaxConnections int

	// MaxRequestBytes bounds one request, as it is sent and again as it is after
	// decompression. Larger ones are refused, not to be sent again. Default
	// 64 MiB, the limit of the OTLP specification.
	MaxRequestBytes int

	// MemoryLimit bounds the bytes of requests that are being received. It is
	// taken as a body comes, and given back when the sink has the request.
	// Beyond it clients are told to come back, and one whose request alone takes more that it is too
	// large. A quarter of it, if MaxRequestBytes leaves that much, is for requests up to 1 MiB, so
	// that large ones do not keep them out. At least twice MaxRequestBytes: a compressed request
	// is there as it came, too. Default 256 MiB. What the sink queues is bounded by the sink.
	MemoryLimit int64

	// HeaderTimeout bounds the time that a client may take to connect and to send
	// a request's header, BodyTimeout what it may take for the rest, and then what the sink may
	// take. Default 10 s and 30 s.
	HeaderTimeout, BodyTimeout time.Duration

	// RetryDelay is how long a client that is turned away is asked to stay away.
	// Default 1 s. HTTP rounds it up to seconds.
	RetryDelay time.Duration
}

// DefaultConfig returns the configuration of a daemon on its own machine.
func DefaultConfig() Config {
	return Config{
		GRPCAddr: "127.0.0.1:4317", HTTPAddr: "127.0.0.1:4318",
		MaxConnections:  10_000,
		MaxRequestBytes: 64 << 20, MemoryLimit: 256 << 20,
		HeaderTimeout: 10 * time.Second, BodyTimeout: 30 * time.Second,
		RetryDelay: time.Second,
	}
}

func (c *Config) validate() error {
	switch {
	case c.GRPCAddr == "" && c.HTTPAddr == "":
		return errors.New("collector: GRPCAddr and HTTPAddr are both empty: nothing to listen on")
	case c.MaxConnections < 1 || c.MaxConnections > 1_000_000:
		return fmt.Errorf("collector: MaxConnections is %d: want 1 to 1 000 000", c.MaxConnections)
	case c.MaxRequestBytes < 1<<10 || c.MaxRequestBytes > 1<<30:
		return fmt.Errorf("collector: MaxRequestBytes is %d: want 1 KiB to 1 GiB", c.MaxRequestBytes)
	case c.MemoryLimit < 2*int64(c.MaxRequestBytes):
		return fmt.Errorf("collector: MemoryLimit is %d: want at least twice MaxRequestBytes, %d", c.MemoryLimit, c.MaxRequestBytes)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"HeaderTimeout", c.HeaderTimeout}, {"BodyTimeout", c.BodyTimeout}, {"RetryDelay", c.RetryDelay}} {
		if d.value < time.Millisecond || d.value > time.Hour {
			return fmt.Errorf("collector: %s is %v: want 1ms to 1h", d.name, d.value)
		}
	}
	return c.CORS.validate()
}

// Server is the receiving side of the daemon. Its methods may be called from any
// goroutine. Once made it listens, so that clients can connect; they are served
// while Serve runs.
type Server struct {
	cfg         Config
	budget      *budget
	counts      counts
	connections connections

	ctx    context.Context // of sinks that wait; ends with the server
	cancel context.CancelFunc

	grpc         *unary.Server // nil when not served, like its listener
	grpcListener net.Listener
	http         *http.Server
	httpListener net.Listener
}

// counts are the server's own: what the sink never hears of, and what it said.
type counts struct {
	accepted, bad, tooLarge, overloaded, timedOut, failed atomic.Uint64
}

// Stats counts requests by what became of them. Requests that are not OTLP at all,
// such as a wrong path, are in none of these.
type Stats struct {
	Accepted   uint64 // acknowledged
	Bad        uint64 // could not be unpacked or read; not to be sent again
	TooLarge   uint64 // over MaxRequestBytes; not to be sent again
	Overloaded uint64 // turned away for now, by the budget or the sink
	TimedOut   uint64 // the client was too slow, or went away
	Failed     uint64 // the sink failed with an error that it should not have

	HeldBytes int64 // of the memory limit, now

	OpenConnections    int    // now
	RefusedConnections uint64 // beyond MaxConnections
}

// New listens on the addresses of cfg. Errors name the field and its value. The
// sink stays the caller's: it is to be shut down after the server.
func New(cfg Config, sink Sink) (*Server, error) {
	if sink == nil {
		return nil, errors.New("collector: New: sink is nil")
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	secure, err := cfg.TLS.load()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, budget: newBudget(cfg.MemoryLimit, cfg.MaxRequestBytes)}
	// Clients must not have the files that the log and the exporters need.
	s.connections.limit = min(int64(cfg.MaxConnections), openFiles()/2)
	if s.grpcListener, err = s.listen(cfg.GRPCAddr, "OTLP/gRPC"); err != nil {
		return nil, err
	}
	if s.httpListener, err = s.listen(cfg.HTTPAddr, "OTLP/HTTP"); err != nil {
		s.closeListeners()
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.grpcListener != nil {
		s.grpc = newGRPCServer(s, sink, secure)
	}
	if s.httpListener != nil {
		s.http = newHTTPServer(s, sink, secure)
	}
	return s, nil
}

// listen returns nil without an address.
func (s *Server) listen(addr, protocol string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("collector: cannot listen for %s on %s: %w", protocol, addr, err)
	}
	return &limitedListener{l, &s.connections}, nil
}

// GRPCAddr returns the address that OTLP/gRPC is served on, nil if it is not.
func (s *Server) GRPCAddr() net.Addr { return addr(s.grpcListener) }

// HTTPAddr returns the address that OTLP/HTTP is served on, nil if it is not.
func (s *Server) HTTPAddr() net.Addr { return addr(s.httpListener) }

// TLS says whether clients need TLS.
func (s *Server) TLS() bool { return s.cfg.TLS != TLS{} }

func addr(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Stats returns the counts at this moment.
func (s *Server) Stats() Stats {
	return Stats{
		Accepted: s.counts.accepted.Load(), Bad: s.counts.bad.Load(), TooLarge: s.counts.tooLarge.Load(),
		Overloaded: s.counts.overloaded.Load(), TimedOut: s.counts.timedOut.Load(), Failed: s.counts.failed.Load(),
		HeldBytes:       s.budget.held.Load(),
		OpenConnections: int(s.connections.open.Load()), RefusedConnections: s.connections.refused.Load(),
	}
}

// Serve receives requests until Shutdown, and then returns nil; it returns
// earlier, with an error, when a listener fails. It is called once.
func (s *Server) Serve() error {
	errs := make(chan error, 2)
	running := 0
	if s.grpc != nil {
		running++
		go func() { errs <- wrap("OTLP/gRPC", s.grpc.Serve(s.grpcListener), unary.ErrClosed) }()
	}
	if s.http != nil {
		running++
		go func() { errs <- wrap("OTLP/HTTP", s.serveHTTP(), http.ErrServerClosed) }()
	}
	var first error
	for range running {
		if err := <-errs; err != nil && first == nil {
			first = err
			s.close() // and so the other one ends, too
		}
	}
	return first
}

func (s *Server) serveHTTP() error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(s.httpListener, "", "") // the configuration has the certificate
	}
	return s.http.Serve(s.httpListener)
}

func wrap(protocol string, err, ended error) error {
	if err == nil || errors.Is(err, ended) {
		return nil
	}
	return fmt.Errorf("collector: cannot go on receiving %s: %w", protocol, err)
}

// Shutdown stops listening, and returns when the requests under way are answered.
// When ctx ends first, it cuts them off and returns the context's error; their
// clients have no acknowledgement then, and will send again. It is safe to call it
// more than once, and without Serve.
func (s *Server) Shutdown(ctx context.Context) error {
	var stopping sync.WaitGroup
	var grpcErr, httpErr error
	if s.grpc != nil {
		stopping.Go(func() { grpcErr = s.grpc.Shutdown(ctx) })
	}
	if s.http != nil {
		stopping.Go(func() {
			if httpErr = s.http.Shutdown(ctx); httpErr != nil {
				s.http.Close()
			}
		})
	}
	stopping.Wait()
	s.cancel()
	// A server that never served does not know its listener.
	s.closeListeners()
	return cmp.Or(grpcErr, httpErr)
}

func (s *Server) close() {
	if s.grpc != nil {
		s.grpc.Close()
	}
	if s.http != nil {
		s.http.Close()
	}
	s.cancel()
	s.closeListeners()
}

func (s *Server) closeListeners() {
	for _, l := range []net.Listener{s.grpcListener, s.httpListener} {
		if l != nil {
			l.Close() // twice is harmless
		}
	}
}
