package ringtail

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkBorrow compares ways of getting a producer to a goroutine that has
// none; docs/design/shared-path.md draws the conclusion. Run with -cpu 1,2.
func BenchmarkBorrow(b *testing.B) {
	type slot struct {
		_    [64]byte
		held atomic.Bool
		used int
		_    [64]byte
	}
	b.Run("pool", func(b *testing.B) {
		pool := sync.Pool{New: func() any { return new(slot) }}
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				s := pool.Get().(*slot)
				s.used++
				pool.Put(s)
			}
		})
	})
	b.Run("table", func(b *testing.B) {
		table := make([]slot, 8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				i := rand.Uint64()
				for !table[i%8].held.CompareAndSwap(false, true) {
					i++
				}
				table[i%8].used++
				table[i%8].held.Store(false)
			}
		})
	})
	b.Run("mutex", func(b *testing.B) {
		var mu sync.Mutex
		used := 0
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				mu.Lock()
				used++
				mu.Unlock()
			}
		})
	})
}
