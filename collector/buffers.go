package collector

import (
	"math/bits"
	"sync"
)

// buffers is where bodies are read into: pools of powers of two from 4 KiB to
// 4 MiB. What is smaller is cheaper to allocate, what is larger is not worth keeping.
// It is the process's, not a server's, like the garbage collector whose work it
// spares.
//
// It is gRPC's mem.BufferPool. gRPC's own pools clear every buffer that they give
// out, which was a quarter of the daemon's CPU in a sketch; these do not, since
// everything handed out is written over before it is read.
var buffers bufferPool

const (
	leastBufferBits = 12
	mostBufferBits  = 22
)

type bufferPool struct {
	classes [mostBufferBits - leastBufferBits + 1]sync.Pool // of *[]byte of exactly that capacity
}

// Get returns a buffer of that length, with anything in it.
func (p *bufferPool) Get(length int) *[]byte {
	class := max(bits.Len(uint(max(length, 1)-1)), leastBufferBits) - leastBufferBits
	if class >= len(p.classes) {
		b := make([]byte, length)
		return &b
	}
	if b, ok := p.classes[class].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<(class+leastBufferBits))
	return &b
}

// Put takes back a buffer of Get's, whole: of other capacities it keeps none.
func (p *bufferPool) Put(b *[]byte) {
	c := cap(*b)
	class := bits.Len(uint(c)) - 1 - leastBufferBits
	if class < 0 || class >= len(p.classes) || c != 1<<(class+leastBufferBits) {
		return
	}
	p.classes[class].Put(b)
}

// footprint is about what a piece of n bytes takes of memory.
func footprint(n int) int {
	switch {
	case n <= 1<<10: // gRPC takes no buffer of a pool for so little
		return n + 96
	case n > 1<<mostBufferBits:
		return n
	}
	return 1 << max(bits.Len(uint(n-1)), leastBufferBits)
}
