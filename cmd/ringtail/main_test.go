package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/otlp"
)

var binary string // the real program, built once

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ringtail-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "ringtail")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build the program: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// execute runs the program to its end.
func execute(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		if _, ok := err.(*exec.ExitError); !ok || ctx.Err() != nil {
			t.Fatalf("%v: %v\n%s", args, err, errOut.String())
		}
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// A process is the program, running.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	lines  chan string // of standard error
	mu     sync.Mutex
	stderr strings.Builder
}

func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), lines: make(chan string, 1000)}
	p.cmd.Stdout = &p.stdout
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			p.mu.Lock()
			p.stderr.WriteString(s.Text() + "\n")
			p.mu.Unlock()
			p.lines <- s.Text()
		}
	}()
	return p
}

// await returns the submatch of the first line of standard error that matches.
func (p *process) await(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		select {
		case line, open := <-p.lines:
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
			if !open {
				p.t.Fatalf("the program ended and did not say %q:\n%s", pattern, p.errors())
			}
		case <-timeout:
			p.t.Fatalf("the program did not say %q:\n%s", pattern, p.errors())
		}
	}
}

func (p *process) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the end, and returns the exit code.
func (p *process) end() int {
	p.t.Helper()
	ended := make(chan bool)
	go func() {
		for range p.lines {
		}
		p.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.signal(syscall.SIGQUIT)
		<-ended
		p.t.Fatalf("the program does not end:\n%s", p.errors())
		return -1
	}
}

// spansIn counts the spans in a file of OTLP JSON lines.
func spansIn(t *testing.T, r io.Reader) int {
	t.Helper()
	n := 0
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			pb, err := otlp.AppendFromJSON(nil, line)
			if err != nil {
				t.Fatal(err)
			}
			n += otlp.Count(pb)
		}
		if err != nil {
			return n
		}
	}
}

func spansInFile(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return spansIn(t, f)
}

// ledgerEntry reads a figure from a printed ledger.
func ledgerEntry(t *testing.T, text, name string) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^  ` + name + ` +([\d ]+?)(  .*)?$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("there is no %q in the ledger:\n%s", name, text)
	}
	n, err := strconv.Atoi(strings.ReplaceAll(m[1], " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMistakesAreExplained(t *testing.T) {
	for _, test := range []struct {
		args string
		want string
	}{
		{"bogus", `unknown command or argument "bogus"`},
		{"demo extra", `unknown command or argument "extra"`},
		{"demo --nope", "unknown flag: --nope"},
		{"demo --spans x", `--spans is "x": want a whole number`},
		{"demo --spans 0", "--spans is 0: want 1 to 100000 a producer; for more, see 'ringtail stress'"},
		{"demo --producers 300", "--producers is 300: want 1 to 256"},
		{"demo --rate -1", "--rate is -1: want 0"},
		{"demo --rate NaN", "--rate is NaN: want 0"},
		{"demo --export foo", `there is no exporter "foo"; want stdout, json=FILE`},
		{"demo --export json", "says not where to; write --export json=spans.jsonl"},
		{"demo --export otlp-grpc=", "write --export otlp-grpc=127.0.0.1:4317"},
		{"demo --export null=3", "null takes no value"},
		{"demo --export null --export null", "is given twice"},
		{"demo --export stdout --export json=-", "would both write to standard output"},
		{"demo --export otlp-http=localhost:4318", "write otlp-http=http://localhost:4318"},
		{"demo --export otlp-grpc=localhost:99999", "65535"},
		{"demo --compression br", `--compression is "br": want none, gzip or zstd`},
		{"demo --header secret", "--header: want NAME=VALUE"},
		{"stress --duration 5", `--duration is "5": want a time, as 500ms, 10s or 2m`},
		{"stress --attributes 200", "--attributes is 200: want 0 to 128"},
		{"stress --ring-bits 3", "--ring-bits is 3: want 6 to 22"},
		{"serve --grpc 4317", `--grpc is "4317": want HOST:PORT`},
		{"serve --http 127.0.0.1:http", `--http is "127.0.0.1:http": want HOST:PORT`},
		{"serve --grpc off --http off", "both off"},
		{"serve --memory-limit 5MB", `--memory-limit is "5MB": want a size`},
		{"serve --memory-limit 100MiB", "--memory-limit is 100MiB: want at least twice --max-request-bytes, which is 64MiB"},
		{"serve --max-request-bytes 200MiB", "--memory-limit is 256MiB: want at least twice --max-request-bytes, which is 200MiB"},
		{"serve --max-request-bytes 10", "--max-request-bytes is 10: want 1KiB to 1GiB"},
		{"serve --log-bytes 1", "--log-bytes is 1: want at least 1MiB"},
		{"serve --when-full explode", `--when-full is "explode": want refuse or drop_oldest`},
		{"serve --sync often", `--sync is "often": want group, never, or a time`},
		{"serve --data-dir=", "--data-dir is empty"},
		{"serve --config /nonexistent.yaml", "/nonexistent.yaml: no such file"},
		{"serve --body-timeout 0s", "--body-timeout is 0s: want 1ms to 1h"},
	} {
		var out, errOut bytes.Buffer
		code := run(context.Background(), strings.Fields(test.args), &out, &errOut)
		if code != exitUsage || !strings.Contains(errOut.String(), test.want) || !strings.Contains(errOut.String(), "--help'") {
			t.Errorf("%s: exit code %d\n%s", test.args, code, errOut.String())
		}
		if out.Len() != 0 {
			t.Errorf("%s: an error goes to standard output: %s", test.args, out.String())
		}
		if strings.Contains(errOut.String(), "secret") {
			t.Errorf("%s: a header's value is shown", test.args)
		}
	}
}

// Help is of no help when the disk is what is wrong.
func TestFilesThatCannotBeWritten(t *testing.T) {
	for _, command := range []string{"demo", "stress", "serve"} {
		var errOut bytes.Buffer
		code := run(context.Background(), append([]string{command, "--export", "json=/nonexistent/spans"}, map[string][]string{"serve": {"--data-dir", t.TempDir()}}[command]...), io.Discard, &errOut)
		if code != exitLost || !strings.Contains(errOut.String(), "--export json=/nonexistent/spans: ") || strings.Contains(errOut.String(), "--help") {
			t.Errorf("%s: exit code %d\n%s", command, code, errOut.String())
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	for _, args := range []string{"--help", "demo --help", "stress --help", "serve --help", "help demo"} {
		var out, errOut bytes.Buffer
		if code := run(context.Background(), strings.Fields(args), &out, &errOut); code != exitOK || errOut.Len() != 0 {
			t.Errorf("%q: %d, %s", args, code, errOut.String())
		}
		if !strings.Contains(out.String(), "Examples:\n  ringtail ") {
			t.Errorf("%q has no examples:\n%s", args, out.String())
		}
	}
	for _, arg := range []string{"version", "--version"} {
		var out bytes.Buffer
		if run(context.Background(), []string{arg}, &out, io.Discard); !regexp.MustCompile(`^ringtail \d+\.\d+\.\d+ \(go.*\)\n$`).MatchString(out.String()) {
			t.Errorf("%s: %q", arg, out.String())
		}
	}
}

func TestSignalsInARowAreOne(t *testing.T) {
	var first time.Time
	now := time.Unix(1, 0)
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {0, false}, {sameSignal - 1, false}, {sameSignal, true}, {time.Hour, true}} {
		if got := second(&first, now.Add(test.after)); got != test.want {
			t.Errorf("after %v: %v", test.after, got)
		}
	}
}

func TestInterrupted(t *testing.T) {
	polite, force, stop := interrupted(context.Background())
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-polite.Done()
	if force.Err() != nil {
		t.Error("one signal is enough to force")
	}
	stop()
	<-force.Done()
}
