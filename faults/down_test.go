//go:build linux

package faults

import (
	"flag"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var down = flag.Duration("down", 2*time.Second, "how long TestBackendDown keeps its backends away; from a minute on, exporters have their defaults")

// TestBackendDown takes the backends away under load, two that refuse connections and two that do not
// answer, and brings them back. Clients notice nothing, and every span arrives.
func TestBackendDown(t *testing.T) {
	t.Parallel()
	acked := filepath.Join(t.TempDir(), "acked")
	configured := func(e exporter) exporter {
		if *down < time.Minute {
			return e.with("timeout", "500ms")
		}
		delete(e, "timeout")
		return e.with("retry_on_failure", exporter{})
	}
	exporters := map[string]exporter{}
	sinks := map[string]*receiver{}
	var gates []*gate
	for protocol, to := range map[string]func(s *receiver) (addr string, by func(addr string) exporter){
		"otlp_grpc": func(s *receiver) (string, func(string) exporter) { return s.grpc, toGRPC },
		"otlp_http": func(s *receiver) (string, func(string) exporter) { return s.http, toHTTP },
	} {
		hangs, refuses, way := receive(t, "--acked", acked), receive(t, "--acked", acked), newGate(t)
		addr, by := to(hangs)
		exporters[protocol+"/hangs"], sinks[protocol+"/hangs"] = configured(by(addr)), hangs
		addr, _ = to(refuses)
		way.open(addr)
		exporters[protocol+"/refuses"], sinks[protocol+"/refuses"] = configured(by(way.addr)), refuses
		gates = append(gates, way)
	}
	d := serve(t, plan{logBytes: 1 << 30, exporters: exporters})
	client := sendTo(t, d.plan.grpc, "--acked", acked, "--duration", "0", "--rate", "500")
	acknowledged(t, acked)
	hang := func(s syscall.Signal) {
		for _, protocol := range []string{"otlp_grpc", "otlp_http"} {
			sinks[protocol+"/hangs"].signal(s)
		}
	}

	for _, g := range gates {
		g.leave()
	}
	hang(syscall.SIGSTOP)
	time.Sleep(*down) // so long it is
	for name := range exporters {
		d.await("cannot deliver spans yet; they stay in the log\" exporter=" + name)
	}
	acknowledged(t, acked)
	for _, g := range gates {
		g.back(t)
	}
	hang(syscall.SIGCONT)
	back := time.Now()

	sent := client.finish()
	if sent.Acknowledged != sent.Sent || sent.Retries != 0 {
		t.Errorf("%d of %d spans acknowledged, %d requests were sent again: %s", sent.Acknowledged, sent.Sent, sent.Retries, sent.LastError)
	}
	eventually(t, "what has gathered is delivered", func() bool {
		for _, n := range d.lag() {
			if n > 0 {
				return false
			}
		}
		return true
	})
	took, peak := time.Since(back), peakMemory(t, d.cmd.Process.Pid)
	t.Logf("down for %v: delivered %v after they were back, %d MiB of memory", *down, took.Round(100*time.Millisecond), peak>>20)
	if most := int64(256 << 20); peak > most && !*raceProgram {
		t.Errorf("the daemon took %d MiB, want at most %d", peak>>20, most>>20)
	}
	all := delivered(t, d)
	for _, s := range sinks {
		s.judgeAll(sent, all, 1<<32) // what was taken after the time for an answer came again
	}
}
