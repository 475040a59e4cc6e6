//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/internal/load"
)

// A badDisk is a disk that fails when it is told to. A sync that fails loses what was written to a
// segment since the last good one, as the kernel may.
type badDisk struct {
	watch
	mu     sync.Mutex
	fails  func(call uintptr, name string) syscall.Errno // nil: all goes well
	synced map[string]int64                              // by path of a segment: how much of it has been
	lost   int64                                         // bytes
}

func newBadDisk() *badDisk {
	d := &badDisk{synced: map[string]int64{}}
	for _, number := range []uintptr{syscall.SYS_FDATASYNC, syscall.SYS_FSYNC, syscall.SYS_PWRITE64, syscall.SYS_FTRUNCATE} {
		d.calls = append(d.calls, watched{number, anyArgument})
	}
	d.rule = d.judge
	return d
}

// fail has calls fail from now on as a function says, that gets the base name of the file. nil: they
// work again. It is not called for two calls at the same time.
func (d *badDisk) fail(f func(call uintptr, name string) syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = f
}

func (d *badDisk) judge(c *call) ruling {
	path, err := os.Readlink(c.file())
	if err != nil {
		return ruling{} // it was killed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var errno syscall.Errno
	if d.fails != nil {
		errno = d.fails(c.number, filepath.Base(path))
	}
	if c.number == syscall.SYS_FDATASYNC && isSegment(path) {
		if info, err := os.Stat(path); err == nil && errno == 0 {
			d.synced[path] = info.Size()
		} else if err == nil {
			d.lose(path, d.synced[path], info.Size())
		}
	}
	return ruling{errno: errno}
}

// lose replaces what was not synced with zeros.
func (d *badDisk) lose(path string, from, to int64) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil || to <= from {
		return
	}
	defer f.Close()
	if n, err := f.WriteAt(make([]byte, to-from), from); err == nil {
		d.lost += int64(n)
	}
}

func isSegment(path string) bool { return strings.HasSuffix(path, ".seg") }

// diskFaults are what a disk may refuse to do, for good until it is told otherwise.
var diskFaults = []struct {
	name  string
	says  string // what the daemon tells its operator
	often int    // how many calls there are within a second
	fails func(call uintptr, name string) syscall.Errno
}{
	{"sync", "cannot sync segment .*input/output error", 30, func(call uintptr, name string) syscall.Errno {
		return failIf(isSegment(name) && call == syscall.SYS_FDATASYNC, syscall.EIO)
	}},
	{"sync and truncate", "cannot sync segment .*input/output error", 30, func(call uintptr, name string) syscall.Errno {
		return failIf(isSegment(name) && (call == syscall.SYS_FDATASYNC || call == syscall.SYS_FTRUNCATE), syscall.EIO)
	}},
	{"sync of the directory", "cannot create segment .*input/output error", 2, func(call uintptr, name string) syscall.Errno {
		return failIf(call == syscall.SYS_FSYNC, syscall.EIO)
	}},
	{"write", "cannot write to segment .*input/output error", 30, func(call uintptr, name string) syscall.Errno {
		return failIf(isSegment(name) && call == syscall.SYS_PWRITE64, syscall.EIO)
	}},
	{"write and truncate", "cannot write to segment .*input/output error", 30, func(call uintptr, name string) syscall.Errno {
		return failIf(isSegment(name) && (call == syscall.SYS_PWRITE64 || call == syscall.SYS_FTRUNCATE), syscall.EIO)
	}},
	{"full", "cannot write to segment .*no space left on device", 30, func(call uintptr, name string) syscall.Errno {
		return failIf(isSegment(name) && call == syscall.SYS_PWRITE64, syscall.ENOSPC)
	}},
	{"quota", "cannot write to segment .*disk quota exceeded", 30, func(call uintptr, name string) syscall.Errno {
		return failIf(isSegment(name) && call == syscall.SYS_PWRITE64, syscall.EDQUOT)
	}},
	{"everything", "input/output error", 30, func(uintptr, string) syscall.Errno { return syscall.EIO }},
}

func failIf(cond bool, errno syscall.Errno) syscall.Errno {
	if cond {
		return errno
	}
	return 0
}

// A load whose requests can be counted.
const badDiskConnections, badDiskRequests, badDiskRequestSpans = 2, 4, 20

func loadBadDisk(t *testing.T, d *daemon, acked string) *loading {
	t.Helper()
	client := sendTo(t, d.plan.grpc, "--acked", acked, "--duration", "0", "--rate", "2000", "--connections", fmt.Sprint(badDiskConnections),
		"--in-flight", fmt.Sprint(badDiskRequests), "--request-spans", fmt.Sprint(badDiskRequestSpans))
	acknowledged(t, acked)
	return client
}

// TestDiskFails has the disk fail under load, and work again. Meanwhile nothing is acknowledged, and
// every client is told to come back. Then the daemon is killed and started again: what was acknowledged
// before and after is there.
func TestDiskFails(t *testing.T) {
	for _, c := range diskFaults {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			acked := filepath.Join(t.TempDir(), "acked")
			s, way, disk := receive(t, "--acked", acked), newGate(t), newBadDisk()
			way.open(s.grpc)
			d := serve(t, plan{logBytes: 4 << 20, watch: &disk.watch, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(way.addr)}})
			client := loadBadDisk(t, d, acked)

			disk.fail(c.fails)
			d.await("the log's disk fails.*" + c.says)
			if r := refused(t, d, acked); r.Acknowledged != 0 {
				t.Errorf("%d spans were acknowledged while the disk failed", r.Acknowledged)
			}
			disk.fail(nil)
			d.await("the log takes frames again")
			way.shut() // what comes now has to outlive the daemon
			acknowledged(t, acked)
			again := map[string]uint64{}
			d.murder(again)
			way.open(s.grpc)
			d = d.again()

			sent := client.finish()
			if sent.Acknowledged != sent.Sent || sent.FinalRefusals != 0 {
				t.Errorf("%d of %d spans acknowledged, %d requests refused for good: %s", sent.Acknowledged, sent.Sent, sent.FinalRefusals, sent.LastError)
			}
			s.judgeAll(sent, delivered(t, d), again["otlp_grpc/backend"]+uint64(way.cuts)*consumers*batchSpans)
		})
	}
}

// TestSyncFailsOnce: the sync after one that has failed says that all is well, and it is not. Nothing is
// acknowledged on the word of it.
func TestSyncFailsOnce(t *testing.T) {
	t.Parallel()
	acked := filepath.Join(t.TempDir(), "acked")
	s, way, disk := receive(t, "--acked", acked), newGate(t), newBadDisk()
	d := serve(t, plan{logBytes: 4 << 20, watch: &disk.watch, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(way.addr)}})
	client := loadBadDisk(t, d, acked)
	for range 3 {
		struck := make(chan struct{})
		disk.fail(func(call uintptr, name string) syscall.Errno {
			select {
			case <-struck:
				return 0
			default:
			}
			errno := failIf(isSegment(name) && call == syscall.SYS_FDATASYNC, syscall.EIO)
			if errno != 0 {
				close(struck)
			}
			return errno
		})
		happens(t, "the disk fails", struck)
		acknowledged(t, acked)
	}
	d.kill()
	way.open(s.grpc)
	d = d.again()
	sent := client.finish()
	s.judgeAll(sent, delivered(t, d), 0)
	if disk.lost == 0 {
		t.Error("the disk has lost nothing: this was no test")
	}
}

// TestKillAsDiskFails kills the daemon when the disk fails: before the daemon knows, and shortly after.
func TestKillAsDiskFails(t *testing.T) {
	t.Parallel()
	rng := random(t)
	acked := filepath.Join(t.TempDir(), "acked")
	s, way, disk := receive(t, "--acked", acked), newGate(t), newBadDisk()
	d := serve(t, plan{logBytes: 4 << 20, watch: &disk.watch, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(way.addr)}})
	client := loadBadDisk(t, d, acked)
	again := map[string]uint64{}
	deaths := max(2, *rounds/10)
	for range deaths {
		way.shut() // nothing leaves that is not on the disk
		c := diskFaults[rng.IntN(len(diskFaults))]
		wait, only := rng.IntN(c.often), rng.IntN(2) == 0
		atOnce, later := rng.IntN(2) == 0, time.Duration(rng.Int64N(int64(20*time.Millisecond)))
		t.Logf("%s, in %d calls, once: %v, killed before it is told: %v, or %v later", c.name, wait, only, atOnce, later)
		struck := make(chan struct{})
		victim, n := d, 0
		disk.fail(func(call uintptr, name string) syscall.Errno {
			errno := c.fails(call, name)
			if errno == 0 {
				return 0
			}
			switch n++; {
			case n == wait+1:
				if atOnce {
					victim.cmd.Process.Kill()
				}
				close(struck)
			case n <= wait || only:
				return 0
			}
			return errno
		})
		happens(t, "the disk fails", struck)
		if !atOnce {
			time.Sleep(later) // the moment of the crime
		}
		d.murder(again)
		disk.fail(nil)
		d = d.again()
		way.open(s.grpc)
		acknowledged(t, acked)
		eventually(t, "those that have gathered are delivered", func() bool { return d.lag()["otlp_grpc/backend"] < 1000 })
	}
	sent := client.finish()
	if sent.Acknowledged != sent.Sent || sent.FinalRefusals != 0 {
		t.Errorf("%d of %d spans acknowledged, %d requests refused for good: %s", sent.Acknowledged, sent.Sent, sent.FinalRefusals, sent.LastError)
	}
	all := delivered(t, d)
	const underWay = badDiskConnections * badDiskRequests * badDiskRequestSpans
	between(t, "received", all, sent.Acknowledged, uint64(deaths*underWay))
	s.judgeAll(sent, all, again["otlp_grpc/backend"]+uint64(way.cuts)*consumers*batchSpans)
	t.Logf("%d bytes were lost by syncs that failed", disk.lost)
}

// TestCursorsCannotBeStored: clients and backends notice nothing. What was delivered is delivered again
// after a kill, and nothing is lost.
func TestCursorsCannotBeStored(t *testing.T) {
	t.Parallel()
	acked := filepath.Join(t.TempDir(), "acked")
	s, disk := receive(t, "--acked", acked), newBadDisk()
	d := serve(t, plan{logBytes: 4 << 20, watch: &disk.watch, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(s.grpc)}})
	var tries atomic.Int64
	disk.fail(func(call uintptr, name string) syscall.Errno {
		if !strings.HasPrefix(name, "cursor-") {
			return 0
		}
		tries.Add(1)
		return syscall.EIO
	})
	sent := send(t, d.plan.grpc, "--acked", acked, "--spans", "4000", "--request-spans", "50")
	if sent.RetryableRefusals != 0 {
		t.Errorf("%d requests were refused", sent.RetryableRefusals)
	}
	d.await("cannot store where the log's cursors are.*input/output error")
	after := tries.Load() + 2
	eventually(t, "it has tried again, and again", func() bool { return tries.Load() >= after })
	again := map[string]uint64{}
	d.murder(again)
	disk.fail(nil)
	d = d.again()
	eventually(t, "all is delivered and stored", func() bool { return d.lag()["otlp_grpc/backend"] == 0 })
	s.judgeAll(sent, delivered(t, d), again["otlp_grpc/backend"])
}

// TestStartOnBadDisk: the start fails, says why, and leaves what is in the log to the next one.
func TestStartOnBadDisk(t *testing.T) {
	t.Parallel()
	acked := filepath.Join(t.TempDir(), "acked")
	s, way, disk := receive(t, "--acked", acked), newGate(t), newBadDisk()
	d := serve(t, plan{logBytes: 4 << 20, watch: &disk.watch, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(way.addr)}})
	sent := send(t, d.plan.grpc, "--acked", acked, "--spans", "2000", "--request-spans", "50")
	d.kill()
	disk.fail(func(uintptr, string) syscall.Errno { return syscall.EIO })
	next := d.plan.launch(t)
	if code, text := next.end(), next.stderr.String(); code != 1 || !strings.Contains(text, d.plan.logDir()) || !strings.Contains(text, "input/output error") {
		t.Errorf("exit code %d: %s", code, text)
	}
	disk.fail(nil)
	way.open(s.grpc)
	s.judgeAll(sent, delivered(t, d.again()), 0)
}

// judgeAll compares what a sink has, of all runs, with what was acknowledged and with the ledger.
func (s *receiver) judgeAll(sent load.Report, delivered, most uint64) {
	s.t.Helper()
	r := s.finish()
	for _, run := range r.Runs {
		if *run.Lost != 0 {
			s.t.Errorf("%d of %d spans acknowledged are lost: %v", *run.Lost, *run.Acked, run.LostRanges)
		}
		if run.Run == sent.Run && run.Seen != sent.Acknowledged {
			s.t.Errorf("%d spans acknowledged, %d came", sent.Acknowledged, run.Seen)
		}
	}
	between(s.t, "came", r.Spans, delivered, most)
	s.t.Logf("%d acknowledged, %d delivered, %d came", sent.Acknowledged, delivered, r.Spans)
}
