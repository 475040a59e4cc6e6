package collector

import (
	"fmt"
	"sync/atomic"
)

// budget is what the receivers may hold in bytes, all together. It is taken
// before the work that needs it, so that what cannot be kept is not even read.
type budget struct {
	limit   int64
	reserve int64        // of the limit: only for requests that are no larger than smallRequest
	held    atomic.Int64 // 0 <= held <= limit
}

// smallRequest is up to where a request may use the whole budget. What large requests
// cannot take keeps the door open for everybody else while a few clients send slowly
// what they announced, or do not send it at all.
const smallRequest = 1 << 20

// newBudget returns a budget whose reserve leaves room for one request of the largest size, as it
// came and unpacked. With a limit of just twice that, what is beside its bytes (standingBytes, chunks
// that are not full) makes one too large that does not shrink when it is compressed.
func newBudget(limit int64, largest int) *budget {
	return &budget{limit: limit, reserve: max(min(limit/4, limit-2*int64(largest)), 0)}
}

// take takes n bytes for a request that has some already, or none and says false. Whoever
// asks for more than is left does not keep smaller ones from getting it.
func (b *budget) take(n, has int) bool {
	limit := b.limitFor(has + n)
	for {
		held := b.held.Load()
		if held+int64(n) > limit {
			return false
		}
		if b.held.CompareAndSwap(held, held+int64(n)) {
			return true
		}
	}
}

// refusal says why a request that takes so many bytes, all in all, got none: for now, or, if
// there is no room for it when it is the only one, for good. To come back would not help it.
func (b *budget) refusal(request int) error {
	if most := b.limitFor(request); int64(request) > most {
		return fmt.Errorf("%w: it takes %d bytes of memory while it is received and unpacked, of at most %d (--memory-limit)", errTooLarge, request, most)
	}
	return errOverBudget
}

// limitFor is how much may be held when a request of so many bytes is among it.
func (b *budget) limitFor(request int) int64 {
	if request > smallRequest {
		return b.limit - b.reserve
	}
	return b.limit
}

// fits says whether a request of n bytes could be taken at this moment, and takes none.
func (b *budget) fits(n int) bool { return b.held.Load()+int64(n) <= b.limitFor(n) }

func (b *budget) give(n int) { b.held.Add(-int64(n)) }
