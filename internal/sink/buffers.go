package sink

import (
	"math/bits"
	"sync"
)

// pool holds buffers by the power of two that they have room for, up to 4 MiB. gRPC's own pools clear
// what they give out, which costs as much as reading it; nothing here is read before it is written.
type pool struct {
	bySize [23]sync.Pool // of *[]byte with room for exactly 1<<i
}

var buffers pool

// Get returns a buffer of n bytes, with anything in it.
func (p *pool) Get(n int) *[]byte {
	i := bits.Len(uint(max(n-1, 0)))
	if i >= len(p.bySize) {
		b := make([]byte, n)
		return &b
	}
	b, ok := p.bySize[i].Get().(*[]byte)
	if !ok {
		b = new([]byte)
		*b = make([]byte, 1<<i)
	}
	*b = (*b)[:n]
	return b
}

// Put takes back what Get gave.
func (p *pool) Put(b *[]byte) {
	i := bits.Len(uint(cap(*b))) - 1
	if i >= 0 && i < len(p.bySize) && cap(*b) == 1<<i {
		p.bySize[i].Put(b)
	}
}
