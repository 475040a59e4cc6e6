// Package collector is the daemon: it receives OTLP from other processes and
// hands it on.
//
//	OTLP/gRPC ┐
//	          ├▶ admission ──▶ read, unpack ──▶ Sink (validates, copies, queues)
//	OTLP/HTTP ┘  (byte budget)
//
// A request stays the bytes that it came as: nothing here builds an object for a
// span. What becomes of the bytes is the [Sink]'s business, so that a segment
// log can take the place of the buffer in front of today's exporters without a change
// to the receivers.
//
// Files: server.go, who listens and who stops; receiver_grpc.go and
// receiver_http.go, one a protocol; budget.go, admission; buffers.go and
// compression.go, what bodies are read into and through; overload.go, what
// clients are told when there is no room.
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

	"google.golang.org/grpc"
)

// A Sink takes what the receivers have received: one encoded
// ExportTraceServiceRequest a call. [ringtail.Collector] is one.
//
// It is called by many goroutines at once, must not block, and must not keep
// request after it returns. A nil error is an acknowledgement: the client
// forgets its spans. An [*otlp.SyntaxError] says that the request cannot be read;
// the client is told what is wrong and not to send it again. [ringtail.ErrFull]
// and [ringtail.ErrClosed] say that there is no room, or no more; the client is told
// to come back. Any other error is answered as an internal one.
type Sink interface {
	TrySubmitRequest(request []byte) (spans int, err error)
}

// Config says where to listen and how much to take on. [DefaultConfig] has
// the values that this documentation calls default.
type Config struct {
	// GRPCAddr and HTTPAddr are what to listen on, HOST:PORT; port 0 picks a free
	// one. Empty: that protocol is not served, and one of the two must be. Default
	// 127.0.0.1:4317 and 127.0.0.1:4318.
	GRPCAddr, HTTPAddr string

	// MaxRequestBytes bounds one request, as it is sent and again as it is after
	// decompression. Larger ones are refused, not to be sent again. Default
	// 64 MiB, the limit of the OTLP specification.
	MaxRequestBytes int

	// MemoryLimit bounds the bytes of requests that are being received. It is
	// taken as a body comes, and given back when the sink has the request.
	// Beyond it clients are told to come back. At least MaxRequestBytes. Default
	// 256 MiB. What the sink queues is bounded by the sink.
	MemoryLimit int64

	// HeaderTimeout bounds the time that a client may take to connect and to send
	// a request's header, BodyTimeout what it may take for the rest. Default 10 s and 30 s.
	HeaderTimeout, BodyTimeout time.Duration

	// RetryDelay is how long a client that is turned away is asked to stay away.
	// Default 1 s. HTTP rounds it up to seconds.
	RetryDelay time.Duration
}

// DefaultConfig returns the configuration of a daemon on its own machine.
func DefaultConfig() Config {
	return Config{
		GRPCAddr: "127.0.0.1:4317", HTTPAddr: "127.0.0.1:4318",
		MaxRequestBytes: 64 << 20, MemoryLimit: 256 << 20,
		HeaderTimeout: 10 * time.Second, BodyTimeout: 30 * time.Second,
		RetryDelay: time.Second,
	}
}

func (c *Config) validate() error {
	switch {
	case c.GRPCAddr == "" && c.HTTPAddr == "":
		return errors.New("collector: GRPCAddr and HTTPAddr are both empty: nothing to listen on")
	case c.MaxRequestBytes < 1<<10 || c.MaxRequestBytes > 1<<30:
		return fmt.Errorf("collector: MaxRequestBytes is %d: want 1 KiB to 1 GiB", c.MaxRequestBytes)
	case c.MemoryLimit < int64(c.MaxRequestBytes):
		return fmt.Errorf("collector: MemoryLimit is %d: want at least MaxRequestBytes, %d", c.MemoryLimit, c.MaxRequestBytes)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"HeaderTimeout", c.HeaderTimeout}, {"BodyTimeout", c.BodyTimeout}, {"RetryDelay", c.RetryDelay}} {
		if d.value < time.Millisecond || d.value > time.Hour {
			return fmt.Errorf("collector: %s is %v: want 1ms to 1h", d.name, d.value)
		}
	}
	return nil
}

// Server is the receiving side of the daemon. Its methods may be called from any
// goroutine. Once made it listens, so that clients can connect; they are served
// while Serve runs.
type Server struct {
	cfg    Config
	budget *budget
	counts counts

	grpc         *grpc.Server // nil when not served, like its listener
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
	s := &Server{cfg: cfg, budget: &budget{limit: cfg.MemoryLimit}}
	var err error
	if cfg.GRPCAddr != "" {
		if s.grpcListener, err = net.Listen("tcp", cfg.GRPCAddr); err != nil {
			return nil, fmt.Errorf("collector: cannot listen for OTLP/gRPC on %s: %w", cfg.GRPCAddr, err)
		}
	}
	if cfg.HTTPAddr != "" {
		if s.httpListener, err = net.Listen("tcp", cfg.HTTPAddr); err != nil {
			if s.grpcListener != nil {
				s.grpcListener.Close()
			}
			return nil, fmt.Errorf("collector: cannot listen for OTLP/HTTP on %s: %w", cfg.HTTPAddr, err)
		}
	}
	if s.grpcListener != nil {
		s.grpc = newGRPCServer(s, sink) // which starts goroutines: from here on nothing fails
	}
	if s.httpListener != nil {
		s.http = newHTTPServer(s, sink)
	}
	return s, nil
}

// GRPCAddr returns the address that OTLP/gRPC is served on, nil if it is not.
func (s *Server) GRPCAddr() net.Addr { return addr(s.grpcListener) }

// HTTPAddr returns the address that OTLP/HTTP is served on, nil if it is not.
func (s *Server) HTTPAddr() net.Addr { return addr(s.httpListener) }

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
		HeldBytes: s.budget.held.Load(),
	}
}

// Serve receives requests until Shutdown, and then returns nil; it returns
// earlier, with an error, when a listener fails. It is called once.
func (s *Server) Serve() error {
	errs := make(chan error, 2)
	running := 0
	if s.grpc != nil {
		running++
		go func() { errs <- wrap("OTLP/gRPC", s.grpc.Serve(s.grpcListener), grpc.ErrServerStopped) }()
	}
	if s.http != nil {
		running++
		go func() { errs <- wrap("OTLP/HTTP", s.http.Serve(s.httpListener), http.ErrServerClosed) }()
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
		stopping.Go(func() { grpcErr = stopGRPC(ctx, s.grpc) })
	}
	if s.http != nil {
		stopping.Go(func() {
			if httpErr = s.http.Shutdown(ctx); httpErr != nil {
				s.http.Close()
			}
		})
	}
	stopping.Wait()
	// A server that never served does not know its listener.
	s.closeListeners()
	return cmp.Or(grpcErr, httpErr)
}

func stopGRPC(ctx context.Context, g *grpc.Server) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		g.GracefulStop()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		// GracefulStop goes on waiting for the handlers, which the sink may hold up.
		g.Stop()
		return ctx.Err()
	}
}

func (s *Server) close() {
	if s.grpc != nil {
		s.grpc.Stop()
	}
	if s.http != nil {
		s.http.Close()
	}
	s.closeListeners()
}

func (s *Server) closeListeners() {
	for _, l := range []net.Listener{s.grpcListener, s.httpListener} {
		if l != nil {
			l.Close() // twice is harmless
		}
	}
}
