package collector

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// While clients of every bad kind do what they can, a good one has all its requests
// acknowledged, each at the first attempt.
func TestHostileClientsHarmNobodyElse(t *testing.T) {
	sink := &sink{}
	s := start(t, sink, func(c *Config) {
		c.MaxRequestBytes, c.MemoryLimit = 8<<20, 32<<20
		c.HeaderTimeout, c.BodyTimeout = 2*time.Second, time.Second
	})
	ctx, stop := context.WithCancel(t.Context())
	var hostile sync.WaitGroup
	again := func(clients int, attack func(ctx context.Context)) {
		for range clients {
			hostile.Go(func() {
				for ctx.Err() == nil {
					attack(ctx)
					time.Sleep(50 * time.Millisecond) // the good ones need a processor, too
				}
			})
		}
	}
	zeros := make([]byte, 16<<20)
	bombs := map[string][]byte{"gzip": compressed(t, "gzip", zeros), "zstd": compressed(t, "zstd", zeros)}
	header := "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
	say := func(addr net.Addr, then time.Duration, words ...string) func(context.Context) {
		return func(ctx context.Context) { dribble(ctx, addr, then, words...) }
	}
	http, rpc := s.HTTPAddr(), s.GRPCAddr()
	again(20, say(http, time.Second))                                           // idle
	again(20, say(rpc, time.Second))                                            // never greets
	again(10, say(http, 20*time.Millisecond, strings.Split(header, "")...))     // slow header
	again(20, say(http, time.Second, header+"Content-Length: 8000000\r\n\r\n")) // announces, and is silent
	again(10, say(http, 20*time.Millisecond, append([]string{header + "Content-Length: 8000000\r\n\r\n"}, strings.Split(header, "")...)...))
	again(4, func(ctx context.Context) { endless(ctx, http, header) })
	again(2, say(http, 0, header+"X: "+strings.Repeat("x", 200<<10)+"\r\n\r\n")) // oversized header
	again(2, say(http, 0, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))       // TLS, where there is none
	again(2, say(rpc, 0, "GET / HTTP/1.1\r\n\r\n"))                              // the wrong protocol
	for _, how := range []string{"gzip", "zstd"} {
		words := fmt.Sprintf("%sContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", header, how, len(bombs[how]), bombs[how])
		again(1, say(http, 0, words))
		again(1, say(http, 0, strings.Replace(words, "x-protobuf", "json", 1)))
	}
	again(2, say(http, 0, header+"Content-Length: 4\r\n\r\n\xff\xff\xff\xff"))
	again(2, func(ctx context.Context) { silentStreams(t, ctx, s, 40) })
	again(1, func(ctx context.Context) { largeMessages(t, ctx, s, 20, zeros[:8<<20]) })

	conn := dial(t, s)
	const requests = 20
	for i := range requests {
		if err := sendGRPC(conn, request(5)); err != nil {
			t.Errorf("gRPC, request %d: %v", i, err)
		}
		if err := send(t, s, "http", 5); err != nil {
			t.Errorf("HTTP, request %d: %v", i, err)
		}
		if held := s.Stats().HeldBytes; held > s.cfg.MemoryLimit {
			t.Errorf("%d bytes are held", held)
		}
		time.Sleep(10 * time.Millisecond) // so that the others get at it, too
	}
	stop()
	hostile.Wait()
	if n := sink.spans.Load(); n != 2*5*requests {
		t.Errorf("%d spans, want %d", n, 2*5*requests)
	}
	eventually(t, "bad clients of all kinds", func() bool {
		st := s.Stats()
		return st.TooLarge > 0 && st.Bad > 0 && st.TimedOut > 0
	})
	t.Logf("%+v", s.Stats())
}

// dribble says words with a pause after each, and goes when it is hung up on.
func dribble(ctx context.Context, addr net.Addr, pause time.Duration, words ...string) {
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	hungUp := make(chan struct{})
	go func() { defer close(hungUp); io.Copy(io.Discard, conn) }()
	for i := range max(1, len(words)) {
		if len(words) > 0 {
			if _, err := io.WriteString(conn, words[i]); err != nil {
				break
			}
		}
		select {
		case <-hungUp:
			return
		case <-time.After(pause):
		}
	}
	conn.Close()
	<-hungUp
}

// endless sends a body without an end.
func endless(ctx context.Context, addr net.Addr, header string) {
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	io.WriteString(conn, header+"Transfer-Encoding: chunked\r\n\r\n")
	chunk := append(append([]byte("10000\r\n"), bytes.Repeat([]byte{0}, 1<<16)...), "\r\n"...)
	for err == nil {
		_, err = conn.Write(chunk)
	}
}

// silentStreams opens requests of which nothing more comes.
func silentStreams(t *testing.T, ctx context.Context, s *Server, n int) {
	conn, err := grpc.NewClient(s.GRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for range n {
		conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, exportMethod, grpc.ForceCodecV2(rawClient{}))
	}
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Second):
	}
}

// largeMessages sends many of the largest at once, with and without compression.
func largeMessages(t *testing.T, ctx context.Context, s *Server, n int, message []byte) {
	conn, err := grpc.NewClient(s.GRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			options := []grpc.CallOption{grpc.ForceCodecV2(rawClient{})}
			if i%10 == 0 {
				options = append(options, grpc.UseCompressor("gzip"))
			}
			var reply []byte
			conn.Invoke(ctx, exportMethod, message, &reply, options...)
		})
	}
	all.Wait()
}
