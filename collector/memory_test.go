package collector

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail/internal/unary"
)

// slowConn is slow with what it sends first, and so holds what it has sent of its requests
// while others come and go.
type slowConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *slowConn) Write(p []byte) (int, error) {
	if c.writes.Add(1) < 300 {
		time.Sleep(time.Millisecond)
	}
	return c.Conn.Write(p)
}

// takeAll is a sink that looks at nothing.
type takeAll struct{ bytes atomic.Int64 }

func (s *takeAll) Append(_ context.Context, pieces [][]byte) (int, error) {
	for _, p := range pieces {
		s.bytes.Add(int64(len(p)))
	}
	return 0, nil
}

// Two hundred requests of up to 64 MiB at once, over several connections, one of them
// slow: what is in memory stays near the limit, and who is turned away may come back.
func TestGRPCMemoryIsBounded(t *testing.T) {
	const connections, requests, limit = 5, 40, 128 << 20
	sink := &takeAll{}
	s := start(t, sink, func(c *Config) { c.MaxRequestBytes, c.MemoryLimit = 64<<20, limit })
	message := make([]byte, 64<<20)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base := m.HeapInuse

	stop, watched := make(chan struct{}), make(chan struct{})
	var mostHeld int64
	var mostHeap uint64
	go func() {
		defer close(watched)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			mostHeld = max(mostHeld, s.Stats().HeldBytes)
			runtime.ReadMemStats(&m)
			mostHeap = max(mostHeap, m.HeapInuse)
		}
	}()
	var taken, turnedAway atomic.Int64
	var clients sync.WaitGroup
	for c := range connections {
		conn, err := grpc.NewClient(s.GRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
				if c == 0 && err == nil {
					conn = &slowConn{Conn: conn}
				}
				return conn, err
			}))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for r := range requests {
			clients.Go(func() {
				n := 16<<20 + (r*48<<20)/requests
				switch err := invoke(conn, exportMethod, message[:n]); status.Code(err) {
				case codes.OK:
					taken.Add(1)
				case codes.Unavailable:
					turnedAway.Add(1)
				default:
					t.Error(err)
				}
			})
		}
	}
	clients.Wait()
	close(stop)
	<-watched
	t.Logf("%d requests taken, %d turned away; at most %d MiB held and %d MiB of heap beside", taken.Load(), turnedAway.Load(), mostHeld>>20, (mostHeap-base)>>20)
	if mostHeld > limit {
		t.Errorf("%d bytes were held", mostHeld)
	}
	// What has come of requests before they are read, unary.Window each, is beside the limit;
	// and the heap is up to twice what is alive.
	if most := uint64(2 * (limit + connections*requests*unary.Window)); mostHeap-base > most {
		t.Errorf("the heap grew by %d bytes, want at most %d", mostHeap-base, most)
	}
	if turnedAway.Load() == 0 || taken.Load() == 0 {
		t.Error("the test does not show what it should")
	}
}
