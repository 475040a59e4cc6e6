//go:build linux

package faults

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ringtail-otel/ringtail/otlp"
)

// once gives an answer to the first attempt, and takes all others.
func once(a answer) script {
	return func(n int, _ []uint64) answer {
		if n == 1 {
			return a
		}
		return answer{}
	}
}

// TestAnswers has an exporter for every answer that a backend may give, all in one daemon. Each
// refuses once: what may be sent again is delivered with the second attempt, and what may not
// is counted, and is in the dead letters. (OTLP specification, "OTLP/gRPC Response", "OTLP/HTTP
// Response", "Failures", "Partial Success".)
func TestAnswers(t *testing.T) {
	t.Parallel()
	const spans = 20
	at := time.Millisecond
	soon := &at
	type expectation struct {
		attempts, delivered, rejected uint64
	}
	taken, retried, dropped := expectation{1, spans, 0}, expectation{2, spans, 0}, expectation{1, 0, spans}
	b := newBackend(t)
	exporters := map[string]exporter{}
	wants := map[string]expectation{}
	letters := t.TempDir()
	add := func(name string, e exporter, want expectation) {
		wants[name] = want
		exporters[name] = e.with("dead_letter", exporter{"path": filepath.Join(letters, strings.ReplaceAll(name, "/", "-"))})
	}
	addGRPC := func(name string, a answer, want expectation) {
		e, _ := b.on("g-"+name, once(a))
		add("otlp_grpc/g-"+name, e, want)
	}
	addHTTP := func(name string, a answer, want expectation) {
		_, e := b.on("h-"+name, once(a))
		add("otlp_http/h-"+name, e, want)
	}

	again := []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		want := dropped
		if slices.Contains(again, code) {
			want = retried
		}
		addGRPC(strings.ToLower(code.String()), answer{code: code}, want)
	}
	addGRPC("unavailable-info", answer{code: codes.Unavailable, retry: soon}, retried)
	addGRPC("exhausted-info", answer{code: codes.ResourceExhausted, retry: soon}, retried)
	addGRPC("invalid-info", answer{code: codes.InvalidArgument, retry: soon}, dropped)
	for _, status := range []int{301, 304, 400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 422, 429, 431, 500, 501, 502, 503, 504, 505, 507} {
		want := dropped
		switch status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			want = retried
		}
		addHTTP(fmt.Sprint(status), answer{status: status}, want)
	}
	for _, add := range []func(string, answer, expectation){addGRPC, addHTTP} {
		add("taken", answer{}, taken)
		add("partial", answer{partial: 3}, expectation{1, spans - 3, 3})
		add("garbage", answer{garbage: true}, taken)
	}

	d := serve(t, plan{exporters: exporters})
	send(t, d.plan.grpc, "--spans", fmt.Sprint(spans), "--request-spans", fmt.Sprint(spans), "--connections", "1", "--in-flight", "1")
	l, code := d.finish()
	if code != 1 || l.received != spans {
		t.Errorf("exit code %d, %d spans received", code, l.received)
	}
	for name, want := range wants {
		_, key, _ := strings.Cut(name, "/")
		attempts, seen, _ := b.got(key)
		e := l.exporters[name]
		if got := (expectation{uint64(attempts), e.delivered, e.reasons["rejected"]}); got != want || e.inLog != 0 || seen != e.delivered {
			t.Errorf("%s: %+v, want %+v; %d spans came, the ledger has %+v", name, got, want, seen, e)
		}
		buried := spansInFile(t, filepath.Join(letters, strings.ReplaceAll(name, "/", "-")))
		if want.rejected > 0 && buried != spans || want.rejected == 0 && buried != 0 {
			t.Errorf("%s: %d spans are in the dead letters, %d were rejected", name, buried, want.rejected)
		}
	}
}

// spansInFile counts the spans in a file of OTLP JSON lines.
func spansInFile(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return 0
	}
	for line := range bytes.Lines(b) {
		pb, err := otlp.AppendFromJSON(nil, line)
		if err != nil {
			t.Fatal(err)
		}
		n += otlp.Count(pb)
	}
	return n
}

// TestDelayIsHonoured: a backend that asks for two seconds is not asked again before another
// one, which asks for nothing, was asked ten times.
func TestDelayIsHonoured(t *testing.T) {
	t.Parallel()
	const often = 10
	b := newBackend(t)
	two := 2 * time.Second
	toldGRPC, _ := b.on("told-grpc", once(answer{code: codes.Unavailable, retry: &two}))
	_, toldHTTP := b.on("told-http", once(answer{status: http.StatusTooManyRequests, retry: &two}))
	untold, _ := b.on("untold", func(n int, _ []uint64) answer {
		if n <= often {
			return answer{code: codes.Unavailable}
		}
		return answer{}
	})
	quick := exporter{"initial_interval": "5ms", "max_interval": "5ms"}
	d := serve(t, plan{exporters: map[string]exporter{
		"otlp_grpc/told": toldGRPC.with("retry_on_failure", quick), "otlp_http/told": toldHTTP.with("retry_on_failure", quick),
		"otlp_grpc/untold": untold.with("retry_on_failure", quick),
	}})
	send(t, d.plan.grpc, "--spans", "10", "--request-spans", "10")
	delivered(t, d)
	order := b.order()
	settled := slices.Index(order, "untold")
	for range often {
		settled += 1 + slices.Index(order[settled+1:], "untold")
	}
	for _, name := range []string{"told-grpc", "told-http"} {
		first := slices.Index(order, name)
		second := first + 1 + slices.Index(order[first+1:], name)
		if n, _, _ := b.got(name); n != 2 || second < settled {
			t.Errorf("%s was asked %d times, in the order %v", name, n, order)
		}
	}
}

// TestDeadBackendsDelayNobody: three exporters get nothing through, by not being there, by
// hanging, and by refusing. The fourth gets everything meanwhile.
func TestDeadBackendsDelayNobody(t *testing.T) {
	t.Parallel()
	const spans = 20000
	b := newBackend(t)
	hangs, _ := b.on("hangs", func(int, []uint64) answer { return answer{hang: true} })
	_, refuses := b.on("refuses", func(int, []uint64) answer { return answer{status: http.StatusServiceUnavailable} })
	lives, _ := b.on("lives", nil)
	d := serve(t, plan{grace: 100 * time.Millisecond, exporters: map[string]exporter{
		"otlp_grpc/absent": toGRPC(newGate(t).addr), "otlp_grpc/hangs": hangs, "otlp_http/refuses": refuses, "otlp_grpc/lives": lives,
	}})
	send(t, d.plan.grpc, "--spans", fmt.Sprint(spans))
	eventually(t, "all spans are delivered to the backend that lives", func() bool { _, seen, _ := b.got("lives"); return seen == spans })
	l, code := d.finish()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for name, e := range l.exporters {
		want := entry{inLog: spans}
		if name == "otlp_grpc/lives" {
			want = entry{delivered: spans}
		}
		if e.inLog != want.inLog || e.delivered != want.delivered || e.lost != 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// TestBadBackends: backends flap, hang, take half and hang, and answer with garbage, by turns. Everything
// arrives, and nothing is counted as lost.
func TestBadBackends(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	wild := func(n int, _ []uint64) answer {
		switch n % 7 {
		case 1:
			return answer{code: codes.Unavailable, status: http.StatusServiceUnavailable}
		case 3:
			return answer{half: true}
		case 4:
			return answer{hang: true}
		case 5:
			return answer{garbage: true}
		}
		return answer{}
	}
	byGRPC, _ := b.on("grpc", wild)
	_, byHTTP := b.on("http", wild)
	flaps := receive(t, "--answer", "flap=120ms/80ms", "--answer", "half,every=5", "--answer", "refuse=unavailable,every=7")
	const soon = "150ms"
	d := serve(t, plan{exporters: map[string]exporter{
		"otlp_grpc/wild": byGRPC.with("timeout", soon), "otlp_http/wild": byHTTP.with("timeout", soon),
		"otlp_grpc/flaps": toGRPC(flaps.grpc).with("timeout", soon), "otlp_http/flaps": toHTTP(flaps.http).with("timeout", soon),
	}})
	const spans = 4000
	send(t, d.plan.grpc, "--spans", fmt.Sprint(spans), "--request-spans", "100")
	delivered(t, d)
	for _, name := range []string{"grpc", "http"} {
		if missing := b.missing(name, spans); len(missing) > 0 {
			t.Errorf("%s: %d spans did not come: %v", name, len(missing), missing)
		}
	}
	if r := flaps.finish(); r.Seen() != spans || r.Lost() != 0 {
		t.Errorf("flapping: %d spans came, %d are lost", r.Seen(), r.Lost())
	}
}

// TestBackendThatWasDown: the backend is not there at first, not when the daemon starts again, and then
// it is.
func TestBackendThatWasDown(t *testing.T) {
	t.Parallel()
	acked := filepath.Join(t.TempDir(), "acked")
	s := receive(t, "--acked", acked)
	way := newGate(t)
	d := serve(t, plan{exporters: map[string]exporter{"otlp_grpc": toGRPC(way.addr)}, grace: 50 * time.Millisecond})
	const spans = 5000
	for i := range 2 {
		send(t, d.plan.grpc, "--acked", acked, "--spans", fmt.Sprint(spans))
		d.await("cannot deliver spans yet; they stay in the log")
		if l, code := d.finish(); code != 0 || l.exporters["otlp_grpc"].inLog != uint64(i+1)*spans {
			t.Errorf("exit code %d, %+v", code, l)
		}
		d = d.again()
	}
	way.open(s.grpc)
	eventually(t, "all spans are delivered", func() bool { return d.lag()["otlp_grpc"] == 0 })
	if n := delivered(t, d); n != 2*spans {
		t.Errorf("%d spans received", n)
	}
	if r := s.finish(); r.Lost() != 0 || r.Seen() != 2*spans || r.Duplicates() != 0 {
		t.Errorf("%d spans came, %d are lost, %d came twice", r.Seen(), r.Lost(), r.Duplicates())
	}
}
