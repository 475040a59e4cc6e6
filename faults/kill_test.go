//go:build linux

package faults

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/internal/load"
)

// TestKill kills daemons at random moments under load:
//
//	load ──▶ front ─┬─ gRPC ──────────────▶ sink a
//	                ├─ HTTP ──▶ relay ─────▶ sink b
//	                └─ gRPC ──▶ gate ──────▶ sink c
//
// The relay is a daemon and a backend: to kill it is to kill the backend of the front. The
// gate is shut and opened at random: its sink is dead for some rounds.
func TestKill(t *testing.T) {
	const (
		connections, requests, requestSpans = 2, 4, 40
		underWay                            = connections * requests * requestSpans
	)
	rng := random(t)
	acked := filepath.Join(t.TempDir(), "acked")
	a, b, c := receive(t, "--acked", acked), receive(t, "--acked", acked), receive(t, "--acked", acked)
	way := newGate(t)
	way.open(c.grpc)
	relay := serve(t, plan{exporters: map[string]exporter{"otlp_grpc/b": toGRPC(b.grpc)}})
	front := serve(t, plan{exporters: map[string]exporter{
		"otlp_grpc/a": toGRPC(a.grpc), "otlp_http/relay": toHTTP(relay.plan.http), "otlp_grpc/c": toGRPC(way.addr),
	}})
	client := sendTo(t, front.plan.grpc, "--acked", acked, "--duration", "0", "--rate", "8000",
		"--connections", fmt.Sprint(connections), "--in-flight", fmt.Sprint(requests), "--request-spans", fmt.Sprint(requestSpans))
	eventually(t, "spans are acknowledged", func() bool { return noted(acked) > 0 })

	again := map[string]uint64{} // spans behind the durable cursors when their daemon was killed
	relayKills := 0
	for range *rounds {
		if rng.IntN(3) == 0 {
			way.shut()
		} else {
			way.open(c.grpc)
		}
		time.Sleep(20*time.Millisecond + time.Duration(rng.Int64N(int64(380*time.Millisecond)))) // the moment of the crime
		victim := &front
		if rng.IntN(4) == 0 {
			victim = &relay
			relayKills++
		}
		(*victim).murder(again)
		if rng.IntN(4) == 0 {
			// Once more, while it reads its log, repairs it, or begins to serve.
			next := &daemon{launch(t, (*victim).plan.args(t)...), (*victim).plan}
			time.Sleep(time.Duration(rng.Int64N(int64(40 * time.Millisecond))))
			next.murder(again)
		}
		*victim = (*victim).again()
	}
	way.open(c.grpc)

	sent := client.finish()
	if sent.Acknowledged != sent.Sent || sent.Sent == 0 {
		t.Errorf("load: %d of %d spans acknowledged, %d refused, %d given up", sent.Acknowledged, sent.Sent, sent.Refused, sent.GivenUp)
	}
	// What a client sends again because its answer was lost may have been received. In a round a
	// daemon is killed up to twice.
	frontReceived := delivered(t, front)
	between(t, "received by the front", frontReceived, sent.Acknowledged, min(sent.Resent, uint64(2*(*rounds-relayKills))*underWay))
	// What an exporter sends again: because the front was killed, or because the answer was lost.
	inFlight := uint64(consumers * batchSpans)
	relayReceived := delivered(t, relay)
	between(t, "received by the relay", relayReceived, frontReceived, again["otlp_http/relay"]+2*uint64(relayKills)*inFlight)
	for _, s := range []struct {
		name string
		sink *receiver
		from uint64 // delivered to it, by its ledger
		most uint64 // that may have come again
	}{
		{"otlp_grpc/a", a, frontReceived, again["otlp_grpc/a"]},
		{"otlp_grpc/b", b, relayReceived, again["otlp_grpc/b"]},
		{"otlp_grpc/c", c, frontReceived, again["otlp_grpc/c"] + uint64(way.cuts)*inFlight},
	} {
		s.sink.judge(sent, s.name, s.from, s.most)
	}
}

// murder kills the daemon, and adds the spans that may come twice for it, by exporter.
func (d *daemon) murder(again map[string]uint64) {
	d.t.Helper()
	d.kill()
	for name, n := range d.lag() {
		again[name] += n
	}
}

// judge compares what a sink has with what load was promised, and with the ledger of the
// daemon before it.
func (s *receiver) judge(sent load.Report, name string, delivered, most uint64) {
	s.t.Helper()
	r := s.finish()
	if len(r.Runs) != 1 {
		s.t.Fatalf("%s: %d runs", name, len(r.Runs))
	}
	run := r.Runs[0]
	if *run.Lost != 0 || *run.Unacked != 0 || run.Missing != 0 || run.Seen != sent.Acknowledged {
		s.t.Errorf("%s: of %d spans acknowledged %d came, %d are lost: %v", name, sent.Acknowledged, run.Seen, *run.Lost, run.LostRanges)
	}
	between(s.t, "came to "+name, r.Spans, delivered, most)
	s.t.Logf("%s: %d acknowledged, %d delivered, %d came, %d of them again; %d could have from exporters", name, sent.Acknowledged, delivered, r.Spans, run.Duplicates, most)
}

// delivered ends a daemon and returns what it has delivered to each exporter: all it received.
func delivered(t *testing.T, d *daemon) uint64 {
	t.Helper()
	l, code := d.finish()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for name, e := range l.exporters {
		if e.delivered != l.received {
			t.Errorf("%s: %d of %d spans delivered: %+v", name, e.delivered, l.received, e)
		}
	}
	return l.received
}

// between checks that n is at least least, and at most more than that.
func between(t *testing.T, what string, n, least, more uint64) {
	t.Helper()
	if n < least || n > least+more {
		t.Errorf("%s: %d spans, want %d to %d", what, n, least, least+more)
	}
}

// TestUnsettledFirst: the first batch is never answered, and those behind it are delivered. None of them
// may be passed before the first, so that all of them come again after a restart, and no
// more than are open at one time.
func TestUnsettledFirst(t *testing.T) {
	t.Parallel()
	const spans, open = 2000, 4 * consumers * batchSpans
	b := newBackend(t)
	late := make(chan struct{})
	to, _ := b.on("backend", func(_ int, spans []uint64) answer {
		select {
		case <-late:
			return answer{}
		default:
			return answer{hang: spans[0] == 1}
		}
	})
	d := serve(t, plan{grace: 300 * time.Millisecond, exporters: map[string]exporter{"otlp_grpc": to}})
	send(t, d.plan.grpc, "--spans", fmt.Sprint(spans), "--request-spans", "50", "--connections", "1", "--in-flight", "1")
	eventually(t, "what is behind the first batch is delivered", func() bool { n, _, _ := b.got("backend"); return n > 3 })
	if l, code := d.finish(); code != 0 || l.exporters["otlp_grpc"].inLog != spans {
		t.Errorf("exit code %d, %+v", code, l)
	}
	close(late)
	d.plan.grace = 0
	delivered(t, d.again())
	if _, seen, came := b.got("backend"); seen != spans || came > spans+open {
		t.Errorf("%d spans came, %d different ones of %d", came, seen, spans)
	}
}

// TestHungBackend stops a sink for a while instead of killing it: nothing is answered, and
// nothing is lost.
func TestHungBackend(t *testing.T) {
	acked := filepath.Join(t.TempDir(), "acked")
	s := receive(t, "--acked", acked)
	d := serve(t, plan{exporters: map[string]exporter{"otlp_grpc": toGRPC(s.grpc).with("timeout", "200ms")}})
	s.signal(syscall.SIGSTOP)
	sent := send(t, d.plan.grpc, "--acked", acked, "--spans", "2000", "--request-spans", "50")
	d.await("cannot deliver spans yet")
	s.signal(syscall.SIGCONT)
	all := delivered(t, d)
	// What was taken after the answer had been given up came again.
	s.judge(sent, "otlp_grpc", all, 1<<32)
}
