package seglog

import (
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("seglog.update", false, "write testdata/v1 anew")

// TestFormat reads files of format version 1, which every later version must read: four
// segments, and a cursor that has passed two of them.
func TestFormat(t *testing.T) {
	const kept = "testdata/v1"
	o := Options{SegmentBytes: 4 << 10, Logger: quiet()}
	if *update {
		writeFormat(t, kept, o)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if st := l.Stats(); st.Segments != 4 || st.Count != 78 || st.Damages != 0 {
		t.Errorf("%+v", st)
	}
	c := mustCursor(t, l, "Otlp/1")
	if st := c.Stats(); st.Consumed != 21 || string(c.State()) != "state of format 1" {
		t.Errorf("%+v, %q", st, c.State())
	}
	for i := 6; i < 12; i++ {
		r := mustRead(t, c, Want{MaxBytes: 1})
		if got, want := string(r.Frames[0].Body), string(frameBody(uint64(i), 1000)); got != want || r.Count != i+1 {
			t.Errorf("frame %d: %d bytes, count %d", i, len(got), r.Count)
		}
		r.Release()
	}
}

func writeFormat(t *testing.T, dir string, o Options) {
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	c := mustCursor(t, l, "Otlp/1")
	for i := range 12 {
		mustAppend(t, l, frameBody(uint64(i), 1000), i+1)
	}
	var r *Run
	for range 6 {
		r = mustRead(t, c, Want{MaxBytes: 1})
		r.Release()
	}
	if err := c.Commit(r.End, []byte("state of format 1")); err != nil {
		t.Fatal(err)
	}
	if err := l.store(); err != nil { // and no clean: the first segment stays
		t.Fatal(err)
	}
	l.mu.Lock()
	l.cursors = map[string]*Cursor{}
	l.mu.Unlock()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(dir, lockName))
}

// FuzzSegment opens, inspects and reads a log whose last segment is any bytes. If the first
// byte is odd, checksums are made right where something looks like a header.
func FuzzSegment(f *testing.F) {
	for _, name := range []string{"00000000000000000000.seg", "00000000000000003168.seg"} {
		b, err := os.ReadFile(filepath.Join("testdata/v1", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{0}, b...), uint16(0))
		f.Add(append([]byte{1}, b...), uint16(100))
		f.Add(append([]byte{1}, b[:len(b)/2]...), uint16(2000))
	}
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, base uint16) {
		if len(data) > 64<<10 {
			return
		}
		fs := newCrashFS()
		if len(data) > 0 {
			fix := data[0]&1 == 1
			data = append([]byte(nil), data[1:]...)
			if fix {
				fixSums(data, Position(base))
			}
			ino := &inode{data: data, links: 1}
			fs.names[segmentName(crashDir, Position(base))] = ino
		}
		if _, err := inspect(fs, crashDir, true); err != nil {
			return // another version
		}
		before, err := inspect(fs, crashDir, false)
		if err != nil {
			t.Fatal(err)
		}
		o := testOptions()
		o.FS = fs
		l, err := Open(crashDir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if st := l.Stats(); st.Count != before.Count && len(before.Segments) > 0 {
			t.Fatalf("opened with %+v, inspected %+v", st, before)
		}
		c := mustCursor(t, l, "c")
		p := mustAppend(t, l, []byte("behind it all"), 1)
		var last Frame
		for c.Stats().Read < l.Stats().End {
			r := mustRead(t, c, Want{MaxBytes: 100})
			for _, f := range r.Frames {
				if f.Position < last.Position {
					t.Fatalf("%d after %d", f.Position, last.Position)
				}
				last = Frame{Position: f.Position, Body: append([]byte(nil), f.Body...)}
			}
			if err := c.Commit(r.End, nil); err != nil {
				t.Fatal(err)
			}
			r.Release()
		}
		if last.Position != p || string(last.Body) != "behind it all" {
			t.Fatalf("the last frame is %q at %d, was appended at %d", last.Body, last.Position, p)
		}
		if st := c.Stats(); st.LagCount != 0 || st.Start+st.Consumed+st.Skipped[SkippedDamage] != l.Stats().Count {
			t.Fatalf("the ledger does not add up: %+v of %d", st, l.Stats().Count)
		}
	})
}

func fixSums(data []byte, base Position) {
	le := binary.LittleEndian
	if len(data) >= segmentHeaderSize && string(data[:8]) == segmentMagic {
		le.PutUint32(data[segAtVersion:], segmentVersion)
		le.PutUint64(data[segAtBase:], uint64(base))
		le.PutUint32(data[segAtSum:], bodySum(data[:segAtSum]))
	}
	for i := segmentHeaderSize; i+headerSize <= len(data); i++ {
		b := data[i:]
		if le.Uint32(b) != frameMagic {
			continue
		}
		le.PutUint64(b[atPosition:], uint64(base)+uint64(i-segmentHeaderSize))
		if n := le.Uint32(b[atLength:]); int(n) <= len(b)-headerSize {
			le.PutUint32(b[atBodySum:], bodySum(b[headerSize:headerSize+n]))
		}
		le.PutUint32(b[atSum:], bodySum(b[:atSum]))
	}
}
