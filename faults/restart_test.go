//go:build linux

package faults

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTwoDaemons: the second on a directory is refused, is told the first's process id, and leaves
// the first alone.
func TestTwoDaemons(t *testing.T) {
	t.Parallel()
	s := receive(t)
	first := serve(t, plan{exporters: map[string]exporter{"otlp_grpc": toGRPC(s.grpc)}})
	for range 2 {
		p := plan{dir: first.plan.dir, exporters: first.plan.exporters}
		second := launch(t, p.args(t)...)
		code, text := second.end(), second.stderr.String()
		if code != 1 || !regexp.MustCompile(fmt.Sprintf(`\b%d\b`, first.cmd.Process.Pid)).MatchString(text) || !strings.Contains(text, first.plan.logDir()) {
			t.Errorf("exit code %d, and it does not name %s and process %d: %s", code, first.plan.logDir(), first.cmd.Process.Pid, text)
		}
	}
	send(t, first.plan.grpc, "--spans", "1000")
	if n := delivered(t, first); n != 1000 {
		t.Errorf("%d spans received", n)
	}
	// A killed one leaves its lock behind, and nobody holds it.
	next := first.again()
	next.kill()
	if n := delivered(t, first.again()); n != 1000 {
		t.Errorf("%d spans received", n)
	}
	if r := s.finish(); r.Seen() != 1000 || r.Duplicates() != 0 {
		t.Errorf("%d spans came, %d twice", r.Seen(), r.Duplicates())
	}
}

// TestRenamedExporter: what waits for the old name is kept, and said, over more than one start. The new
// name begins at the oldest span. When the old name is back, it gets what it has missed, and no
// more.
func TestRenamedExporter(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	before, _ := b.on("before", nil)
	after, _ := b.on("after", nil)
	p := plan{grace: 50 * time.Millisecond, exporters: map[string]exporter{"otlp_grpc/before": toGRPC(newGate(t).addr)}}
	d := serve(t, p)
	send(t, d.plan.grpc, "--spans", "1000")
	d.finish()
	p = d.plan
	p.grace = 0

	p.exporters = map[string]exporter{"otlp_grpc/after": after}
	for range 2 {
		d = serve(t, p)
		line := d.await("level=WARN msg=.*is not configured any more.*")
		for _, want := range []string{"exporter=otlp_grpc/before", "spans=1000", "ringtail log forget --data-dir " + p.logDir() + " 'otlp_grpc/before'"} {
			if !strings.Contains(line, want) {
				t.Errorf("it does not say %q: %s", want, line)
			}
		}
		delivered(t, d)
	}
	p.exporters = map[string]exporter{"otlp_grpc/after": after, "otlp_grpc/before": before}
	d = serve(t, p)
	delivered(t, d)
	for _, name := range []string{"before", "after"} {
		if _, seen, spans := b.got(name); seen != 1000 || spans != 1000 {
			t.Errorf("%s: %d spans came, %d different ones", name, spans, seen)
		}
	}
}

// TestSIGTERM: what is in the log is delivered before the end, within the limit. What is not, is said to
// stay on disk, and does.
func TestSIGTERM(t *testing.T) {
	t.Parallel()
	const spans = 3000
	b := newBackend(t)
	release := make(chan struct{})
	to, _ := b.on("late", func(int, []uint64) answer {
		<-release // in the lock of the backend: nothing is answered
		return answer{}
	})
	d := serve(t, plan{exporters: map[string]exporter{"otlp_grpc": to}})
	send(t, d.plan.grpc, "--spans", fmt.Sprint(spans))
	d.signal(syscall.SIGTERM)
	d.await("^Stopping: ")
	close(release)
	if code := d.end(); code != 0 || d.ledger().exporters["otlp_grpc"].delivered != spans {
		t.Errorf("exit code %d, %+v", code, d.ledger())
	}

	way := newGate(t)
	d = serve(t, plan{grace: 200 * time.Millisecond, exporters: map[string]exporter{"otlp_grpc": toGRPC(way.addr)}})
	send(t, d.plan.grpc, "--spans", fmt.Sprint(spans))
	if l, code := d.finish(); code != 0 || l.exporters["otlp_grpc"].inLog != spans {
		t.Errorf("exit code %d, %+v", code, l)
	}
	d.await("at most 200ms")
	d.await("3 000 stay in the log for the next start")
	way.open(b.grpc)
	to, _ = b.on("next", nil)
	to["endpoint"] = way.addr
	d.plan.grace, d.plan.exporters = 0, map[string]exporter{"otlp_grpc": to}
	if n := delivered(t, d.again()); n != spans {
		t.Errorf("%d spans received", n)
	}
	if _, seen, sent := b.got("next"); seen != spans || sent != spans {
		t.Errorf("%d spans came, %d different ones", sent, seen)
	}
}

// sameSignal is longer than the time in which a signal that comes again is taken for the same one.
const sameSignal = 600 * time.Millisecond

// TestSecondSIGTERM: it leaves at once, whatever the limit.
func TestSecondSIGTERM(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	hangs, _ := b.on("hangs", func(int, []uint64) answer { return answer{hang: true} })
	d := serve(t, plan{grace: time.Hour, exporters: map[string]exporter{"otlp_grpc": hangs.with("timeout", "1h")}})
	send(t, d.plan.grpc, "--spans", "1000")
	d.signal(syscall.SIGTERM)
	d.await("^Stopping: ")
	time.Sleep(sameSignal)
	d.signal(syscall.SIGTERM)
	if code, l := d.end(), d.ledger(); code != 0 || l.exporters["otlp_grpc"].inLog != 1000 {
		t.Errorf("exit code %d, %+v", code, l)
	}
}

// TestExitCodes: 0 nothing was lost, 1 something was or failed, 2 wrong usage.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	serveFlags := func(args ...string) *daemon {
		d := &daemon{process: launch(t, append([]string{"serve", "--grpc", "127.0.0.1:0", "--http", "off"}, args...)...)}
		d.plan.grpc = d.await(`OTLP/gRPC +(\S+)`)
		d.await("Ctrl-C ends it")
		return d
	}
	dead := "otlp-grpc=" + newGate(t).addr
	for _, c := range []struct {
		name         string
		args         []string
		code         int
		lost, behind uint64
	}{
		{"delivered", []string{"--export", "null", "--in-memory"}, 0, 0, 0},
		{"in the log", []string{"--export", dead, "--data-dir", t.TempDir()}, 0, 0, 1000},
		{"gone with the memory", []string{"--export", dead, "--in-memory"}, 1, 0, 1000},
	} {
		d := serveFlags(append(c.args, "--shutdown-timeout", "100ms")...)
		send(t, d.plan.grpc, "--spans", "1000")
		l, code := d.finish()
		for _, e := range l.exporters {
			if code != c.code || e.lost != c.lost || e.inLog != c.behind || e.delivered != 1000-c.behind {
				t.Errorf("%s: exit code %d, want %d; %+v", c.name, code, c.code, e)
			}
		}
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"serve", "--grpc", "nowhere"}, 2, "--grpc"},
		{[]string{"serve", "--config", file + "s"}, 2, file + "s"},
		{[]string{"serve", "--grpc", "127.0.0.1:0", "--http", "off", "--data-dir", file}, 1, file},
		{[]string{"serve", "--grpc", newGate(t).addr, "--http", "off", "--in-memory"}, 1, "cannot listen"},
	} {
		p := launch(t, c.args...)
		if code, text := p.end(), p.stderr.String(); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%v: exit code %d, want %d, and %q in: %s", c.args, code, c.code, c.says, text)
		}
	}
}

// TestRestartsUnderLoad stops the daemon politely, again and again, while clients send. What was under way
// is answered, so that nothing comes twice, over either protocol.
func TestRestartsUnderLoad(t *testing.T) {
	acked := t.TempDir() + "/acked"
	s := receive(t, "--acked", acked)
	d := serve(t, plan{exporters: map[string]exporter{"otlp_grpc": toGRPC(s.grpc)}})
	flags := []string{"--acked", acked, "--duration", "0", "--rate", "4000", "--request-spans", "20"}
	clients := []*loading{
		sendTo(t, d.plan.grpc, flags...),
		sendTo(t, d.plan.http, append(flags, "--protocol", "http/protobuf")...),
	}
	eventually(t, "spans are acknowledged", func() bool { return noted(acked) > 0 })
	for range 5 {
		before := noted(acked)
		if _, code := d.finish(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		d = d.again()
		eventually(t, "spans are acknowledged again", func() bool { return noted(acked) > before })
	}
	acknowledged := uint64(0)
	for _, c := range clients {
		r := c.finish()
		acknowledged += r.Acknowledged
		if r.Acknowledged != r.Sent {
			t.Errorf("%d of %d spans acknowledged: %s", r.Acknowledged, r.Sent, r.LastError)
		}
	}
	n := delivered(t, d)
	r := s.finish()
	if n != acknowledged || r.Spans != n || r.Seen() != n || r.Lost() != 0 {
		t.Errorf("%d spans acknowledged, %d received, %d came, %d different ones, %d are lost", acknowledged, n, r.Spans, r.Seen(), r.Lost())
	}
}
