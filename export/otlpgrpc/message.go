package otlpgrpc

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"
)

// request is an encoded ExportTraceServiceRequest in pieces, perhaps compressed, that
// is sent without a copy.
//
// grpc-go may read a message after the call has returned: when the receiver answers, or
// the time is over, before all was written. It says when it has done with a buffer, by
// putting it into the buffer's pool; but what belongs to a stream or connection that
// has gone it may forget. So a request is the pool of its own pieces, and counts them.
// Those which do not come back may be read at any time, and nobody must write to their
// memory again. docs/design/otlp-export.md has what else was tried.
type request struct {
	pieces [][]byte
	// held is the number of pieces that grpc-go has, and 1 for the call and for each Marshal
	// under way. At 0 the memory is its owner's again, and stays so.
	held atomic.Int64
	free chan struct{} // closed at 0
}

func newRequest(pieces [][]byte) *request {
	r := &request{pieces: pieces, free: make(chan struct{})}
	r.held.Store(1)
	return r
}

// patience is how long to wait for pieces that are out when a call has returned. Those of
// a call that was answered early come back as soon as grpc-go's writer gets to know of it,
// unless it hangs in a system call.
const patience = 10 * time.Millisecond

// end ends the call, and reports whether nobody reads the pieces any more, nor will.
func (r *request) end() bool {
	r.release()
	select {
	case <-r.free:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-r.free:
		return true
	case <-timer.C:
		return false
	}
}

// hold takes the pieces until release. It is false when they are their owner's again:
// somebody's interceptor has gone on with a call that it had ended.
func (r *request) hold() bool {
	for {
		n := r.held.Load()
		if n == 0 {
			return false
		}
		if r.held.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (r *request) release() {
	if r.held.Add(-1) == 0 {
		close(r.free)
	}
}

var errEnded = errors.New("the call has ended")

// tiny pieces are copied, side by side: it costs no more than to count them. grpc-go does
// not put back buffers of up to 1 KiB.
const tiny = 2 << 10

// buffers returns the message as grpc-go takes it.
func (r *request) buffers() (mem.BufferSlice, error) {
	if !r.hold() {
		return nil, errEnded
	}
	defer r.release()
	data := make(mem.BufferSlice, 0, len(r.pieces))
	for i := 0; i < len(r.pieces); {
		if len(r.pieces[i]) > tiny {
			r.held.Add(1)
			data = append(data, mem.NewBuffer(&r.pieces[i], r))
			i++
			continue
		}
		size, first := 0, i
		for ; i < len(r.pieces) && len(r.pieces[i]) <= tiny; i++ {
			size += len(r.pieces[i])
		}
		buf := copies.Get(size)
		joined := (*buf)[:0]
		for _, piece := range r.pieces[first:i] {
			joined = append(joined, piece...)
		}
		data = append(data, mem.NewBuffer(buf, copies))
	}
	return data, nil
}

// Put takes a piece back, when the last of grpc-go's references to it is gone.
func (r *request) Put(*[]byte) { r.release() }

// Get makes request a [mem.BufferPool]. Nobody calls it.
func (r *request) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

// copies holds the memory of tiny pieces that grpc-go is about to write. Other than its
// own pools it does not clear a buffer that will be overwritten.
var copies mem.BufferPool = new(pool)

type pool struct{ buffers sync.Pool }

// maxPooled is the largest buffer that is kept: a request of the usual maximum.
const maxPooled = 4 << 20

func (p *pool) Get(n int) *[]byte {
	buf, ok := p.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	*buf = slices.Grow((*buf)[:0], n)[:n]
	return buf
}

func (p *pool) Put(buf *[]byte) {
	if cap(*buf) <= maxPooled {
		p.buffers.Put(buf)
	}
}
