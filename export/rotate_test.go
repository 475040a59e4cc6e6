package export

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
)

func TestFileRotatesBySize(t *testing.T) {
	for _, c := range compressions {
		t.Run(c.String(), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "spans.jsonl.gz")
			small, large := testBatch(t, 1, 5), testBatch(t, 2, 400)
			frames, _ := newFramer(c)
			line, _ := otlp.AppendJSON(nil, small.Bytes())
			size := len(line) + 1
			if c != NoCompression {
				size = len(frames.append(nil, append(line, '\n')))
			}
			e := mustOpen(t, path, FileConfig{Compression: c, RotateBytes: int64(2*size + size/2)})
			mustExport(t, e, small, small, small, large, small)
			mustShut(t, e)
			files := names(t, dir)
			if len(files) != 4 {
				t.Fatal(files)
			}
			for i, want := range [][]*ringtail.Batch{{small, small}, {small}, {large}, {small}} {
				if i < 3 && (!strings.HasPrefix(files[i], "spans-2") || !strings.HasSuffix(files[i], ".jsonl.gz")) {
					t.Errorf("name of a backup: %s", files[i])
				}
				holds(t, c, []string{filepath.Join(dir, files[i])}, want...)
			}
		})
	}
}

func TestFileRotatesByTimeAndRemovesBackups(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "spans.jsonl")
	other := filepath.Join(dir, "spans-of-others.jsonl")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a := testBatch(t, 1, 2)
	cfg := FileConfig{RotateEvery: time.Hour, MaxBackups: 5, MaxBackupAge: 2*time.Hour + time.Minute}
	synctest.Test(t, func(t *testing.T) { // begins at midnight
		cfg := cfg
		cfg.MaxBackupAge = 0
		e := mustOpen(t, path, cfg)
		for range 8 * 4 {
			mustExport(t, e, a)
			time.Sleep(15 * time.Minute)
		}
		mustShut(t, e)
	})
	files := names(t, dir)
	want := []string{
		"spans-2000-01-01T03-00-00.000.jsonl", "spans-2000-01-01T04-00-00.000.jsonl", "spans-2000-01-01T05-00-00.000.jsonl",
		"spans-2000-01-01T06-00-00.000.jsonl", "spans-2000-01-01T07-00-00.000.jsonl", "spans-of-others.jsonl", "spans.jsonl",
	}
	if strings.Join(files, " ") != strings.Join(want, " ") {
		t.Errorf("files %v, want %v", files, want)
	}
	for _, name := range append(want[:5:5], "spans.jsonl") {
		holds(t, NoCompression, []string{filepath.Join(dir, name)}, a, a, a, a)
	}
	// The file is as old as its last write says, not as its opening.
	synctest.Test(t, func(t *testing.T) {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(7*time.Hour+50*time.Minute)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8*time.Hour + 5*time.Minute)
		e := mustOpen(t, path, cfg) // and removes what is older than MaxBackupAge
		mustExport(t, e, a)
		time.Sleep(5 * time.Minute)
		mustExport(t, e, a)
		mustShut(t, e)
	})
	want = []string{
		"spans-2000-01-01T07-00-00.000.jsonl", "spans-2000-01-01T08-05-00.000.jsonl", "spans-of-others.jsonl", "spans.jsonl",
	}
	if files := names(t, dir); strings.Join(files, " ") != strings.Join(want, " ") {
		t.Errorf("files %v, want %v", files, want)
	}
	holds(t, NoCompression, []string{filepath.Join(dir, want[1])}, a, a, a, a)
	holds(t, NoCompression, []string{path}, a, a)
}

// A file that somebody else has moved or removed is made again: what is written to what is
// left of it would be found by nobody.
func TestFileMovedAway(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "spans")
	a := testBatch(t, 1, 2)
	e := mustOpen(t, path, FileConfig{})
	mustExport(t, e, a)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	mustExport(t, e, a, a)
	holds(t, NoCompression, []string{path + ".1"}, a)
	holds(t, NoCompression, []string{path}, a, a)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustExport(t, e, a, a, a)
	mustShut(t, e)
	holds(t, NoCompression, []string{path}, a, a, a)
}

// Two rotations at the same moment have names of their own, and one that fails
// costs no spans.
func TestFileRotationInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "spans")
		a := testBatch(t, 1, 2)
		var log bytes.Buffer
		e := mustOpen(t, path, FileConfig{RotateBytes: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		mustExport(t, e, a, a, a)
		if files := names(t, dir); len(files) != 3 {
			t.Error(files)
		}
		moved := dir + "-moved"
		if err := os.Rename(dir, moved); err != nil {
			t.Fatal(err)
		}
		err := e.Export(t.Context(), a)
		if _, ok := Retryable(err); !ok || !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("Export into a directory that is gone: %v", err)
		}
		if err := os.Rename(moved, dir); err != nil {
			t.Fatal(err)
		}
		mustExport(t, e, a)
		mustShut(t, e)
		if !strings.Contains(log.String(), "cannot rotate, goes on with the same file") {
			t.Error(log.String())
		}
		holds(t, NoCompression, []string{path}, a, a) // the failed rotation has not been repeated at once
	})
}

// A rotation by time that fails is tried again after a minute, however often it has
// failed, and not only when the next period begins.
func TestFileRotationByTimeIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight
		dir := t.TempDir()
		path := filepath.Join(dir, "spans")
		a := testBatch(t, 1, 2)
		e, disk := openFaulty(t, path, FileConfig{RotateEvery: time.Hour, Logger: slog.New(slog.DiscardHandler)})
		mustExport(t, e, a)
		time.Sleep(time.Hour)
		disk.closeErr = syscall.EIO
		for range 2 { // 01:00 and 01:01
			mustExport(t, e, a)
			if err := os.Chtimes(path, time.Time{}, time.Now()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		mustExport(t, e, a) // 01:02
		disk.closeErr = nil
		time.Sleep(30 * time.Second)
		mustExport(t, e, a)
		holds(t, NoCompression, []string{path}, a, a, a, a, a)
		time.Sleep(30 * time.Second)
		mustExport(t, e, a) // 01:03
		mustShut(t, e)
		if files, want := strings.Join(names(t, dir), " "), "spans spans-2000-01-01T01-03-00.000"; files != want {
			t.Fatalf("files %s, want %s", files, want)
		}
		holds(t, NoCompression, []string{path + "-2000-01-01T01-03-00.000"}, a, a, a, a, a)
		holds(t, NoCompression, []string{path}, a)
	})
}
