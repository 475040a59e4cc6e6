package main

import (
	"fmt"
	"math/bits"
	"runtime/metrics"
	"time"
)

// histogram counts durations by their size, each within 1/16 of it. One goroutine
// writes to it.
type histogram struct {
	buckets [64 * 16]uint64
	total   uint64
	most    float64 // ns
}

// record counts the mean of n things that took d together.
func (h *histogram) record(d time.Duration, n int) {
	ns := float64(d) / float64(n)
	h.buckets[bucket(uint64(ns))]++
	h.total++
	h.most = max(h.most, ns)
}

// bucket is exact below 16; above it goes by the four bits behind the first.
func bucket(ns uint64) int {
	if ns < 16 {
		return int(ns)
	}
	exp := bits.Len64(ns) - 5
	return exp<<4 + int(ns>>exp)
}

// upper is the end of a bucket.
func upper(b int) float64 {
	if b < 16 {
		return float64(b + 1)
	}
	exp := b>>4 - 1
	return float64((uint64(b&15) + 17) << exp)
}

func (h *histogram) add(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.total += o.total
	h.most = max(h.most, o.most)
}

// quantile returns what a share of q did not exceed, in nanoseconds.
func (h *histogram) quantile(q float64) float64 {
	rank := uint64(q*float64(h.total)) + 1
	var seen uint64
	for b, n := range h.buckets {
		if seen += n; seen >= rank {
			return min(upper(b), h.most)
		}
	}
	return h.most
}

// String prints the percentiles.
func (h *histogram) String() string {
	if h.total == 0 {
		return "nothing was measured"
	}
	return fmt.Sprintf("p50 %s · p90 %s · p99 %s · p99.9 %s · max %s", nanos(h.quantile(0.5)), nanos(h.quantile(0.9)),
		nanos(h.quantile(0.99)), nanos(h.quantile(0.999)), nanos(h.most))
}

func nanos(ns float64) string { return roundTime(time.Duration(ns)).String() }

// processMemory is what the Go runtime has from the operating system now, in bytes.
func processMemory() uint64 {
	m := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64() - m[1].Value.Uint64()
}
