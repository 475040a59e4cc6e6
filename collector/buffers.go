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
// What is handed out is not cleared, since it is written over before it is read: that was a
// quarter of the daemon's CPU in a sketch with grpc-go's own pools.
var buffers bufferPool

const (
	leastBufferBits = 12
	mostBufferBits  = 22
)

type bufferPool struct {
	classes [mostBufferBits - leastBufferBits + 1]sync.Pool // of *[]byte of exactly that capacity
}

// sizeFor is the capacity of the buffer that Get returns.
func (p *bufferPool) sizeFor(length int) int {
	if length > 1<<mostBufferBits {
		return length
	}
	return 1 << max(bits.Len(uint(max(length, 1)-1)), leastBufferBits)
}

// Get returns a buffer of that length, with anything in it.
func (p *bufferPool) Get(length int) *[]byte {
	size := p.sizeFor(length)
	if length <= 1<<mostBufferBits {
		if b, ok := p.classes[bits.Len(uint(size))-1-leastBufferBits].Get().(*[]byte); ok {
			*b = (*b)[:length]
			return b
		}
	}
	b := make([]byte, length, size)
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
