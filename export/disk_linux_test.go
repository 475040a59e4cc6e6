package export

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ringtail-otel/ringtail"
)

// A real disk of one MiB becomes full: what is on it stays whole, and when there is room
// again, it goes on.
func TestFileOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("ringtail", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small tmpfs, which takes root's rights: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("cannot unmount %s: %v", dir, err)
		}
	})
	for _, c := range compressions {
		t.Run(c.String(), func(t *testing.T) {
			path := filepath.Join(dir, c.String())
			e := mustOpen(t, path, FileConfig{Compression: c, Sync: true})
			ballast := filepath.Join(dir, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 600<<10), 0o600); err != nil {
				t.Fatal(err)
			}
			b := testBatch(t, 1, 300)
			var want []*ringtail.Batch
			var err error
			for err == nil {
				if err = e.Export(t.Context(), b); err == nil {
					want = append(want, b)
				}
			}
			if lost := ringtail.Losses(err, b.Len()); !errors.Is(err, syscall.ENOSPC) || lost.Of(ringtail.ReasonExport) != 300 {
				t.Fatalf("Export: %v", err)
			}
			if _, ok := Retryable(err); !ok || len(want) == 0 {
				t.Errorf("after %d batches: %v: not retryable", len(want), err)
			}
			holds(t, c, []string{path}, want...)
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			mustExport(t, e, b)
			mustShut(t, e)
			holds(t, c, []string{path}, append(want, b)...)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTreeOnATerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		file          *os.File
		noColor, term string
		color, want   Color
	}{
		{terminal, "", "xterm", ColorAuto, ColorAlways},
		{terminal, "1", "xterm", ColorAuto, ColorNever},
		{terminal, "", "dumb", ColorAuto, ColorNever},
		{terminal, "1", "dumb", ColorAlways, ColorAlways},
		{terminal, "", "xterm", ColorNever, ColorNever},
		{file, "", "xterm", ColorAuto, ColorNever},
	} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		if got := (TreeOptions{Color: c.color}).forWriter(c.file).Color; got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
