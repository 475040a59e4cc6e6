package seglog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
)

// smallLog makes a log of three segments with known frames, and one cursor that has read
// nothing.
func smallLog(t *testing.T) (fs *crashFS, frames []*modelFrame, segments []string) {
	t.Helper()
	fs = newCrashFS()
	w := newWorld(1, fs, testOptions())
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	w.openCursor("c")
	for i := range 12 {
		f := &modelFrame{id: uint64(i), body: frameBody(uint64(i), 800+i*10), count: i + 1}
		p, err := w.log.Append(context.Background(), f.body, f.count)
		if err != nil {
			t.Fatal(err)
		}
		f.position = p
		frames = append(frames, f)
	}
	for _, s := range w.log.disk.segments {
		segments = append(segments, s.name)
	}
	if err := w.log.Close(); err != nil {
		t.Fatal(err)
	}
	if len(segments) != 3 {
		t.Fatalf("%d segments", len(segments))
	}
	return fs, frames, segments
}

// reread opens the log and reads everything. It returns which frames came, in order, and
// the count that was skipped as damaged.
func reread(fs *crashFS, frames []*modelFrame) (got []uint64, damaged uint64, l *Log, err error) {
	o := testOptions()
	o.FS = fs
	if l, err = Open(crashDir, o); err != nil {
		return
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	c, err := l.OpenCursor("c")
	if err != nil {
		return
	}
	l.Seal()
	for {
		r, err := c.Read(context.Background(), Want{MaxBytes: 2500})
		if errors.Is(err, ErrClosed) {
			break
		}
		if err != nil {
			return got, 0, l, err
		}
		for _, f := range r.Frames {
			id := binary.LittleEndian.Uint64(f.Body)
			if id >= uint64(len(frames)) || !bytes.Equal(f.Body, frames[id].body) || f.Count != frames[id].count || f.Position != frames[id].position {
				return got, 0, l, fmt.Errorf("frame at %d was never appended", f.Position)
			}
			got = append(got, id)
		}
		if err := c.Commit(r.End, nil); err != nil {
			return got, 0, l, err
		}
		r.Release()
	}
	st := c.Stats()
	if st.Position != l.Stats().End || st.Consumed+st.Skipped[SkippedDamage] != l.Stats().Count {
		return got, 0, l, fmt.Errorf("the ledger does not add up: %+v of %d", st, l.Stats().Count)
	}
	return got, st.Skipped[SkippedDamage], l, nil
}

func all(frames []*modelFrame, without ...uint64) []uint64 {
	var ids []uint64
	for _, f := range frames {
		if !slices.Contains(without, f.id) {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// TestFlippedBits flips a bit of every byte of every segment. Whatever it hits, exactly the
// frame there is lost and counted; nothing is when it hits a segment's header.
func TestFlippedBits(t *testing.T) {
	fs, frames, segments := smallLog(t)
	for _, name := range segments {
		base, _ := segmentBase(name[len(crashDir)+1:])
		size := len(fs.names[name].data)
		for at := 0; at < size; at++ {
			if p := base + Position(max(at-segmentHeaderSize, 0)); !*longRun && at%13 > 0 &&
				!slices.ContainsFunc(frames, func(f *modelFrame) bool { return p-f.position < headerSize+2 }) {
				continue // of the inside of bodies, every 13th byte will do
			}
			hurt := fs.kill()
			hurt.names[name].data[at] ^= 1 << (at % 8)
			var lost []uint64
			count := uint64(0)
			if at >= segmentHeaderSize {
				p := base + Position(at-segmentHeaderSize)
				i, ok := slices.BinarySearchFunc(frames, p, func(f *modelFrame, p Position) int { return int(f.position) - int(p) })
				if !ok {
					i--
				}
				lost, count = []uint64{frames[i].id}, uint64(frames[i].count)
			}
			in, err := inspect(hurt, crashDir, false)
			if err != nil {
				t.Fatalf("%s byte %d: inspect: %v", name, at, err)
			}
			if len(in.Damage) != 1 || in.Damage[0].File != name || in.Damage[0].Count != count ||
				in.Damage[0].Offset > int64(at) || in.Damage[0].Offset+in.Damage[0].Bytes <= int64(at) {
				t.Fatalf("%s byte %d: inspect found %v", name, at, in.Damage)
			}
			got, damaged, l, err := reread(hurt, frames)
			if err != nil {
				t.Fatalf("%s byte %d: %v", name, at, err)
			}
			if !slices.Equal(got, all(frames, lost...)) || damaged != count {
				t.Fatalf("%s byte %d: got frames %v, count %d lost; want all but %v, count %d", name, at, got, damaged, lost, count)
			}
			if l.Stats().Damages == 0 {
				t.Fatalf("%s byte %d: not reported", name, at)
			}
		}
	}
}

// TestTruncated cuts every segment at every byte.
func TestTruncated(t *testing.T) {
	fs, frames, segments := smallLog(t)
	for k, name := range segments {
		base, _ := segmentBase(name[len(crashDir)+1:])
		end := ^Position(0)
		if k+1 < len(segments) {
			end, _ = segmentBase(segments[k+1][len(crashDir)+1:])
		}
		for at := 0; at < len(fs.names[name].data); at += 3 {
			hurt := fs.kill()
			hurt.names[name].data = hurt.names[name].data[:at]
			var lost []uint64
			count := uint64(0)
			for _, f := range frames {
				stop := f.position + Position(headerSize+len(f.body))
				if f.position >= base && f.position < end && stop > base+Position(max(at-segmentHeaderSize, 0)) {
					lost, count = append(lost, f.id), count+uint64(f.count)
				}
			}
			got, damaged, _, err := reread(hurt, frames)
			if err != nil {
				t.Fatalf("%s cut to %d: %v", name, at, err)
			}
			if !slices.Equal(got, all(frames, lost...)) || damaged != count {
				t.Fatalf("%s cut to %d: got frames %v, count %d lost; want all but %v, count %d", name, at, got, damaged, lost, count)
			}
		}
	}
}

// TestMissingSegment removes each segment, before the log is opened and while it is.
func TestMissingSegment(t *testing.T) {
	fs, frames, segments := smallLog(t)
	for k, name := range segments {
		base, _ := segmentBase(name[len(crashDir)+1:])
		var lost []uint64
		count := uint64(0)
		for _, f := range frames {
			if f.position >= base && (k == 2 || f.position < frames[4*(k+1)].position) {
				lost, count = append(lost, f.id), count+uint64(f.count)
			}
		}
		hurt := fs.kill()
		delete(hurt.names, name)
		got, damaged, _, err := reread(hurt, frames)
		if err != nil || !slices.Equal(got, all(frames, lost...)) || damaged != count {
			t.Errorf("%s missing: got frames %v, count %d lost, %v; want all but %v, count %d", name, got, damaged, err, lost, count)
		}

		hurt = fs.kill()
		o := testOptions()
		o.FS = hurt
		l, err := Open(crashDir, o)
		if err != nil {
			t.Fatal(err)
		}
		hurt.mu.Lock()
		delete(hurt.names, name)
		hurt.mu.Unlock()
		c, err := l.OpenCursor("c")
		if err != nil {
			t.Fatal(err)
		}
		l.Seal()
		got = nil
		for {
			r, err := c.Read(context.Background(), Want{})
			if err != nil {
				if !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				break
			}
			for _, f := range r.Frames {
				got = append(got, binary.LittleEndian.Uint64(f.Body))
			}
			if err := c.Commit(r.End, nil); err != nil {
				t.Fatal(err)
			}
			r.Release()
		}
		if st := c.Stats(); !slices.Equal(got, all(frames, lost...)) || st.Skipped[SkippedDamage] != count || st.LagCount != 0 {
			t.Errorf("%s removed under the log: got %v, %+v", name, got, st)
		}
		_ = l.Close()
	}
}

// TestForgedFrame: a body that holds frames, copied from the log or made up by a sender who
// knows its place but not the segment's id, is not taken for frames when the header before
// it is damaged.
func TestForgedFrame(t *testing.T) {
	fs := newCrashFS()
	o := testOptions()
	o.FS = fs
	l, err := Open(crashDir, o)
	if err != nil {
		t.Fatal(err)
	}
	_ = mustCursor(t, l, "c")
	mustAppend(t, l, []byte("first"), 0)
	name := segmentName(crashDir, 0)
	copied := fs.names[name].data[segmentHeaderSize:]
	at := l.Stats().End
	h := header{length: 4, position: at + headerSize + Position(len(copied)), before: 0, count: 100, id: l.disk.segments[0].id ^ 2, bodySum: bodySum([]byte("evil"))}
	body := append(slices.Clone(copied), make([]byte, headerSize)...)
	h.put(body[len(copied):])
	mustAppend(t, l, append(body, "evil"...), 10)
	mustAppend(t, l, []byte("last"), 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	fs.names[name].data[segmentHeaderSize+int(at)] ^= 1
	if l, err = Open(crashDir, o); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := mustCursor(t, l, "c")
	r := mustRead(t, c, Want{})
	if got := bodies(r); !slices.Equal(got, []string{"first", "last"}) {
		t.Errorf("read %q", got)
	}
	if err := c.Commit(r.End, nil); err != nil || c.Stats().Skipped[SkippedDamage] != 10 {
		t.Errorf("%+v, %v", c.Stats(), err)
	}
	r.Release()
}

// TestBadSector: what the device cannot read costs the frames there, and nothing else.
func TestBadSector(t *testing.T) {
	fs, frames, segments := smallLog(t)
	hurt := fs.kill()
	at := segmentHeaderSize + int64(frames[1].position) + 60
	hurt.bad = map[string][]span{segments[0]: {{at, at + 1}}}
	got, damaged, _, err := reread(hurt, frames)
	// The whole page is lost, and with it the first segment's frames.
	if err != nil || damaged == 0 || len(got) < 8 {
		t.Fatalf("got %v, damaged %d, %v", got, damaged, err)
	}
}

// TestTornEnd: what a killed process has half written is cut off, kept aside, and is not
// counted: nobody was told that it is there.
func TestTornEnd(t *testing.T) {
	for _, tail := range []int{1, headerSize - 1, headerSize, headerSize + 1, 300} {
		fs, frames, segments := smallLog(t)
		name := segments[2]
		data := fs.names[name].data
		lastBase, _ := segmentBase(name[len(crashDir)+1:])
		h := header{length: 500, position: lastBase + Position(len(data)-segmentHeaderSize), before: 78, count: 9,
			id: binary.LittleEndian.Uint32(data[segAtID:])}
		frame := make([]byte, headerSize+500)
		h.put(frame)
		fs.names[name].data = append(data, frame[:tail]...)
		got, damaged, l, err := reread(fs, frames)
		if err != nil || len(got) != len(frames) || damaged != 0 || l.Stats().Damages != 0 {
			t.Fatalf("tail of %d: got %v, %d damaged, %v", tail, got, damaged, err)
		}
		if n := len(fs.names[name].data); n != len(data) {
			t.Errorf("tail of %d: the segment has %d bytes, want %d", tail, n, len(data))
		}
		in, err := inspect(fs, crashDir, false)
		if err != nil || len(in.Aside) != 1 || !bytes.Equal(fs.names[in.Aside[0]].data, frame[:tail]) {
			t.Errorf("tail of %d: aside is %v, %v", tail, in.Aside, err)
		}
	}
}

// TestDamagedCursor: a cursor whose file is unreadable begins again, its file is kept; one
// slot that is torn falls back to the other.
func TestDamagedCursor(t *testing.T) {
	fs, frames, _ := smallLog(t)
	if _, _, _, err := reread(fs, frames); err != nil {
		t.Fatal(err)
	}
	name := cursorFile(crashDir, "c")
	whole, err := loadRecord(fs, name)
	if err != nil || whole.at.position == 0 {
		t.Fatal(whole, err)
	}
	for at := range 2 * cursorSlot {
		if at%cursorSlot > cursorRecordSize+8 {
			continue
		}
		hurt := fs.kill()
		hurt.names[name].data[at] ^= 4
		r, err := loadRecord(hurt, name)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if r.at != whole.at && at/cursorSlot != int(whole.sequence%2) {
			t.Fatalf("byte %d of the other slot: %+v", at, r)
		}
	}
	fs.names[name].data[3] ^= 1
	fs.names[name].data[cursorSlot+3] ^= 1
	got, _, _, err := reread(fs, frames)
	if err != nil || len(got) != len(frames) {
		t.Fatalf("after damage: %v, %v", got, err)
	}
	if fs.names[crashDir+"/damaged-cursor-c"] == nil {
		t.Error("the damaged file was not kept")
	}
}

// TestVanishedDirectory: appends fail with a clear error, reading goes on with what is
// in memory, and all of it goes on when the directory is back.
func TestVanishedDirectory(t *testing.T) {
	fs := newCrashFS()
	w := newWorld(1, fs, testOptions())
	w.opts.CacheBytes = 1 << 20
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	defer w.log.Close()
	c, err := w.log.OpenCursor("c")
	if err != nil {
		t.Fatal(err)
	}
	small := make([]byte, 10)
	mustAppend(t, w.log, small, 1)
	fs.mu.Lock()
	fs.noDir = true
	for _, ino := range fs.names {
		ino.links = 0
	}
	fs.mu.Unlock()
	for range 3 {
		_, err = w.log.Append(context.Background(), small, 1)
		if !errors.Is(err, syscall.ENOENT) && (err == nil || !bytes.Contains([]byte(err.Error()), []byte("removed"))) {
			t.Fatalf("append into a directory that is gone: %v", err)
		}
	}
	if w.log.Stats().Fault == nil {
		t.Error("Stats shows no fault")
	}
	if r, err := c.Read(context.Background(), Want{}); err != nil || len(r.Frames) != 1 {
		t.Errorf("read: %v", err)
	}
	fs.mu.Lock()
	fs.noDir = false
	fs.mu.Unlock()
	if _, err := w.log.Append(context.Background(), small, 1); err != nil {
		t.Fatalf("append when it is back: %v", err)
	}
	if err := w.log.Stats().Fault; err != nil {
		t.Errorf("Stats shows %v", err)
	}
}

// TestUnknownVersion: a file of a later format is not touched.
func TestUnknownVersion(t *testing.T) {
	fs, _, segments := smallLog(t)
	b := fs.names[segments[0]].data
	b[segAtVersion] = 2
	binary.LittleEndian.PutUint32(b[segAtSum:], bodySum(b[:segAtSum]))
	o := testOptions()
	o.FS = fs
	if _, err := Open(crashDir, o); !errors.Is(err, ErrVersion) {
		t.Fatalf("open: %v", err)
	}
	if _, err := inspect(fs, crashDir, true); !errors.Is(err, ErrVersion) {
		t.Fatalf("inspect: %v", err)
	}
}
