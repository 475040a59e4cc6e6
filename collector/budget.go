package collector

import "sync/atomic"

// budget is what the receivers may hold in bytes, all together. It is taken
// before the work that needs it, so that what cannot be kept is not even read.
type budget struct {
	limit int64
	held  atomic.Int64 // 0 <= held <= limit
}

// take takes n bytes, or none and says false. Whoever asks for more than is left
// does not keep smaller ones from getting it.
func (b *budget) take(n int) bool {
	for {
		held := b.held.Load()
		if held+int64(n) > b.limit {
			return false
		}
		if b.held.CompareAndSwap(held, held+int64(n)) {
			return true
		}
	}
}

// fits says whether n bytes are left at this moment, and takes none.
func (b *budget) fits(n int) bool { return b.held.Load()+int64(n) <= b.limit }

func (b *budget) give(n int) { b.held.Add(-int64(n)) }
