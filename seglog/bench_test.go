package seglog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// The benchmarks lay frames of the daemon's size into the log: 46 300 bytes are 100 spans
// of 463 bytes, 4 630 are 10. Each appending benchmark has a cursor that reads and commits,
// as in the daemon, or the log would fill. What is beyond the floor (BenchmarkFloor: one
// copy of the bytes; one write and one sync of the same groups) is the log's own cost.

var frameSizes = []int{46_300, 4_630}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// benchmarkAppend has so many goroutines commit and wait; or, if there is none, one that has
// 8 frames in flight with CommitThen.
func benchmarkAppend(b *testing.B, l *Log, size, goroutines int) {
	c, err := l.OpenCursor("reader")
	if err != nil {
		b.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			r, err := c.Read(context.Background(), Want{})
			if err != nil {
				return
			}
			end := r.End
			r.Release()
			if err := c.Commit(end, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
	body := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	var wg sync.WaitGroup
	for g := range goroutines {
		n := b.N / goroutines
		if g < b.N%goroutines {
			n++
		}
		wg.Go(func() {
			for range n {
				for {
					r, err := l.Reserve(size)
					if err != nil {
						runtime.Gosched() // full: the reader comes
						continue
					}
					copy(r.Bytes(), body)
					if _, err := r.Commit(context.Background(), 1); err != nil {
						b.Error(err)
						return
					}
					break
				}
			}
		})
	}
	if goroutines == 0 {
		flight := make(chan struct{}, 8)
		done := func(_ Position, err error) {
			if err != nil {
				b.Error(err)
			}
			<-flight
		}
		for n := 0; n < b.N; {
			r, err := l.Reserve(size)
			if err != nil {
				runtime.Gosched()
				continue
			}
			n++
			flight <- struct{}{}
			copy(r.Bytes(), body)
			r.CommitThen(1, done)
		}
		for range cap(flight) {
			flight <- struct{}{}
		}
	}
	wg.Wait()
	b.StopTimer()
	reportCPU(b, cpu)
	if st := l.Stats(); st.Syncs > 0 {
		b.ReportMetric(float64(st.Frames)/float64(st.Syncs), "frames/sync")
	}
	l.Seal()
	reader.Wait()
	if err := l.Close(); err != nil {
		b.Error(err)
	}
}

// reportCPU reports what the operations took since start, on all processors and in the
// kernel.
func reportCPU(b *testing.B, start time.Duration) {
	b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
}

func BenchmarkAppendMemory(b *testing.B) {
	for _, size := range frameSizes {
		for _, g := range []int{0, 1, 8} {
			b.Run(fmt.Sprintf("bytes=%d/goroutines=%d", size, g), func(b *testing.B) {
				l, err := NewMemory(Options{Logger: quiet()})
				if err != nil {
					b.Fatal(err)
				}
				benchmarkAppend(b, l, size, g)
			})
		}
	}
}

func BenchmarkAppendDisk(b *testing.B) {
	for _, policy := range []SyncPolicy{SyncGroup, SyncNever} {
		for _, size := range frameSizes {
			for _, g := range []int{0, 1, 8} {
				b.Run(fmt.Sprintf("sync=%v/bytes=%d/goroutines=%d", policy, size, g), func(b *testing.B) {
					l, err := Open(b.TempDir(), Options{Logger: quiet(), Sync: policy})
					if err != nil {
						b.Fatal(err)
					}
					benchmarkAppend(b, l, size, g)
				})
			}
		}
	}
}

// BenchmarkRead drains a log of 256 MiB again and again: from memory, and from files that
// the operating system has in memory.
func BenchmarkRead(b *testing.B) {
	const size, frames = 46_300, 5_000
	drain := func(b *testing.B, l *Log) {
		body := make([]byte, size)
		for range frames {
			if _, err := l.Append(context.Background(), body, 1); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		cpu := cpuTime()
		defer func() { reportCPU(b, cpu) }()
		for n := 0; n < b.N; {
			c, err := l.OpenCursor("reader")
			if err != nil {
				b.Fatal(err)
			}
			for k := 0; n < b.N && k < frames; {
				r, err := c.Read(context.Background(), Want{})
				if err != nil {
					b.Fatal(err)
				}
				n, k = n+len(r.Frames), k+len(r.Frames)
				r.Release()
			}
			_ = c.Close()
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	}
	b.Run("memory", func(b *testing.B) {
		l, err := NewMemory(Options{Logger: quiet(), MaxBytes: 512 << 20})
		if err != nil {
			b.Fatal(err)
		}
		drain(b, l)
	})
	b.Run("disk", func(b *testing.B) {
		l, err := Open(b.TempDir(), Options{Logger: quiet(), Sync: SyncNever})
		if err != nil {
			b.Fatal(err)
		}
		drain(b, l)
	})
}

// BenchmarkFloor is what no log can go below.
func BenchmarkFloor(b *testing.B) {
	for _, size := range frameSizes {
		b.Run(fmt.Sprintf("copy/bytes=%d", size), func(b *testing.B) {
			// Through as much memory as a log's warm chunks take.
			from, to := make([]byte, size), make([]byte, 4<<20)
			b.SetBytes(int64(size))
			b.ResetTimer()
			cpu, at := cpuTime(), 0
			for range b.N {
				if at+size > len(to) {
					at = 0
				}
				at += copy(to[at:], from)
			}
			reportCPU(b, cpu)
		})
	}
	// A file that grows, through the cache of the operating system and past it as the log
	// writes; one that has its blocks; one that was written before, and one that is used
	// again and again.
	for _, file := range []string{"grows", "direct", "allocated", "written", "reused"} {
		for _, frames := range []int{1, 4, 8} {
			b.Run(fmt.Sprintf("write+sync/bytes=46300/file=%s/frames=%d", file, frames), func(b *testing.B) {
				benchmarkGroups(b, frames*46_300, frames, file)
			})
		}
	}
}

func benchmarkGroups(b *testing.B, size, frames int, file string) {
	const segment = 64 << 20
	dir, group := b.TempDir(), make([]byte, size)
	for i := range group {
		group[i] = byte(i)
	}
	var f *osFile
	var cpu time.Duration
	begin := func() {
		if f != nil && file == "reused" {
			return
		}
		b.StopTimer()
		cpu -= cpuTime()
		defer func() { cpu += cpuTime(); b.StartTimer() }()
		if f != nil {
			_ = f.Close()
		}
		made, err := os.Create(filepath.Join(dir, "floor"))
		if err == nil {
			f = &osFile{File: made}
			switch file {
			case "allocated":
				err = allocate(made, segment)
			case "written", "reused":
				_, err = made.WriteAt(make([]byte, segment), 0)
			}
		}
		if err == nil {
			err = f.Sync()
		}
		if errors.Is(err, errors.ErrUnsupported) {
			b.Skip(err)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(size / frames))
	b.ResetTimer()
	start := cpuTime()
	at := int64(segment)
	for n := 0; n < b.N; n += frames {
		if at+int64(size) > segment {
			begin()
			at = 0
		}
		var err error
		if file == "direct" {
			err = f.writeRows([][]byte{group}, at)
		} else {
			_, err = f.WriteAt(group, at)
		}
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		at += int64(size)
	}
	b.StopTimer()
	reportCPU(b, start+cpu)
	_ = f.Close()
}
