package main

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sinkOn starts a sink on free ports, or those given.
func sinkOn(t *testing.T, grpc string, args ...string) (p *process, grpcAddr, httpURL string) {
	t.Helper()
	p = launch(t, append([]string{"sink", "--grpc", grpc, "--http", "127.0.0.1:0"}, args...)...)
	grpcAddr = p.await(`OTLP/gRPC +(\S+)`)
	httpURL = strings.TrimSuffix(p.await(`OTLP/HTTP +(\S+),`), "/v1/traces")
	p.await("Ctrl-C ends it")
	return p, grpcAddr, httpURL
}

// reported reads what a command printed with --json.
func reported[T any](t *testing.T, out string) (r T) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return r
}

// What load says it sent is what sink says it received, by hand and by machine.
func TestLoadAndSink(t *testing.T) {
	p, grpcAddr, httpURL := sinkOn(t, "127.0.0.1:0", "--json")
	out, errOut, code := execute(t, "load", "--endpoint", grpcAddr, "--spans", "20050", "--json", "--run", "c0ffee")
	sent := reported[loadReport](t, out)
	if code != exitOK || sent.Acknowledged != 20_050 || sent.Run != "00c0ffee" || sent.SpanBytes != 463 || sent.CPUSeconds <= 0 {
		t.Errorf("exit code %d: %s\n%s", code, out, errOut)
	}
	out, _, code = execute(t, "load", "--endpoint", httpURL, "--protocol", "http/json", "--spans", "1000", "--traces", "scattered", "--compression", "gzip")
	for _, want := range []string{"463.0 bytes each, 10 attributes, 10 a trace, scattered", "sent         1 000  in 10 requests, and 0 retries", "✓ every span was acknowledged"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q:\n%s", code, want, out)
		}
	}
	resp, err := http.Get(httpURL + "/report")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.errors())
	}
	got := reported[sinkReport](t, p.stdout.String())
	// JSON always has a status, which takes two bytes in protobuf.
	if got.Seen() != 21_050 || len(got.Runs) != 2 || got.Lost != 0 || got.Duplicates() != 0 || got.SpanBytes != 21_050*463+1000*2 {
		t.Errorf("%s", p.stdout.String())
	}
}

// awaitSpans returns when a sink has received so many spans.
func awaitSpans(t *testing.T, url string, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		resp, err := http.Get(url + "/report")
		if err != nil {
			t.Fatal(err)
		}
		var report sinkReport
		err = json.NewDecoder(resp.Body).Decode(&report)
		resp.Body.Close()
		switch {
		case err != nil:
			t.Fatal(err)
		case report.Spans >= n:
			return
		case time.Now().After(deadline):
			t.Fatalf("%d spans came, want %d", report.Spans, n)
		}
	}
}

// The receiver is killed under load and another takes its place: what was acknowledged before is what the
// second one finds lost, to the span.
func TestKilledSinkIsFoundOut(t *testing.T) {
	acked := filepath.Join(t.TempDir(), "acked")
	first, addr, url := sinkOn(t, "127.0.0.1:0")
	load := launch(t, "load", "--endpoint", addr, "--spans", "2000000", "--acked", acked, "--json")
	awaitSpans(t, url, 10_000) // and there are requests under way, at any moment
	first.signal(syscall.SIGKILL)
	first.end()
	second, _, _ := sinkOn(t, addr, "--acked", acked, "--json")
	if code := load.end(); code != exitOK {
		t.Fatalf("exit code %d: %s", code, load.errors())
	}
	second.signal(syscall.SIGTERM)
	if code := second.end(); code != exitLost || !strings.Contains(second.errors(), "lost") {
		t.Errorf("exit code %d: %s", code, second.errors())
	}
	sent, got := reported[loadReport](t, load.stdout.String()), reported[sinkReport](t, second.stdout.String())
	run := got.Runs[0]
	if sent.Acknowledged != 2_000_000 || *run.Acked != 2_000_000 || *run.Lost != 2_000_000-run.Seen || *run.Lost < 10_000-8*100 || sent.Retries == 0 {
		t.Errorf("%s\n%s", load.stdout.String(), second.stdout.String())
	}
}

func TestSinkReportsOnSignal(t *testing.T) {
	p, addr, _ := sinkOn(t, "127.0.0.1:0", "--answer", "partial=1", "--exit-after", "3960")
	_, errOut, code := execute(t, "load", "--endpoint", addr, "--spans", "1000")
	if code != exitLost || !strings.Contains(errOut, "10 spans not acknowledged") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	p.signal(syscall.SIGUSR1)
	execute(t, "load", "--endpoint", addr, "--spans", "3000")
	if code := p.end(); code != exitLost { // what it was told to reject is missing
		t.Errorf("exit code %d: %s", code, p.errors())
	}
	line, rest, _ := strings.Cut(p.stdout.String(), "\n")
	if r := reported[sinkReport](t, line); r.Runs[0].Seen != 990 || r.Partial != 10 {
		t.Errorf("%s", line)
	}
	for _, want := range []string{"Run ", "missing ", "taken in part, without", "CPU "} {
		if !strings.Contains(rest, want) {
			t.Errorf("no %q:\n%s", want, rest)
		}
	}
}

func TestLoadEndsWithCtrlC(t *testing.T) {
	p, addr, url := sinkOn(t, "127.0.0.1:0")
	load := launch(t, "load", "--endpoint", addr, "--rate", "2000", "--duration", "0")
	awaitSpans(t, url, 1)
	load.signal(syscall.SIGINT)
	if code := load.end(); code != exitOK || !strings.Contains(load.stdout.String(), "Load, ended by Ctrl-C") {
		t.Errorf("exit code %d:\n%s%s", code, load.stdout.String(), load.errors())
	}
	p.signal(syscall.SIGINT)
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, p.stdout.String())
	}
}

func TestLoadAndSinkUsage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().String()
	for want, args := range map[string][]string{
		`--traces is "torn": want whole or scattered`:                 {"load", "--traces", "torn"},
		`--protocol is "smoke"`:                                       {"load", "--protocol", "smoke"},
		`--connections is 0: want 1 to 65536`:                         {"load", "--connections", "0"},
		`--rate is "fast": want a number`:                             {"load", "--rate", "fast"},
		`--run is "xyz"`:                                              {"load", "--run", "xyz"},
		`--header: want NAME=VALUE`:                                   {"load", "--header", "x"},
		`--ca: cannot read`:                                           {"load", "--ca", "/nonexistent"},
		`unknown command or argument "now"`:                           {"load", "now"},
		`--answer: "explode": there is no "explode"`:                  {"sink", "--answer", "explode"},
		`--grpc and --http are both off: there is nothing to receive`: {"sink", "--grpc", "off", "--http", "off"},
		`--http is "nowhere"`:                                         {"sink", "--http", "nowhere"},
		`--exit-idle is -1s`:                                          {"sink", "--exit-idle", "-1s"},
	} {
		if _, errOut, code := execute(t, args...); code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%v: exit code %d: %s", args, code, errOut)
		}
	}
	for want, args := range map[string][]string{
		"Is another receiver running there?": {"sink", "--grpc", busy, "--http", "off"},
		"Is it running there?":               {"load", "--endpoint", "unix:/nonexistent/socket", "--connect-timeout", "1ms"},
		"--acked: open /nonexistent/file":    {"load", "--acked", "/nonexistent/file"},
	} {
		if _, errOut, code := execute(t, args...); code != exitLost || !strings.Contains(errOut, want) {
			t.Errorf("%v: exit code %d: %s", args, code, errOut)
		}
	}
}

// A low rate is even too, unless the size of requests was asked for.
func TestLoadRequestSize(t *testing.T) {
	for _, test := range []struct {
		args []string
		want int
	}{{nil, 100}, {[]string{"--rate=5"}, 1}, {[]string{"--rate=300"}, 30}, {[]string{"--rate=50000"}, 100}, {[]string{"--rate=5", "--request-spans=50"}, 50}} {
		l := loading{}
		flags := newLoad().Flags()
		l.cfg.Request, l.cfg.Rate = 100, 0
		if err := flags.Parse(test.args); err != nil {
			t.Fatal(err)
		}
		l.cfg.Rate, _ = flags.GetFloat64("rate")
		l.cfg.Request, _ = flags.GetInt("request-spans")
		if l.limit(flags); l.cfg.Request != test.want {
			t.Errorf("%v: %d spans a request", test.args, l.cfg.Request)
		}
	}
}
