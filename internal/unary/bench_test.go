package unary

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// counter is a handler that only counts bytes, and allocates nothing.
type counter struct {
	call  *Call
	bytes int
}

var counters = sync.Pool{New: func() any { return new(counter) }}

func (c *counter) Data(p []byte) *Status { c.bytes += len(p); return nil }
func (c *counter) Keep() *Status         { return nil }
func (c *counter) Abort(Cause) *Status   { return late }
func (c *counter) End() {
	call := c.call
	*c = counter{}
	counters.Put(c)
	call.Reply(nil)
}

// BenchmarkExchange has a connection make 100 calls, from its dial to its last answer. The client's
// bytes are made before, in frames of 16 KiB as gRPC's clients make them, and it only counts
// the bytes of its answers: what is measured is the server, and the loopback.
func BenchmarkExchange(b *testing.B) {
	const calls = 100
	for _, size := range []int{46_000, 4600} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			cfg := config(handler(func(call *Call, _ Header) (Body, *Status) {
				c := counters.Get().(*counter)
				c.call = call
				return c, nil
			}))
			_, address := start(b, cfg)
			w, content := newTalk(), make([]byte, size)
			for i := range uint32(calls) {
				w.open(1+2*i, "/a")
				for piece := range slices.Chunk(content, 16<<10) {
					w.data(1+2*i, false, string(piece))
				}
				w.data(1+2*i, true, "")
			}
			most := make([]byte, 1<<20)
			answer := len(appendSuccess(nil, 1))
			exchange := func() {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				go conn.Write(w.Bytes())
				if _, err := io.ReadAtLeast(conn, most, greetingBytes+size*calls/(connWindow/2)*13+calls*answer); err != nil {
					b.Fatal(err)
				}
			}
			exchange()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.SetBytes(int64(calls * size))
			for b.Loop() {
				exchange()
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N*calls), "allocs/call")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*calls), "ns/call")
		})
	}
}

// greetingBytes is how long the greeting of the server is, with its SETTINGS ACK.
const greetingBytes = 4*6 + 4 + 3*9
