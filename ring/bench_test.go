package ring

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// event is 96 bytes without pointers, about a span's fixed fields.
type event struct{ words [12]uint64 }

// BenchmarkPush is one value pushed singly with nobody in the way: producer and
// consumer are one goroutine, and the consumer removes every 1024 values with
// one release, so that what is measured is Push and a 1024th of a drain. The value
// is written into the ring anew each time, and changes. PushPop pays the
// consumer's side in full as well: one Pop for each Push.
func BenchmarkPush(b *testing.B) {
	b.Run("ring", func(b *testing.B) {
		p, c := NewSPSC[event](4096)
		var v event
		for i := range b.N {
			v.words[0] = uint64(i)
			if !p.Push(v) {
				b.Fatal("full")
			}
			if i%1024 == 1023 {
				c.ConsumeUpTo(1024, func([]event) {})
			}
		}
	})
	b.Run("channel", func(b *testing.B) {
		c := make(chan event, 4096)
		var v event
		for i := range b.N {
			v.words[0] = uint64(i)
			c <- v
			if i%1024 == 1023 {
				for range 1024 {
					<-c
				}
			}
		}
	})
}

// BenchmarkPushPop is a pair of Push and Pop; see BenchmarkPush.
func BenchmarkPushPop(b *testing.B) {
	b.Run("ring", func(b *testing.B) {
		p, c := NewSPSC[event](4096)
		var v event
		for i := range b.N {
			v.words[0] = uint64(i)
			p.Push(v)
			if _, ok := c.Pop(); !ok {
				b.Fatal("empty")
			}
		}
	})
	b.Run("channel", func(b *testing.B) {
		c := make(chan event, 4096)
		var v event
		for i := range b.N {
			v.words[0] = uint64(i)
			c <- v
			<-c
		}
	})
}

// BenchmarkBytes is one record reserved, its first and last words written,
// and committed, with every 64 of them read and released by the same goroutine.
func BenchmarkBytes(b *testing.B) {
	for _, n := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, c := NewBytes(1 << 16)
			for i := range b.N {
				record := p.Reserve(n)
				record[0], record[n-1] = byte(i), byte(i)
				if !p.Commit(n, uint32(i)) {
					b.Fatal("refused")
				}
				if i%64 == 63 {
					for {
						if _, _, ok := c.Next(); !ok {
							break
						}
					}
					c.Release()
				}
			}
		})
	}
}

// BenchmarkBatch moves u32 in batches of 32768 from each of n producers to a
// consumer of its own, all on goroutines of their own. The producer
// copies every value from a slice of its own into the ring, the consumer
// looks at one value of each cache line, which brings all of them to its
// core. Whoever finds no room or no values yields.
func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("%dx%d", n, n), func(b *testing.B) {
			const batch = 32768
			each := b.N/n/batch + 1
			var all sync.WaitGroup
			for range n {
				p, c := NewSPSC[uint32](2 * batch)
				all.Go(func() {
					source := make([]uint32, batch)
					for i := range source {
						source[i] = uint32(i)
					}
					for left := each * batch; left > 0; {
						slots := p.Reserve(min(left, batch))
						if slots == nil {
							runtime.Gosched()
							continue
						}
						left -= copy(slots, source)
						p.Commit(len(slots))
					}
					p.Close()
				})
				all.Go(func() {
					sum := uint32(0)
					for !c.Done() {
						values := c.Read(batch)
						if values == nil {
							runtime.Gosched()
							continue
						}
						for i := 0; i < len(values); i += 16 {
							sum += values[i]
						}
						c.Release(len(values))
					}
					runtime.KeepAlive(sum)
				})
			}
			all.Wait()
			b.ReportMetric(float64(n*each*batch)/b.Elapsed().Seconds()/1e6, "M/s")
		})
	}
}

// BenchmarkProducers pushes 96-byte values singly from n producers into one consumer,
// all on goroutines of their own, over rings of 4096 (the channel of the same
// total). The consumer takes what there is as slices and looks at
// every value's first word. Whoever finds no room or no values yields.
func BenchmarkProducers(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("ring/%d", n), func(b *testing.B) {
			m := NewMPSC[event](Config{Capacity: 4096, MaxProducers: n})
			each := b.N/n + 1
			var all sync.WaitGroup
			for range n {
				p, err := m.Register()
				if err != nil {
					b.Fatal(err)
				}
				all.Go(func() {
					var v event
					for i := range each {
						v.words[0] = uint64(i)
						for !p.Push(v) {
							runtime.Gosched()
						}
					}
					p.Close()
				})
			}
			sum := uint64(0)
			for received := 0; received < n*each; {
				got := m.ConsumeUpTo(1<<20, func(_ int, batch []event) {
					for i := range batch {
						sum += batch[i].words[0]
					}
				})
				if received += got; got == 0 {
					runtime.Gosched()
				}
			}
			all.Wait()
			runtime.KeepAlive(sum)
			b.ReportMetric(float64(n*each)/b.Elapsed().Seconds()/1e6, "M/s")
		})
	}
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("channel/%d", n), func(b *testing.B) {
			c := make(chan event, 4096*n)
			each := b.N/n + 1
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					var v event
					for i := range each {
						v.words[0] = uint64(i)
						c <- v
					}
				})
			}
			sum := uint64(0)
			for range n * each {
				v := <-c
				sum += v.words[0]
			}
			all.Wait()
			runtime.KeepAlive(sum)
			b.ReportMetric(float64(n*each)/b.Elapsed().Seconds()/1e6, "M/s")
		})
	}
}

// BenchmarkPublish compares what Commit does to the tail's word with the store that
// would do without closing; see docs/design/ring.md.
func BenchmarkPublish(b *testing.B) {
	var word atomic.Uint64
	b.Run("swap", func(b *testing.B) {
		word.Store(0)
		for n := uint64(0); b.Loop(); n++ {
			word.CompareAndSwap(n, n+1)
		}
	})
	b.Run("store", func(b *testing.B) {
		for n := uint64(0); b.Loop(); n++ {
			word.Store(n)
		}
	})
}
