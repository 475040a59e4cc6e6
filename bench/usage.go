package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

// What the kernel and the Go runtime say of this process.

// cpuTime returns the processor time of this process, all threads, in ns.
func cpuTime() (user, system int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no way to fail
	}
	return u.Utime.Nano(), u.Stime.Nano()
}

// heap returns the bytes of live objects: those left after a collection.
func heap() uint64 {
	// What a sync.Pool holds survives one collection, and the next one.
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory() // collects too
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// residentMiB returns a line of /proc/self/status, VmRSS or VmHWM, in MiB; 0 where there is none.
func residentMiB(key string) float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range bytes.Lines(status) {
		var kib float64
		if n, _ := fmt.Sscanf(string(line), key+": %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}

// pauses are the garbage collector's stops of the world since a moment.
type pauses struct{ since metrics.Float64Histogram }

const pauseMetric = "/sched/pauses/total/gc:seconds"

func readPauses() metrics.Float64Histogram {
	s := []metrics.Sample{{Name: pauseMetric}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	return metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: h.Buckets}
}

func watchPauses() pauses { return pauses{readPauses()} }

// addTo adds median, 99th percentile and maximum, each the upper bound of the
// histogram's bucket that it lies in, and their number.
func (p pauses) addTo(m Metrics) {
	now := readPauses()
	var total uint64
	for i := range now.Counts {
		now.Counts[i] -= p.since.Counts[i]
		total += now.Counts[i]
	}
	m["pauses"] = float64(total)
	m["pause p50 µs"] = bound(&now, total, 0.50)
	m["pause p99 µs"] = bound(&now, total, 0.99)
	m["pause max µs"] = bound(&now, total, 1)
}

func bound(h *metrics.Float64Histogram, total uint64, q float64) float64 {
	rank, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
	for i, n := range h.Counts {
		if seen += n; n > 0 && seen >= rank {
			upper := h.Buckets[i+1]
			if math.IsInf(upper, 1) {
				upper = h.Buckets[i]
			}
			return upper * float64(time.Second/time.Microsecond)
		}
	}
	return 0
}

const mib = 1 << 20
