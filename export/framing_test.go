package export

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringtail-otel/ringtail/otlp"
)

func TestFileCanBeReadByTheUsualTools(t *testing.T) {
	for c, tool := range map[Compression]string{Gzip: "gzip", Zstd: "zstd"} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skip(err)
			}
			path := filepath.Join(t.TempDir(), "spans.jsonl."+tool)
			e := mustOpen(t, path, FileConfig{Compression: c})
			mustExport(t, e, testBatch(t, 1, 20), testBatch(t, 2, 30))
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd := exec.Command(tool, "-dc")
			cmd.Stdin = f
			out, err := cmd.Output()
			if err != nil || string(out) != content(t, path, c) {
				t.Errorf("%s gives %d bytes, %v", tool, len(out), err)
			}
		})
	}
}

// A file that was cut anywhere within its last record is continued with whole
// records, and what was cut is kept.
func TestFileRepairsATornEnd(t *testing.T) {
	for _, c := range compressions {
		t.Run(c.String(), func(t *testing.T) {
			dir := t.TempDir()
			a, b := testBatch(t, 1, 5), testBatch(t, 2, 8)
			whole := filepath.Join(dir, "whole")
			e := mustOpen(t, whole, FileConfig{Compression: c})
			mustExport(t, e, a)
			first, _ := os.Stat(whole)
			mustExport(t, e, b)
			mustShut(t, e)
			full, err := os.ReadFile(whole)
			if err != nil {
				t.Fatal(err)
			}
			for cut := int(first.Size()) + 1; cut < len(full); cut += 1 + (len(full)-cut-1)/8 {
				for _, zeros := range []int{0, 5} { // as after a power failure
					dir := t.TempDir()
					path := filepath.Join(dir, "spans.jsonl")
					torn := append(bytes.Clone(full[:cut]), make([]byte, zeros)...)
					if err := os.WriteFile(path, torn, 0o644); err != nil {
						t.Fatal(err)
					}
					var log bytes.Buffer
					e := mustOpen(t, path, FileConfig{Compression: c, Logger: slog.New(slog.NewTextHandler(&log, nil))})
					mustExport(t, e, a)
					mustShut(t, e)
					// Only the newline was missing, or zeros that happen to be the right ones.
					if c == NoCompression && cut == len(full)-1 && zeros == 0 || bytes.HasPrefix(torn, full) {
						holds(t, c, []string{path}, a, b, a)
						continue
					}
					holds(t, c, []string{path}, a, a)
					files := names(t, dir)
					if len(files) != 2 || !strings.Contains(files[0], ".torn.jsonl") ||
						!strings.Contains(log.String(), fmt.Sprintf("offset=%d bytes=%d", first.Size(), cut+zeros-int(first.Size()))) {
						t.Fatalf("cut at %d: files %v, log %s", cut, files, &log)
					}
					aside, err := os.ReadFile(filepath.Join(dir, files[0]))
					if err != nil || !bytes.Equal(aside, torn[first.Size():]) {
						t.Fatalf("cut at %d: %d bytes aside, %v", cut, len(aside), err)
					}
				}
			}
		})
	}
}

// A compressed record of the right length that was never written, as after a power
// failure, is not taken for one.
func TestFileRepairsZeros(t *testing.T) {
	for _, c := range compressions[1:] {
		path := filepath.Join(t.TempDir(), "spans")
		a := testBatch(t, 1, 5)
		e := mustOpen(t, path, FileConfig{Compression: c})
		mustExport(t, e, a)
		first, _ := os.Stat(path)
		mustExport(t, e, testBatch(t, 2, 8))
		mustShut(t, e)
		p, _ := os.ReadFile(path)
		clear(p[first.Size()+gzipHeader+10 : len(p)-8])
		if err := os.WriteFile(path, p, 0o644); err != nil {
			t.Fatal(err)
		}
		mustShut(t, mustOpen(t, path, FileConfig{Compression: c, Logger: slog.New(slog.DiscardHandler)}))
		holds(t, c, []string{path}, a)
	}
}

// Files that other programs have compressed are continued too.
func TestFileContinuesForeignGzip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	a := testBatch(t, 1, 5)
	line, _ := otlp.AppendJSON(nil, a.Bytes())
	var buf bytes.Buffer
	for range 2 {
		w := stdgzip.NewWriter(&buf)
		w.Write(append(line, '\n'))
		w.Close()
	}
	if err := os.WriteFile(path, append(buf.Bytes(), buf.Bytes()[:50]...), 0o644); err != nil {
		t.Fatal(err)
	}
	e := mustOpen(t, path, FileConfig{Compression: Gzip, Logger: slog.New(slog.DiscardHandler)})
	mustExport(t, e, a)
	holds(t, Gzip, []string{path}, a, a, a)
}

// The end of a frame is where its encoder stopped, whatever blocks it consists of.
func TestFrameEnds(t *testing.T) {
	random := make([]byte, 1<<20)
	for i, r := 0, rand.New(rand.NewPCG(1, 1)); i < len(random); i++ {
		random[i] = byte(r.Uint32())
	}
	for _, c := range []struct {
		c   Compression
		end func(io.ReaderAt, int64, int64) (int64, bool)
	}{{Gzip, gzipMemberEnd}, {Zstd, zstdFrameEnd}} {
		frames, err := newFramer(c.c)
		if err != nil {
			t.Fatal(err)
		}
		defer frames.close()
		for _, line := range [][]byte{{'\n'}, random, random[:1000], make([]byte, 1<<20), bytes.Repeat([]byte("span "), 1<<16)} {
			file := frames.append([]byte("before"), line)
			size := int64(len(file))
			file = append(file, "behind"...)
			if end, ok := c.end(bytes.NewReader(file), 6, int64(len(file))); !ok || end != size {
				t.Errorf("%v of %d bytes ends at %d, %v, want %d", c.c, len(line), end, ok, size)
			}
			if end, ok := c.end(bytes.NewReader(file[:size-1]), 6, size-1); ok {
				t.Errorf("%v of %d bytes, the last one missing, ends at %d", c.c, len(line), end)
			}
		}
	}
}
