package ringtail

import (
	"context"
	"testing"
)

type discard struct{}

func (discard) Export(context.Context, *Batch) error { return nil }
func (discard) Shutdown(context.Context) error       { return nil }

func BenchmarkTrySubmit(b *testing.B) {
	for _, n := range []int{0, 5} {
		name := map[int]string{0: "bare", 5: "attributes=5"}[n]
		b.Run("producer/"+name, func(b *testing.B) {
			c, err := New(discard{}, HighThroughput(), quiet)
			if err != nil {
				b.Fatal(err)
			}
			p, _ := c.Register()
			s := benchSpan(n)
			b.ReportAllocs()
			full := 0
			for b.Loop() {
				for p.TrySubmit(s) != nil {
					full++
				}
			}
			b.ReportMetric(float64(full)/float64(b.N), "full/op")
			c.Shutdown(context.Background())
		})
		b.Run("shared/"+name, func(b *testing.B) {
			c, _ := New(discard{}, HighThroughput(), quiet)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				s := benchSpan(n)
				for pb.Next() {
					for c.TrySubmit(s) != nil {
					}
				}
			})
			c.Shutdown(context.Background())
			b.Log(c.Stats())
		})
	}
}
