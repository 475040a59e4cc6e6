package seglog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCursors(t *testing.T) {
	each(t, Options{}, func(t *testing.T, l *Log) {
		c := mustCursor(t, l, "c")
		if _, err := l.OpenCursor("c"); !errors.Is(err, ErrHeld) {
			t.Errorf("held: %v", err)
		}
		if err := l.DeleteCursor("c"); !errors.Is(err, ErrHeld) {
			t.Errorf("delete of a held one: %v", err)
		}
		if err := l.DeleteCursor("none"); err == nil {
			t.Error("delete of none")
		}
		p := mustAppend(t, l, []byte("a"), 1)
		mustAppend(t, l, []byte("b"), 1)
		if err := c.Commit(p+Position(headerSize+1), nil); err == nil {
			t.Error("commit of what was not read")
		}
		r := mustRead(t, c, Want{})
		if err := c.Commit(p+3, nil); err == nil {
			t.Error("commit inside a frame")
		}
		if err := c.Commit(r.Frames[1].Position, []byte("one")); err != nil {
			t.Error(err)
		}
		if err := c.Commit(p, []byte("back")); err != nil || c.Stats().Position != r.Frames[1].Position || string(c.State()) != "back" {
			t.Errorf("commit backwards: %v, %+v", err, c.Stats())
		}
		if err := c.Commit(r.End, make([]byte, MaxState+1)); err == nil {
			t.Error("too much state")
		}
		r.Release()
		_ = c.Close()
		_ = c.Close()
		if err := c.Commit(r.End, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("commit of a closed one: %v", err)
		}
		c = mustCursor(t, l, "c")
		r = mustRead(t, c, Want{})
		if got := bodies(r); !slices.Equal(got, []string{"b"}) {
			t.Errorf("after close: %q", got)
		}
		r.Release()
		_ = c.Close()
		for _, name := range []string{"", strings.Repeat("x", maxName+1)} {
			if _, err := l.OpenCursor(name); err == nil {
				t.Errorf("name of %d bytes", len(name))
			}
		}
		if err := l.DeleteCursor("c"); err != nil || len(l.Cursors()) != 0 {
			t.Error(err, l.Cursors())
		}
	})
}

// TestRestart: names of every kind, positions and states come back.
func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "some", "where")
	o := Options{Logger: quiet(), SegmentBytes: 4096}
	names := []string{"a", "A", "otlp/Ä 1", "..", "con", "%41", "a\x00b", strings.Repeat("/", maxName)}
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		mustAppend(t, l, []byte(fmt.Sprintf("%500d", i)), 1)
	}
	want := map[string]CursorStats{}
	for i, name := range names {
		c := mustCursor(t, l, name)
		r := mustRead(t, c, Want{MaxCount: i + 1})
		if err := c.Commit(r.End, []byte(name)); err != nil {
			t.Fatal(err)
		}
		r.Release()
		_ = c.Close()
		want[name] = c.Stats()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "cursor-*"))
	if err != nil || len(files) != len(names) {
		t.Error(files, err)
	}
	for _, f := range files {
		if strings.Trim(filepath.Base(f), "abcdefghijklmnopqrstuvwxyz0123456789-_%") != "" {
			t.Errorf("the file's name is %q", f)
		}
	}
	if l, err = Open(dir, o); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, st := range l.Cursors() {
		if st != want[st.Name] {
			t.Errorf("%q: %+v, was %+v", st.Name, st, want[st.Name])
		}
		delete(want, st.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	for i, name := range names {
		c := mustCursor(t, l, name)
		r := mustRead(t, c, Want{MaxCount: 1})
		if got := strings.TrimSpace(bodies(r)[0]); got != fmt.Sprint(i+1) || string(c.State()) != name {
			t.Errorf("%q reads %s, state %q", name, got, c.State())
		}
		r.Release()
	}
}
