package unary

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// plain is a codec of messages that are bytes.
type plain struct{}

func (plain) Name() string                  { return "plain" }
func (plain) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (plain) Unmarshal(p []byte, v any) error {
	*v.(*[]byte) = p
	return nil
}

func grpcClient(t *testing.T, address string, secure *tls.Config) *grpc.ClientConn {
	t.Helper()
	with := insecure.NewCredentials()
	if secure != nil {
		with = credentials.NewTLS(secure)
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(with),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond}, MinConnectTimeout: patience}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(plain{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func invoke(ctx context.Context, conn *grpc.ClientConn, path string, message []byte) error {
	var answer []byte
	err := conn.Invoke(ctx, path, message, &answer)
	if err == nil && len(answer) > 0 {
		return fmt.Errorf("an answer of %d bytes", len(answer))
	}
	return err
}

func prefixed(message []byte) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
}

func TestGRPCClient(t *testing.T) {
	leaks(t)
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS=%v", secured), func(t *testing.T) {
			x := newExchange()
			cfg := config(x)
			var theirs *tls.Config
			if secured {
				cfg.TLS, theirs = secure(t)
			}
			s, address := start(t, cfg)
			conn := grpcClient(t, address, theirs)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()

			for _, n := range []int{0, 1, 1 << 10, Window - 5, Window, 3 << 20} {
				path, message := fmt.Sprint("/test/a", n), bytes.Repeat([]byte("0123456789abcdef"), n/16)
				if err := invoke(ctx, conn, path, message); err != nil {
					t.Fatal(path, err)
				}
				if x.took[path] != prefixed(message) {
					t.Errorf("%s took %d bytes", path, len(x.took[path]))
				}
			}
			for path, want := range map[string]struct {
				code codes.Code
				text string
			}{
				"/test/refuse": {codes.ResourceExhausted, "refused"},
				"/test/data":   {codes.ResourceExhausted, "refused"},
				"/test/fail":   {codes.InvalidArgument, "failed"},
			} {
				for _, n := range []int{1, 2 << 20} {
					got := status.Convert(invoke(ctx, conn, path, make([]byte, n)))
					if got.Code() != want.code || got.Message() != want.text {
						t.Errorf("%s, %d bytes: %v", path, n, got)
					}
				}
			}

			// Many more at once than may be.
			var all sync.WaitGroup
			for i := range 500 {
				all.Go(func() {
					if err := invoke(ctx, conn, fmt.Sprint("/test/many", i), make([]byte, 10*i)); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()

			// Calls that nobody waits for any more count until they are answered, and then no more.
			for range 2 * cfg.MaxCalls {
				short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
				if err := invoke(short, conn, "/test/later", nil); status.Code(err) != codes.DeadlineExceeded {
					t.Error(err)
				}
				cancel()
				x.answerAll()
			}
			if err := invoke(ctx, conn, "/test/last", nil); err != nil {
				t.Error(err)
			}
			conn.Close()
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			x.answerAll()
			x.check(t)
		})
	}
}

// A client whose server leaves goes on with the next one, and no call is lost.
func TestGRPCClientOfServersThatLeave(t *testing.T) {
	leaks(t)
	x := newExchange()
	cfg := config(x)
	s, address := start(t, cfg)
	conn := grpcClient(t, address, nil)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stop, stopped := context.WithCancel(ctx)
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for stop.Err() == nil {
				if err := conn.Invoke(ctx, "/test/a", make([]byte, 1000), new([]byte), grpc.WaitForReady(true)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		x.wait(t, 50)
		if err := s.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s = New(cfg)
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		defer func(s *Server) {
			s.Close()
			<-done
		}(s)
	}
	x.wait(t, 50)
	stopped()
	callers.Wait()
	conn.Close()
	x.check(t)
}

// wait waits for so many calls more.
func (x *exchange) wait(t *testing.T, n int) {
	t.Helper()
	ended := func() int {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.count["end"]
	}
	for until, end := ended()+n, time.Now().Add(patience); ended() < until; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no calls come")
		}
	}
}

func TestHTTPClients(t *testing.T) {
	leaks(t)
	x := newExchange()
	_, address := start(t, config(x))
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	for path, want := range map[string]string{
		"/a": "\x00\x00\x00\x00\x00, then 0 ", "/fail": ", at once 3 failed", "/refuse": ", at once 8 refused",
	} {
		message := strings.Repeat("x", 100_000)
		answer, err := client.Post("http://"+address+path, "application/grpc", strings.NewReader(message))
		if err != nil {
			t.Fatal(path, err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		got := string(body) + ", then " + answer.Trailer.Get("grpc-status") + " " + answer.Trailer.Get("grpc-message")
		if now := answer.Header.Get("grpc-status"); now != "" {
			got = string(body) + ", at once " + now + " " + answer.Header.Get("grpc-message")
		}
		if err != nil || got != want || answer.Header.Get("content-type") != "application/grpc" {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
		if path == "/a" && x.took["/a"] != message {
			t.Errorf("it took %d bytes", len(x.took["/a"]))
		}
	}
	answer, err := http.Get("http://" + address) // HTTP/1.1
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || string(text) != "HTTP/2 is spoken here\n" || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("%d %q %v", answer.StatusCode, text, err)
	}
	x.check(t)
}
