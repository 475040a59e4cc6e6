package otlpgrpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// What a hostile receiver does to a request, after so many bytes of it.
const (
	take      = iota
	refuse    // answers that it does not want it
	thank     // answers that it has it
	reset     // resets the stream
	dismiss   // resets it with the code after which grpc-go sends it again by itself
	starve    // gives it no more window
	stall     // reads nothing at all for a while
	hangUp    // closes the connection
	behaviors // how many there are
)

// hostile is a receiver that does all of this, now to one request and now to another. What
// arrives, of any request, must be what was sent.
type hostile struct {
	t    *testing.T
	seed uint64

	mu     sync.Mutex
	thanks map[uint64]bool // requests that were answered without an error
	taken  int             // of these, those which had arrived
	seen   int             // requests
	did    [behaviors]int
}

// stream is a request on its way.
type stream struct {
	data   []byte
	act    int // one of behaviors
	after  int // bytes
	acted  bool
	closed bool
}

func (h *hostile) start() (addr string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.thanks = make(map[uint64]bool)
	done := make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		var serving sync.WaitGroup
		defer serving.Wait()
		for n := uint64(1); ; n++ {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10) // the sender is soon in the middle of a message
			serving.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				h.serve(conn, rand.New(rand.NewPCG(h.seed, n)))
			})
		}
	}()
	h.t.Cleanup(func() { stop(); lis.Close(); <-done })
	return lis.Addr().String()
}

func (h *hostile) serve(conn net.Conn, rng *rand.Rand) {
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	streams := map[uint32]*stream{}
	defer func() {
		for _, s := range streams {
			h.check(s)
		}
	}()
	_ = f.WriteSettings()
	_ = f.WriteWindowUpdate(0, 1<<30)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		id := frame.Header().StreamID
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = f.WritePing(true, frame.Data)
			}
		case *http2.HeadersFrame:
			streams[id] = &stream{act: h.nextAct(), after: rng.IntN(64 << 10)}
		case *http2.RSTStreamFrame:
			if s := streams[id]; s != nil {
				h.check(s)
				delete(streams, id)
			}
		case *http2.DataFrame:
			s := streams[id]
			if s == nil {
				break
			}
			s.data = append(s.data, frame.Data()...)
			if !h.act(f, id, s, frame.StreamEnded()) {
				return
			}
			if n := len(frame.Data()); n > 0 {
				_ = f.WriteWindowUpdate(0, uint32(n))
				if !s.closed && s.act != starve {
					_ = f.WriteWindowUpdate(id, uint32(n))
				}
			}
		}
	}
}

// nextAct goes through all that may be done, and takes every second request.
func (h *hostile) nextAct() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	if h.seen%2 == 0 {
		return take
	}
	return h.seen / 2 % behaviors
}

// act does to a request what it is time for. It is false when the connection is to be closed.
func (h *hostile) act(f *http2.Framer, id uint32, s *stream, ended bool) bool {
	if ended && !s.closed {
		s.closed = true
		h.check(s)
		h.thank(f, id, s, true)
		return true
	}
	if s.acted || s.closed || len(s.data) < max(s.after, 16) {
		return true
	}
	s.acted = true
	h.mu.Lock()
	h.did[s.act]++
	h.mu.Unlock()
	switch s.act {
	case refuse:
		h.answer(f, id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "3")
	case thank:
		h.thank(f, id, s, false)
	case reset:
		_ = f.WriteRSTStream(id, http2.ErrCodeInternal)
	case dismiss:
		_ = f.WriteRSTStream(id, http2.ErrCodeRefusedStream)
	case stall:
		time.Sleep(60 * time.Millisecond)
	case hangUp:
		return false
	}
	s.closed = s.act == refuse || s.act == thank || s.act == reset || s.act == dismiss
	return true
}

func (h *hostile) thank(f *http2.Framer, id uint32, s *stream, arrived bool) {
	h.mu.Lock()
	h.thanks[binary.BigEndian.Uint64(s.data[5:])] = true
	if arrived {
		h.taken++
	}
	h.mu.Unlock()
	h.answer(f, id, false, ":status", "200", "content-type", "application/grpc")
	_ = f.WriteData(id, false, make([]byte, 5))
	h.answer(f, id, true, "grpc-status", "0")
}

func (h *hostile) answer(f *http2.Framer, id uint32, end bool, fields ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0) // each connection would need an encoder else
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
}

// check compares what has arrived of a request with what was sent.
func (h *hostile) check(s *stream) {
	const header = 5 // of a gRPC message
	if len(s.data) < header+8 {
		return
	}
	message := s.data[header:]
	number := binary.BigEndian.Uint64(message)
	for i, b := range message[8:] {
		if b != pattern(number, 8+i) {
			h.t.Errorf("request %d: byte %d of %d that arrived is %#x, want %#x", number, 8+i, len(message), b, pattern(number, 8+i))
			return
		}
	}
}

func pattern(number uint64, i int) byte { return byte(number*131 + uint64(i)*7 + uint64(i>>8)) }

// fill lays a request into memory, in pieces of all sizes.
func fill(memory []byte, number uint64, rng *rand.Rand) (pieces [][]byte) {
	memory = memory[:16+rng.IntN(len(memory)-16)]
	binary.BigEndian.PutUint64(memory, number)
	for i := range memory[8:] {
		memory[8+i] = pattern(number, 8+i)
	}
	for most := 1 << (4 + rng.IntN(14)); len(memory) > 0; {
		n := min(1+rng.IntN(most), len(memory))
		pieces = append(pieces, memory[:n:n])
		memory = memory[n:]
	}
	return pieces
}

// Several goroutines export requests from memory that each of them uses again and again, as
// long as it is not kept. The race detector sees whoever reads it too late, and the receiver
// sees what is not the request.
func TestHostileReceiver(t *testing.T) {
	otlptest.NoLeaks(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := &hostile{t: t, seed: seed}
	addr := h.start()
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
		}
		return conn, err
	}
	e := newTestExporter(t, addr, WithInsecure(), WithTimeout(50*time.Millisecond), WithMaxRequestBytes(1<<30),
		WithDialOption(grpc.WithContextDialer(dial), grpc.WithWriteBufferSize(64<<10)), WithLogger(slog.New(slog.DiscardHandler)),
		WithRetry(export.RetryConfig{InitialInterval: time.Millisecond, MaxInterval: 2 * time.Millisecond, MaxAttempts: 3}))
	var workers sync.WaitGroup
	var number atomic.Uint64
	var kept, returned atomic.Int64
	for g := range uint64(5) {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1000+g))
			memory := make([]byte, 400<<10)
			for range 50 {
				n := number.Add(1)
				b := ringtail.JoinBatch(fill(memory, n, rng), 1)
				err := e.Export(context.Background(), b)
				h.mu.Lock()
				if err == nil && !h.thanks[n] {
					t.Errorf("request %d: delivered, though nobody has said so", n)
				}
				h.mu.Unlock()
				if b.Kept() {
					kept.Add(1)
					memory = make([]byte, len(memory))
					continue
				}
				returned.Add(1)
				for i := range memory {
					memory[i] = 0xdb
				}
			}
		})
	}
	workers.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	t.Logf("%d kept, %d not, %d arrived, %v", kept.Load(), returned.Load(), h.taken, h.did)
	for act, n := range h.did {
		if n == 0 {
			t.Errorf("behavior %d was not met: the test has shown nothing about it", act)
		}
	}
	if kept.Load() == 0 || returned.Load() == 0 || h.taken == 0 {
		t.Error("the test has shown nothing")
	}
}
