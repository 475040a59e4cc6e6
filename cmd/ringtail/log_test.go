package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A log with spans that an exporter has not had is listed, printed, checked, and let go.
func TestLogCommands(t *testing.T) {
	dir := t.TempDir()
	addr, connected := hungBackend(t)
	p, grpcAddr, _ := serving(t, "--export", "otlp-grpc="+addr, "--shutdown-timeout", "300ms", "--data-dir", dir)
	for range 3 {
		if err := sendGRPC(grpcAddr, 4); err != nil {
			t.Fatal(err)
		}
	}
	<-connected
	// Beside the daemon that has it open.
	if out, stderr, code := execute(t, "log", "ls", "--data-dir", dir); code != exitOK || !strings.Contains(out, "12 spans were ever appended") {
		t.Errorf("ls beside the daemon: %d, %s%s", code, out, stderr)
	}
	if _, stderr, code := execute(t, "log", "forget", "--data-dir", dir, "otlp-grpc="+addr); code != exitLost || !strings.Contains(stderr, "another process") {
		t.Errorf("forget beside the daemon: %d, %s", code, stderr)
	}
	p.signal(os.Interrupt)
	p.end()

	out, stderr, code := execute(t, "log", "ls", "--data-dir", dir)
	if code != exitOK || !strings.Contains(out, "12 spans were ever appended") || !strings.Contains(out, "otlp-grpc="+addr+": at 0, 12 spans wait") {
		t.Errorf("ls: %d, %s%s", code, out, stderr)
	}
	out, stderr, code = execute(t, "log", "cat", "--data-dir", dir)
	if n := spansIn(t, strings.NewReader(out)); code != exitOK || n != 12 {
		t.Errorf("cat: %d, %d spans, %s", code, n, stderr)
	}
	out, stderr, code = execute(t, "log", "cat", "--data-dir", dir, "--tree", "--cursor", "otlp-grpc="+addr)
	if code != exitOK || !strings.Contains(out, "work") {
		t.Errorf("cat --tree: %d, %s%s", code, out, stderr)
	}
	if out, stderr, code = execute(t, "log", "verify", "--data-dir", dir); code != exitOK || !strings.Contains(out, "✓") {
		t.Errorf("verify: %d, %s%s", code, out, stderr)
	}

	sent, sentDir := filepath.Join(t.TempDir(), "spans"), t.TempDir()
	p, grpcAddr, _ = serving(t, "--export", "json="+sent, "--data-dir", sentDir)
	if err := sendGRPC(grpcAddr, 4); err != nil {
		t.Fatal(err)
	}
	p.signal(os.Interrupt)
	p.end()
	if out, stderr, code := execute(t, "log", "ls", "--data-dir", sentDir); code != exitOK || !strings.Contains(out, `nothing waits  {"delivered":4}`) {
		t.Errorf("ls when all is delivered: %d, %s%s", code, out, stderr)
	}

	// A bit flips in the middle of the segment.
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(text), "work")
	text[at] ^= 4
	if err := os.WriteFile(segments[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, stderr, code = execute(t, "log", "verify", "--data-dir", dir); code != exitLost || !strings.Contains(out, filepath.Base(segments[0])) || !strings.Contains(stderr, "damaged in 1 place") {
		t.Errorf("verify of a damaged log: %d, %s%s", code, out, stderr)
	}

	if out, stderr, code = execute(t, "log", "forget", "--data-dir", dir, "otlp-grpc="+addr); code != exitOK || !strings.Contains(out, "Forgotten: otlp-grpc="+addr) {
		t.Errorf("forget: %d, %s%s", code, out, stderr)
	}
	for _, args := range [][]string{{"forget", "nobody"}, {"cat", "--cursor", "nobody"}} {
		if _, stderr, code = execute(t, append([]string{"log", "--data-dir", dir}, args...)...); code != exitLost || !strings.Contains(stderr, `there is no cursor "nobody"`) {
			t.Errorf("%v: %d, %s", args, code, stderr)
		}
	}
}

func TestLogMistakes(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, command := range []string{"ls", "cat", "verify"} {
		if _, stderr, code := execute(t, "log", command, "--data-dir", none); code != exitLost || !strings.Contains(stderr, none) {
			t.Errorf("%s of a directory that is not there: %d, %s", command, code, stderr)
		}
		if _, stderr, code := execute(t, "log", command, none); code != exitUsage || !strings.Contains(stderr, "--data-dir") {
			t.Errorf("%s with an argument: %d, %s", command, code, stderr)
		}
	}
	if _, stderr, code := execute(t, "log", "forget"); code != exitUsage || !strings.Contains(stderr, "name of one cursor") {
		t.Errorf("forget: %d, %s", code, stderr)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("looking at a directory made it")
	}
}
