package export

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

var compressions = []Compression{NoCompression, Gzip, Zstd}

func testBatch(t testing.TB, seed uint64, spans int) *ringtail.Batch {
	t.Helper()
	b, err := ringtailtest.NewBatch(ringtailtest.Spans(seed, spans)...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustOpen(t *testing.T, path string, cfg FileConfig) *FileExporter {
	t.Helper()
	e, err := NewFile(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(context.Background()) })
	return e
}

func mustExport(t *testing.T, e *FileExporter, batches ...*ringtail.Batch) {
	t.Helper()
	for _, b := range batches {
		if err := e.Export(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func mustShut(t *testing.T, e *FileExporter) {
	t.Helper()
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// content returns the text of a file, unpacked by libraries other than ours where
// there are any.
func content(t *testing.T, path string, c Compression) string {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := io.Reader(bytes.NewReader(p))
	if len(p) > 0 {
		switch c {
		case Gzip:
			r, err = stdgzip.NewReader(r)
		case Zstd:
			r, err = zstd.NewReader(r)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err = io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(p)
}

// holds checks that files hold exactly these batches, in this order.
func holds(t *testing.T, c Compression, paths []string, batches ...*ringtail.Batch) {
	t.Helper()
	var got, want []string
	for _, path := range paths {
		text := content(t, path, c)
		if text != "" && !strings.HasSuffix(text, "\n") {
			t.Errorf("%s does not end with a newline", path)
		}
		for line := range strings.Lines(text) {
			got = append(got, line)
		}
	}
	for _, b := range batches {
		line, err := otlp.AppendJSON(nil, b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, string(line)+"\n")
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("line %d is\n%.200s\nwant\n%.200s", i, got[i], want[i])
		}
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestFileHoldsOneRequestALine(t *testing.T) {
	for _, c := range compressions {
		t.Run(c.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "spans.jsonl")
			a, b := testBatch(t, 1, 20), testBatch(t, 2, 3000)
			e := mustOpen(t, path, FileConfig{Compression: c})
			mustExport(t, e, a, b)
			holds(t, c, []string{path}, a, b) // it can be read while it is written
			mustShut(t, e)
			e = mustOpen(t, path, FileConfig{Compression: c}) // and is continued
			mustExport(t, e, a)
			holds(t, c, []string{path}, a, b, a)
			info, err := os.Stat(path)
			if err != nil || info.Mode()&0o700 != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			for i, line := range strings.Split(strings.TrimSpace(content(t, path, c)), "\n") {
				request, err := otlp.AppendFromJSON(nil, []byte(line))
				if err != nil || otlp.Count(request) != []int{20, 3000, 20}[i] {
					t.Errorf("line %d: %d spans, %v", i, otlp.Count(request), err)
				}
			}
		})
	}
}

func TestFileConcurrentExports(t *testing.T) {
	for _, c := range compressions {
		t.Run(c.String(), func(t *testing.T) {
			dir := t.TempDir()
			e := mustOpen(t, filepath.Join(dir, "spans"), FileConfig{Compression: c, RotateBytes: 20_000})
			var wg sync.WaitGroup
			for g := range 4 {
				b := testBatch(t, uint64(g), 10+g)
				wg.Go(func() {
					for range 25 {
						if err := e.Export(t.Context(), b); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			mustShut(t, e)
			spans := 0
			for _, name := range names(t, dir) {
				for line := range strings.Lines(content(t, filepath.Join(dir, name), c)) {
					request, err := otlp.AppendFromJSON(nil, []byte(line))
					if err != nil {
						t.Fatal(err)
					}
					spans += otlp.Count(request)
				}
			}
			if spans != 25*(10+11+12+13) {
				t.Errorf("%d spans, want %d", spans, 25*(10+11+12+13))
			}
		})
	}
}

func TestNewFileErrors(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"text": "hello\n", "gzip": "\x1f\x8b", "open": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, filepath.Join(dir, "open"), FileConfig{})
	for _, c := range []struct {
		path string
		cfg  FileConfig
		want string
	}{
		{"no/where", FileConfig{}, "export: cannot create DIR/no/where: directory DIR/no does not exist"},
		{".", FileConfig{}, "is a directory"},
		{"text", FileConfig{}, "export: cannot continue DIR/text with compression none: it does not begin as such a file does; rename it"},
		{"gzip", FileConfig{Compression: Zstd}, "export: cannot continue DIR/gzip with compression zstd: it does not begin"},
		{"open", FileConfig{}, "export: cannot export to DIR/open: another exporter writes to it"},
		{"a", FileConfig{Compression: 9}, "export: NewFile: FileConfig.Compression is 9, unknown"},
		{"a", FileConfig{RotateBytes: -1}, "FileConfig.RotateBytes is -1, must not be negative"},
		{"a", FileConfig{RotateEvery: 1}, "FileConfig.RotateEvery is 1ns, must be at least 1s"},
		{"a", FileConfig{MaxBackups: -1}, "FileConfig.MaxBackups is -1, must not be negative"},
		{"a", FileConfig{MaxBackupAge: -1}, "FileConfig.MaxBackupAge is -1ns, must not be negative"},
		{"a", FileConfig{Mode: fs.ModeDir}, "FileConfig.Mode is d---------, must be permissions only"},
	} {
		_, err := NewFile(filepath.Join(dir, c.path), c.cfg)
		if got := strings.ReplaceAll(fmt.Sprint(err), dir, "DIR"); !strings.Contains(got, c.want) {
			t.Errorf("NewFile(%s, %+v): %s, want %s", c.path, c.cfg, got, c.want)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "text")); string(text) != "hello\n" {
		t.Errorf("a file of another format has been changed: %q", text)
	}
}
