package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 1234 56 0 0 20 0 9 0"
	for _, name := range []string{"(ringtail)", "(a b)", "(odd) 7 (name)", "())"} {
		user, system, err := parseStat([]byte("4711 " + name + rest + "\n"))
		if err != nil || user != 12.34 || system != 0.56 {
			t.Errorf("%s: %v, %v, %v, want 12.34 and 0.56", name, user, system, err)
		}
	}
	for _, bad := range []string{"", "4711 (ringtail) S 1 2 3", "4711 (x) S 1 2 3 4 5 6 7 8 9 10 many 56 0", "no parentheses"} {
		if user, system, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %v, %v, want an error", bad, user, system)
		}
	}
}

func TestParseField(t *testing.T) {
	const status = "Name:\tx\nVmPeak:\t 99999 kB\nVmHWM:\t  2560 kB\nVmRSS:\t 1024 kB\n"
	if got, err := parseField([]byte(status), "VmHWM", " kB"); err != nil || got != 2560 {
		t.Errorf("%v, %v, want 2560", got, err)
	}
	if got, err := parseField([]byte("rchar: 1\nwchar: 77\n"), "wchar", ""); err != nil || got != 77 {
		t.Errorf("%v, %v, want 77", got, err)
	}
	for _, bad := range []string{"", "Name:\tVmHWM\n", "VmHWM:\tmany kB\n", "VmHWM:\t7 MB\n"} {
		if got, err := parseField([]byte(bad), "VmHWM", " kB"); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0001: "0", 0.00123: "0.00123", 0.6512: "0.651", 3.9: "3.9", 19.24: "19.2", 123.4: "123",
		9999: "9999", 67000.4: "67 000", 1234567: "1 234 567", 100000: "100 000", -123456: "-123 456"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	c := ContenderResult{Runs: []Metrics{{cpu: 3}, {cpu: 1}, {cpu: 2}}}
	if s, ok := c.spread(cpu); !ok || s != (spread{2, 1, 3}) {
		t.Errorf("%+v, %v", s, ok)
	}
	c.Runs = append(c.Runs, Metrics{cpu: 10})
	if s, _ := c.spread(cpu); s != (spread{2.5, 1, 10}) {
		t.Errorf("even: %+v", s)
	}
	if _, ok := c.spread(peak); ok {
		t.Error("a metric that was not measured has a spread")
	}
}

// twoRuns is a row in which ours costs a and the rival b.
func twoRuns(a, b float64, checks ...Check) *RowResult {
	return &RowResult{
		Description: Description{Name: "row", Work: "work", Bar: "bar", Fair: "fair", Metric: cpu, Also: []string{peak}, Rival: "rival", Checks: checks},
		Contenders: []ContenderResult{
			{Name: "ours", Ours: true, Runs: []Metrics{{cpu: a, peak: 30}}},
			{Name: "rival", Runs: []Metrics{{cpu: b, peak: 120}}},
		},
	}
}

func TestRatio(t *testing.T) {
	r := twoRuns(0.5, 4)
	if got := r.ratio(&r.Contenders[0]); got != "8" {
		t.Errorf("got %q, want 8", got)
	}
	if got := r.ratio(&r.Contenders[1]); got != "" {
		t.Errorf("the rival's own ratio is %q", got)
	}
	r.More = true
	if got := r.ratio(&r.Contenders[0]); got != "**0.125**" {
		t.Errorf("more is better, and ours is less: got %q, want **0.125**", got)
	}
	r.Contenders[1].Failed = "broke"
	if got := r.ratio(&r.Contenders[0]); got != "" {
		t.Errorf("compared with a rival that failed: %q", got)
	}
}

func TestVerdict(t *testing.T) {
	most := func(limit float64) Check { return Check{Contender: "ours", Metric: cpu, Limit: limit} }
	for _, c := range []struct {
		name string
		row  *RowResult
		want string
	}{
		{"no bar", twoRuns(1, 4), "see figures"},
		{"on the bar", twoRuns(1, 4, most(1)), "reached"},
		{"above", twoRuns(1.5, 4, most(1)), "missed (ours: 1.5 CPU s/M spans, not ≤ 1)"},
		{"below", twoRuns(1.5, 4, Check{Contender: "ours", Metric: peak, AtLeast: true, Limit: 31}), "missed (ours: 30 peak MiB, not ≥ 31)"},
		{"times", twoRuns(1.5, 1, Check{Contender: "ours", Metric: cpu, Limit: 1.7, Times: "rival"}), "reached"},
		{"more than times", twoRuns(1.8, 1, Check{Contender: "ours", Metric: cpu, Limit: 1.7, Times: "rival"}), "missed (ours: 1.8 CPU s/M spans, not ≤ 1.7)"},
		{"not measured", twoRuns(1, 1, Check{Contender: "ours", Metric: rate, Limit: 1}), "missed (ours: spans/s not measured)"},
		{"of nobody", twoRuns(1, 1, Check{Contender: "ours", Metric: cpu, Limit: 1, Times: "nobody"}), "missed (ours: CPU s/M spans not measured)"},
	} {
		if got := c.row.verdict(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	r := twoRuns(1, 4, most(1))
	r.Contenders[0].Failed = "7 spans did not arrive"
	if got := r.verdict(); !strings.HasPrefix(got, "missed (ours: failed") {
		t.Errorf("failed: %q", got)
	}
}

// Whatever the table says is made of the recording.
func TestMarkdown(t *testing.T) {
	failed := twoRuns(1, 4)
	failed.Contenders[0].Failed = "7 spans | did not arrive\nand more"
	failed.Name, failed.Fair = "other", "not fair"
	path := filepath.Join(t.TempDir(), "x.json")
	rec := &Recording{Command: "go run ./daemon", Date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Collector: "0.1.2",
		Machine: Machine{CPU: "a chip", Cores: 2, LoadBefore: "0.10 0.20 0.30", FileSystem: "ext4"}, Rows: []RowResult{*twoRuns(0.5, 4), *failed}}
	if err := rec.write(path); err != nil {
		t.Fatal(err)
	}
	read, err := readRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	table := read.markdown()
	for _, want := range []string{"2 January 2026", "a chip", "ext4", "load average 0.10 before and unknown after", "OpenTelemetry Collector 0.1.2.",
		"| **row** work<br>Bar: bar — see figures | Ringtail: ours | 0.5 CPU s/M spans | 8 | 30 peak MiB |\n",
		"|  | rival | 4 CPU s/M spans |  | 120 peak MiB |\n",
		"Ringtail: ours | **failed**: 7 spans \\| did not arrive |", "- **row**: fair\n", "- **other**: not fair\n"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if strings.Contains(table, "quick run") {
		t.Error("calls itself a quick run")
	}
	if short := read.summary(); !strings.Contains(short, "| Ringtail: ours | 0.5 CPU s/M spans | 8 |\n") || strings.Contains(short, "peak MiB") {
		t.Errorf("in short:\n%s", short)
	}
}

func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := os.WriteFile(path, []byte("before\n<!-- daemon:begin -->\nold\n<!-- daemon:end -->\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again, and nothing grows
		if err := rewrite(path, "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(path)
	if string(got) != "before\n<!-- daemon:begin -->\nnew\n<!-- daemon:end -->\nafter\n" {
		t.Errorf("got %q", got)
	}
	if err := os.WriteFile(path, []byte("no markers"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, "new"); err == nil {
		t.Error("rewrote a file without markers")
	}
}

// Every check of a row is about contenders that it has, and metrics that it shows.
func TestRows(t *testing.T) {
	for _, r := range rows() {
		names := map[string]bool{}
		for _, c := range r.Contenders {
			if names[c.Name] {
				t.Errorf("%s: two contenders are called %q", r.Name, c.Name)
			}
			names[c.Name] = true
		}
		shown := map[string]bool{r.Metric: true}
		for _, m := range r.Also {
			shown[m] = true
		}
		for _, c := range r.Checks {
			if !names[c.Contender] || c.Times != "" && !names[c.Times] {
				t.Errorf("%s: a check is about nobody: %+v", r.Name, c)
			}
			if !shown[c.Metric] {
				t.Errorf("%s: the table does not show what is checked: %s", r.Name, c.Metric)
			}
		}
		if r.Rival != "" && !names[r.Rival] {
			t.Errorf("%s: there is no rival %q", r.Name, r.Rival)
		}
	}
}

func TestLoadReportClean(t *testing.T) {
	for _, r := range []loadReport{{}, {Sent: 10, Acked: 10, Retries: 3, Turned: 3}, {Sent: 10, Acked: 4, Refused: 6, Retryable: 6}} {
		if err := r.clean(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range []loadReport{{Rejected: 1}, {Final: 1}, {GivenUp: 1}, {Unanswered: 1}, {Refused: 6, Retryable: 5}} {
		if r.clean() == nil {
			t.Errorf("%+v is no trouble", r)
		}
	}
}

func TestConfiguration(t *testing.T) {
	to := &target{grpc: "127.0.0.1:1", http: "127.0.0.1:2"}
	w := work{gzipOut: true, storage: "unsynced", logBytes: 1 << 30}
	got := configuration(to, w, []string{"127.0.0.1:3", "127.0.0.1:4"}, "/log", true)
	for _, want := range []string{`grpc: {endpoint: "127.0.0.1:1"}`, `otlp_grpc/2:`, `endpoint: "127.0.0.1:4"`, "compression: gzip",
		`file_storage: {directory: "/log", fsync: false}`, "queue_size: 1073741824", "exporters: [otlp_grpc/1, otlp_grpc/2]", "extensions: [file_storage]"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if rival := configuration(to, w, []string{"127.0.0.1:3"}, "/log", false); strings.Contains(rival, "sizer") {
		t.Errorf("the Collector is told how large Ringtail's log is:\n%s", rival)
	}
	if plain := configuration(to, work{}, []string{"127.0.0.1:3"}, "/log", true); strings.Contains(plain, "file_storage") || !strings.Contains(plain, "compression: none") {
		t.Errorf("in memory:\n%s", plain)
	}
}

// A relay hands on every byte in both directions, and the end.
func TestRelay(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	echoed := make(chan error, 1)
	go func() {
		c, err := backend.Accept()
		if err == nil {
			_, err = io.CopyN(c, c, 1<<20)
			c.Close()
		}
		echoed <- err
	}()
	client, in := pipe(t)
	if err := client.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	out, err := net.Dial("tcp", backend.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() { relay(out, in); done <- struct{}{} }()
	go func() { relay(in, out); done <- struct{}{} }()
	go func() { _, _ = client.Write(make([]byte, 1<<20)) }()
	if n, err := io.Copy(io.Discard, client); n != 1<<20 || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	client.Close()
	<-done
	<-done
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

// pipe returns both ends of a TCP connection.
func pipe(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err == nil {
		server, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// What a process costs is read while it runs, of the process that was started.
func TestProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc")
	}
	p, err := startProcess(context.Background(), "/bin/sh", "-c", `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo counted >&2; read forever; exec sleep 60`)
	if err != nil {
		t.Skip(err)
	}
	defer p.kill()
	// Its standard input is empty, so that it sleeps.
	if _, err := p.await(regexp.MustCompile("counted")); err != nil {
		t.Fatal(err)
	}
	u, err := p.usage()
	if used := u.user + u.system; err != nil || used <= 0 || used > 60 || u.written < float64(len("counted\n")) {
		t.Errorf("used %+v, %v", u, err)
	}
	if mib, err := p.peakMiB(); err != nil || mib <= 0 || mib > 1000 {
		t.Errorf("peak %v MiB, %v", mib, err)
	}
	p.kill()
	if !p.ended() {
		t.Error("killed, and not ended")
	}
	if err := p.stop(); err == nil {
		t.Error("stopped a process that was killed, without an error")
	}
}

// A process that ends too early says why.
func TestProcessEnds(t *testing.T) {
	p, err := startProcess(context.Background(), "/bin/sh", "-c", "echo the reason >&2; exit 3")
	if err != nil {
		t.Skip(err)
	}
	_, err = p.await(regexp.MustCompile("never printed"))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("%v, want its exit status and what it printed", err)
	}
}
