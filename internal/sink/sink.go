// Package sink receives OTLP traces and counts them, as cheaply as can be: it shares its processors with
// what it measures. It knows the running numbers of internal/load, and tells exactly which spans are
// missing and which came twice. It can also be as bad a backend as a test wants: see [Answer].
//
//	gRPC ┐
//	     ├▶ Answer ──▶ walk the bytes ──▶ numbers.Tracker ──▶ Report
//	HTTP ┘  (delay, refuse, hang, …)  (two ids a span)
//
// Files: sink.go, who listens and who stops; take.go, what becomes of a request; answer.go, bad
// backends; grpc.go and http.go, one a protocol; buffers.go and compress.go, what requests are read
// into and through; report.go, what is told.
package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
)

// Config says where to listen, what to answer and when to stop.
type Config struct {
	// GRPC and HTTP are HOST:PORT or unix:PATH; port 0 picks a free one. Empty: that protocol is not
	// served, and one of the two must be.
	GRPC, HTTP string

	// Answers are for bad backends: the first that applies to a request is used, and when none does
	// it is taken.
	Answers []Answer

	// Validate checks every byte of a request, and refuses what is malformed. Without it, only
	// what the walk needs is looked at.
	Validate bool

	// Acked are files in which loads note what was acknowledged. They are read for each report.
	Acked []string

	Spans uint64        // stop when so many different spans have come; 0: do not
	Idle  time.Duration // stop when nothing has come for so long, after something had; 0: do not
}

// A Sink is a receiver. Its methods may be called from any goroutine.
type Sink struct {
	cfg      Config
	grpc     *grpc.Server // nil when not served, like its listener
	http     *http.Server
	grpcAddr net.Listener
	httpAddr net.Listener

	began    time.Time
	requests atomic.Uint64 // that have arrived
	enough   chan struct{} // closed when cfg.Spans have come

	mu      sync.Mutex // guards what follows
	counts  Counts
	tracker numbers.Tracker
	first   time.Time // request
	last    time.Time // request
}

// Listen returns a sink that listens; its clients are served while Run runs. Errors name the address.
func Listen(cfg Config) (*Sink, error) {
	if cfg.GRPC == "" && cfg.HTTP == "" {
		return nil, errors.New("nothing to listen on: give an address for gRPC or HTTP")
	}
	s := &Sink{began: time.Now(), cfg: cfg, enough: make(chan struct{})}
	var err error
	if cfg.GRPC != "" {
		if s.grpcAddr, err = listen(cfg.GRPC); err != nil {
			return nil, fmt.Errorf("cannot listen for OTLP/gRPC on %s: %w", cfg.GRPC, err)
		}
	}
	if cfg.HTTP != "" {
		if s.httpAddr, err = listen(cfg.HTTP); err != nil {
			if s.grpcAddr != nil {
				s.grpcAddr.Close()
			}
			return nil, fmt.Errorf("cannot listen for OTLP/HTTP on %s: %w", cfg.HTTP, err)
		}
	}
	return s, nil
}

// listen removes a socket that a process left behind which is no more.
func listen(addr string) (net.Listener, error) {
	path, unix := strings.CutPrefix(addr, "unix:")
	if !unix {
		return net.Listen("tcp", addr)
	}
	l, err := net.Listen("unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	if info, statErr := os.Lstat(path); statErr != nil || info.Mode()&os.ModeSocket == 0 {
		return nil, err
	}
	conn, dialErr := net.Dial("unix", path)
	if dialErr == nil {
		conn.Close()
	}
	if !errors.Is(dialErr, syscall.ECONNREFUSED) {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

// GRPCAddr and HTTPAddr return what is listened on; nil if that is nothing.
func (s *Sink) GRPCAddr() net.Addr { return addr(s.grpcAddr) }
func (s *Sink) HTTPAddr() net.Addr { return addr(s.httpAddr) }

func addr(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// stopGrace is how long requests under way have at the end. Those that are left hanging are cut off.
const stopGrace = 500 * time.Millisecond

// Run serves until ctx ends or there is enough, and returns the last report. It is called once.
func (s *Sink) Run(ctx context.Context) (Report, error) {
	var serving sync.WaitGroup
	failed := make(chan error, 2)
	if s.grpcAddr != nil {
		s.grpc = s.newGRPC()
		serving.Go(func() {
			if err := s.grpc.Serve(s.grpcAddr); err != nil {
				failed <- fmt.Errorf("cannot go on receiving OTLP/gRPC: %w", err)
			}
		})
	}
	if s.httpAddr != nil {
		s.http = s.newHTTP()
		serving.Go(func() {
			if err := s.http.Serve(s.httpAddr); err != http.ErrServerClosed {
				failed <- fmt.Errorf("cannot go on receiving OTLP/HTTP: %w", err)
			}
		})
	}
	err := s.wait(ctx, failed)
	s.stop()
	serving.Wait()
	report, reportErr := s.Report()
	return report, errors.Join(err, reportErr)
}

func (s *Sink) wait(ctx context.Context, failed <-chan error) error {
	var ticks <-chan time.Time
	if s.cfg.Idle > 0 {
		tick := time.NewTicker(max(s.cfg.Idle/10, time.Millisecond))
		defer tick.Stop()
		ticks = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.enough:
			return nil
		case err := <-failed:
			return err
		case now := <-ticks:
			s.mu.Lock()
			idle := !s.last.IsZero() && now.Sub(s.last) >= s.cfg.Idle
			s.mu.Unlock()
			if idle {
				return nil
			}
		}
	}
}

// stop answers the requests under way, as far as they are to be answered.
func (s *Sink) stop() {
	var stopping sync.WaitGroup
	if s.grpc != nil {
		stopping.Go(func() {
			cut := time.AfterFunc(stopGrace, s.grpc.Stop)
			s.grpc.GracefulStop()
			cut.Stop()
		})
	}
	if s.http != nil {
		stopping.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
			defer cancel()
			if s.http.Shutdown(ctx) != nil {
				s.http.Close()
			}
		})
	}
	stopping.Wait()
}
