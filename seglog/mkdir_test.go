package seglog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestMkdirAllIsDurable: the name of each directory that is made is synced, in the one above,
// after it was made; what was there before is left alone.
func TestMkdirAllIsDurable(t *testing.T) {
	top := t.TempDir()
	a := filepath.Join(top, "a")
	b := filepath.Join(a, "b")
	c := filepath.Join(b, "c")
	var synced []string
	sync := func(dir string) error {
		names, err := os.ReadDir(dir)
		if err != nil || len(names) != 1 {
			t.Errorf("%s is synced with %d names in it, %v", dir, len(names), err)
		}
		synced = append(synced, dir)
		return nil
	}
	for _, step := range []struct {
		dir  string
		want []string
	}{
		{b, []string{top, a}},
		{c, []string{b}},
		{c, nil},
	} {
		synced = nil
		if err := mkdirAll(step.dir, sync); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(step.dir); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", step.dir, err)
		}
		if !slices.Equal(synced, step.want) {
			t.Errorf("for %s it syncs %q, want %q", step.dir, synced, step.want)
		}
	}
}

// TestMkdirAllFails: a name that could not be synced is an error, also for the next one who
// asks for it.
func TestMkdirAllFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	broken := errors.New("input/output error")
	for range 2 {
		if err := mkdirAll(dir, func(string) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	}
	if err := (osFS{}).MkdirAll(dir); err != nil {
		t.Error(err)
	}
	if err := (osFS{}).MkdirAll(filepath.Join(dir, "b")); err != nil {
		t.Error(err)
	}
}
