//go:build linux && amd64

package faults

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/seglog"
)

// A clock is the wall clock of a program, which can be set. Its monotonic one goes on, as when
// somebody sets that of the machine.
//
// A program does not ask the kernel for the time: it reads it in memory that the kernel shows to everybody
// (vdso(7)). So that it does ask, the entry that tells where that memory is goes from what it was
// started with, when it makes its first system call.
type clock struct {
	watch
	t     *testing.T
	shift atomic.Int64 // nanoseconds
	asked atomic.Int64
}

func newClock(t *testing.T) *clock {
	const realTime = 0
	c := &clock{t: t}
	c.calls = []watched{{syscall.SYS_ARCH_PRCTL, anyArgument}, {syscall.SYS_CLOCK_GETTIME, realTime}}
	c.rule = c.judge
	return c
}

// set sets it to now plus a time.
func (c *clock) set(shift time.Duration) { c.shift.Store(int64(shift)) }

func (c *clock) judge(call *call) ruling {
	if call.number == syscall.SYS_ARCH_PRCTL { // at the start of each thread, and of the program
		if err := hideClock(call); err != nil && call.waits() {
			c.t.Errorf("cannot hide the machine's clock: %v", err)
		}
		return ruling{}
	}
	c.asked.Add(1)
	now := time.Now().UnixNano() + c.shift.Load()
	b := binary.NativeEndian.AppendUint64(nil, uint64(now/1e9))
	if err := call.write(call.args[1], binary.NativeEndian.AppendUint64(b, uint64(now%1e9))); err != nil {
		if call.waits() {
			c.t.Errorf("cannot tell the time: %v", err)
		}
		return ruling{}
	}
	return ruling{done: true}
}

// hideClock has the process find no clock in memory: the entry with its address is ignored. It may be
// called again.
func hideClock(c *call) error {
	const ignore, address, entry = 1, 33, 16 // AT_IGNORE, AT_SYSINFO_EHDR; getauxval(3)
	proc := fmt.Sprintf("/proc/%d/", c.thread)
	all, err := os.ReadFile(proc + "auxv")
	if err != nil {
		return err
	}
	for len(all) >= entry && binary.NativeEndian.Uint64(all) != address {
		all = all[entry:]
	}
	if len(all) < entry {
		return nil // there is none
	}
	maps, err := os.ReadFile(proc + "maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[stack]\n") {
			continue
		}
		var from, to int64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return err
		}
		mem, err := os.Open(proc + "mem")
		if err != nil {
			return err
		}
		defer mem.Close()
		stack := make([]byte, to-from)
		if _, err := mem.ReadAt(stack, from); err != nil {
			return err
		}
		if at := bytes.Index(stack, all[:entry]); at >= 0 {
			return c.write(uint64(from)+uint64(at), binary.NativeEndian.AppendUint64(nil, ignore))
		}
	}
	return nil
}

// TestClockSetBack sets the clock back by two days under a daemon, and by two more before it is started
// again, over a log whose frames are then of the future. Then it is right again. Nothing is taken
// for old, attempts that hang end after their time, and are made again.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	const (
		day    = 24 * time.Hour
		maxAge = 16 * time.Second // it looks for what is older every second
	)
	acked := filepath.Join(t.TempDir(), "acked")
	s, c := receive(t, "--acked", acked), newClock(t)
	d := serve(t, plan{watch: &c.watch, maxAge: maxAge, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(s.grpc).with("timeout", "200ms")}})
	client := sendTo(t, d.plan.grpc, "--acked", acked, "--duration", "0", "--rate", "500", "--request-spans", "20")
	acknowledged(t, acked)
	s.signal(syscall.SIGSTOP)
	c.set(-2 * day)
	d.endsAttempts(2 * day)
	sent := client.finish()
	// Not only what the exporter has in its hands, which nothing takes away.
	send(t, d.plan.grpc, "--acked", acked, "--spans", fmt.Sprint(2*4*consumers*batchSpans))
	d.kill()
	c.set(-4 * day)
	d = d.again()
	d.endsAttempts(4 * day)
	time.Sleep(maxAge / 8) // all that is in the log seems to be of the future
	c.set(0)
	time.Sleep(maxAge / 8) // and this daemon seems to have run for four days
	send(t, d.plan.grpc, "--acked", acked, "--spans", "500")
	s.signal(syscall.SIGCONT)
	if sent.Acknowledged != sent.Sent {
		t.Errorf("%d of %d spans acknowledged: %s", sent.Acknowledged, sent.Sent, sent.LastError)
	}
	s.judgeAll(sent, delivered(t, d), 1<<32) // what was taken after the time for an answer came again
	t.Logf("the daemon has asked %d times what time it is", c.asked.Load())
}

// endsAttempts waits until the daemon says that the time for an answer is over, at a time that lies so far back.
func (d *daemon) endsAttempts(back time.Duration) {
	d.t.Helper()
	line := regexp.MustCompile(`time=(\S+) level=WARN msg="ringtail: cannot deliver spans yet; .*(?i:deadline)`)
	eventually(d.t, "the daemon ends an attempt", func() bool {
		for _, m := range line.FindAllStringSubmatch(d.stderr.String(), -1) {
			if at, err := time.Parse(time.RFC3339, m[1]); err == nil && time.Since(at) > back-time.Hour {
				return true
			}
		}
		return false
	})
}

// TestAgeAfterClockSetBack: what is too old goes when it is, and not when the clock says so. A daemon
// that starts before its log's frames were written gives them the time once more.
func TestAgeAfterClockSetBack(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run("restart="+strconv.FormatBool(restart), func(t *testing.T) {
			t.Parallel()
			const spans = 1000
			c := newClock(t)
			d := serve(t, plan{watch: &c.watch, maxAge: time.Second, grace: 50 * time.Millisecond,
				exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(newGate(t).addr)}})
			send(t, d.plan.grpc, "--spans", fmt.Sprint(spans))
			if restart {
				d.kill()
			}
			c.set(-time.Hour)
			if restart {
				d = d.again()
			}
			eventually(t, "the spans have gone", func() bool { return d.oldest() > 0 })
			l, code := d.finish()
			if e := l.exporters["otlp_grpc/backend"]; code != 1 || e.reasons["age"] != spans {
				t.Errorf("exit code %d, %+v", code, l)
			}
		})
	}
}

// oldest is where the log begins.
func (d *daemon) oldest() seglog.Position {
	d.t.Helper()
	i, err := seglog.Inspect(d.plan.logDir())
	if err != nil {
		d.t.Fatal(err)
	}
	return i.Segments[0].Base
}
