package load

import (
	"math/bits"
	"time"
)

// histogram counts durations by their size, each within 1/16 of it.
type histogram struct {
	buckets [64 * 16]uint64
	total   uint64
	most    time.Duration
}

func (h *histogram) record(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucket(uint64(d))]++
	h.total++
	h.most = max(h.most, d)
}

// bucket is exact below 16; above it goes by the four bits behind the first.
func bucket(n uint64) int {
	if n < 16 {
		return int(n)
	}
	exp := bits.Len64(n) - 5
	return exp<<4 + int(n>>exp)
}

// upper is the end of a bucket.
func upper(b int) time.Duration {
	if b < 16 {
		return time.Duration(b)
	}
	exp := b>>4 - 1
	return time.Duration((uint64(b&15)+17)<<exp - 1)
}

func (h *histogram) add(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.total += o.total
	h.most = max(h.most, o.most)
}

// quantile returns what a share of q did not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.total)) + 1
	var seen uint64
	for b, n := range h.buckets {
		if seen += n; seen >= rank {
			return min(upper(b), h.most)
		}
	}
	return h.most
}
