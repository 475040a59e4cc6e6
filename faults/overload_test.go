//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestOverload sends as fast as it goes to a daemon in memory, whose backend takes 300 ms for an answer.
// Memory stays within its bound, every refusal asks the client to come back, and what was
// acknowledged arrives.
func TestOverload(t *testing.T) {
	if *raceProgram {
		t.Skip("the race detector makes the program slower than its backend, and memory larger")
	}
	const most = 256 << 20
	acked := filepath.Join(t.TempDir(), "acked")
	s := receive(t, "--acked", acked, "--answer", "delay=300ms")
	d := &daemon{process: launch(t, "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--in-memory", "--export", "otlp-grpc="+s.grpc, "--shutdown-timeout", patience.String())}
	grpcAddr, httpURL := d.await(`OTLP/gRPC +(\S+)`), d.await(`OTLP/HTTP +http://([^/\s]+)`)
	d.await("Ctrl-C ends it")
	flags := []string{"--acked", acked, "--duration", "2s", "--no-retry", "--in-flight", "16", "--request-spans"}
	acknowledged, refusals := uint64(0), uint64(0)
	for try := 0; refusals == 0 && try < 5; try++ { // a busy machine may need longer to be too fast
		for _, c := range []*loading{
			sendTo(t, grpcAddr, append(flags, "100")...),
			sendTo(t, grpcAddr, append(flags, "1000", "--compression", "gzip")...),
			sendTo(t, httpURL, append(flags, "100", "--protocol", "http/protobuf")...),
		} {
			r := c.report()
			acknowledged += r.Acknowledged
			refusals += r.RetryableRefusals
			if r.FinalRefusals != 0 || r.GivenUp != 0 || r.Rejected != 0 || r.Refused != r.RefusedRetryable {
				t.Errorf("not every refusal is retryable: %+v", r)
			}
		}
	}
	if refusals == 0 {
		t.Error("nothing was refused: this was no overload")
	}
	peak := peakMemory(t, d.cmd.Process.Pid)
	if peak > most {
		t.Errorf("the daemon took %d MiB, want at most %d", peak>>20, most>>20)
	}
	n := delivered(t, d)
	t.Logf("%d spans acknowledged, %d requests refused, %d MiB", acknowledged, refusals, peak>>20)
	if r := s.finish(); n != acknowledged || r.Seen() != acknowledged || r.Lost() != 0 {
		t.Errorf("%d spans acknowledged, %d received, %d came, %d are lost", acknowledged, n, r.Seen(), r.Lost())
	}
}

// TestDropOldest lets the log throw away what is oldest, over a kill -9 and a restart. Each span that
// an exporter has not had is counted for it: to the span, if it had none. A backend that is down
// misses the oldest.
func TestDropOldest(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	up, _ := b.on("up", nil)
	down, _ := b.on("down", nil)
	way := newGate(t)
	down["endpoint"] = way.addr
	d := serve(t, plan{logBytes: 1 << 20, whenFull: "drop_oldest", exporters: map[string]exporter{"otlp_grpc/up": up, "otlp_grpc/down": down}})
	const spans = 8000 // a megabyte has room for about 2200
	send(t, d.plan.grpc, "--spans", fmt.Sprint(spans), "--request-spans", "20", "--connections", "1", "--in-flight", "1")
	d.kill()
	d = d.again()
	way.open(b.grpc)
	l, code := d.finish()
	if code != 1 || l.received != spans {
		t.Errorf("exit code %d, %d spans received", code, l.received)
	}
	for _, name := range []string{"up", "down"} {
		e, missing := l.exporters["otlp_grpc/"+name], b.missing(name, spans)
		counted, lost := e.reasons["limit"], uint64(len(missing))
		// What had arrived at the moment of the kill, without a durable commit, and was thrown away:
		// nobody knows any more that it had.
		if arrived := counted - min(lost, counted); lost > counted || name == "down" && arrived > 0 || e.delivered != spans-counted {
			t.Errorf("%s misses %d spans: %+v", name, lost, e)
		}
		if name == "down" && (len(missing) < spans/2 || missing[len(missing)-1] != uint64(len(missing))) {
			t.Errorf("the spans that are missing are not the oldest: %v", missing)
		}
	}
}

// peakMemory is the most memory that a process has had.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("the kernel does not say what the process took:\n%s", text)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
