package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// TestBytesLayout pins version 1 of the layout down: regions outlive programs.
func TestBytesLayout(t *testing.T) {
	p, c := NewBytes(1024)
	for range 5 {
		mustCommit(t, p, make([]byte, 184), 1)
	}
	for range 5 {
		c.Next()
	}
	c.Release()
	mustCommit(t, p, []byte("hello"), 7)            // at 960
	mustCommit(t, p, []byte("skipping"), 0xfeedbee) // at 976
	mustCommit(t, p, make([]byte, 80), 3)           // at 1024: 32 bytes at the end do not hold it
	p.Close()

	want := make([]byte, 512+1024)
	u32, u64 := binary.NativeEndian.PutUint32, binary.NativeEndian.PutUint64
	u64(want[0:], 0x52494e475441494c)
	u32(want[8:], 1)
	u32(want[12:], 512)
	u64(want[16:], 1024)
	u64(want[128:], 1024+88|1)
	u64(want[256:], 960)
	for at := range 5 {
		u64(want[512+192*at:], 1<<32|184)
	}
	u64(want[512+960:], 7<<32|5)
	copy(want[512+968:], "hello")
	u64(want[512+976:], 0xfeedbee<<32|8)
	copy(want[512+984:], "skipping")
	u64(want[512+992:], 0xffffffff)
	u64(want[512:], 3<<32|80)
	for i, b := range c.Region() {
		if b != want[i] {
			t.Fatalf("byte %d of the region is %#x, want %#x", i, b, want[i])
		}
	}
}

// TestOpenBytes leaves a ring in the middle of its work and attaches to it.
func TestOpenBytes(t *testing.T) {
	for _, start := range starts {
		p, left := newBytesAt(1024, start)
		for i := range 20 {
			mustCommit(t, p, fmt.Appendf(nil, "record %d", i), uint32(i))
		}
		for range 5 {
			left.Next()
		}
		left.Release()
		left.Next() // returned, not released: read again after a crash

		c, err := OpenBytes(left.Region())
		if err != nil {
			t.Fatal(err)
		}
		if n := c.Pending(); n != 15 {
			t.Fatalf("Pending = %d", n)
		}
		mustNext(t, c, []byte("record 5"), 5)
		mustCommit(t, p, []byte("while attached"), 1) // a live producer
		c.Close()
		for i := 6; i < 20; i++ {
			mustNext(t, c, fmt.Appendf(nil, "record %d", i), uint32(i))
		}
		mustNext(t, c, []byte("while attached"), 1)
		mustBeEmpty(t, c)
		mustCommit(t, c.Reopen(), []byte("new"), 2)
		mustNext(t, c, []byte("new"), 2)
	}
}

// TestOpenBytesLonger: mapped memory comes in pages; what is behind the ring is
// neither read nor kept.
func TestOpenBytesLonger(t *testing.T) {
	p, left := NewBytes(1024)
	mustCommit(t, p, []byte("one"), 1)
	region := alignedBytes(4096)
	copy(region, left.Region())
	c, err := OpenBytes(region)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Region()); n != 512+1024 || cap(c.Region()) != n {
		t.Errorf("region of %d bytes, capacity %d", n, cap(c.Region()))
	}
	mustNext(t, c, []byte("one"), 1)
}

// TestOpenBytesInterruptedReopen stops between the steps of Reopen: tail has
// moved to the next lap, head not yet.
func TestOpenBytesInterruptedReopen(t *testing.T) {
	p, left := NewBytes(1024)
	mustCommit(t, p, make([]byte, 100), 1)
	p.Close()
	left.Next()
	p = left.Reopen()
	left.headWord.Store(112)
	c, err := OpenBytes(left.Region())
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Pending(); n != 0 {
		t.Errorf("Pending = %d", n)
	}
	c, _ = OpenBytes(left.Region()) // one that has not counted
	mustBeEmpty(t, c)
	c.Release()
	n := 0
	for record := p.Reserve(20); record != nil; record = p.Reserve(20) { // over the padding, too
		clear(record)
		p.Commit(20, uint32(n))
		n++
	}
	if got := c.Pending(); got != n {
		t.Errorf("Pending = %d, want %d", got, n)
	}
	for i := range n {
		mustNext(t, c, make([]byte, 20), uint32(i))
	}
}

func TestOpenBytesRefuses(t *testing.T) {
	u32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.NativeEndian.PutUint32(b[at:], v); return b }
	}
	u64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.NativeEndian.PutUint64(b[at:], v); return b }
	}
	for _, test := range []struct {
		name   string
		damage func([]byte) []byte
		want   error
	}{
		{"nothing", func([]byte) []byte { return nil }, ErrNotRing},
		{"short header", func(b []byte) []byte { return b[:511] }, ErrNotRing},
		{"unaligned", func(b []byte) []byte { return append(alignedBytes(4 + len(b))[4:4], b...) }, ErrNotRing},
		{"magic", u64(0, 1), ErrNotRing},
		{"other byte order", u64(0, 0x4c494154474e4952), ErrNotRing},
		{"version", u32(8, 2), ErrVersion},
		{"first record", u32(12, 256), ErrCorrupt},
		{"capacity 0", u64(16, 0), ErrCorrupt},
		{"capacity no power of two", u64(16, 1000), ErrCorrupt},
		{"capacity small", u64(16, 512), ErrCorrupt},
		{"capacity huge", u64(16, 1<<63), ErrCorrupt},
		{"capacity beyond the region", u64(16, 2048), ErrCorrupt},
		{"cut off", func(b []byte) []byte { return b[:len(b)-1] }, ErrCorrupt},
		{"head beyond tail", u64(headAt, 4096), ErrCorrupt},
		{"head unaligned", u64(headAt, 4), ErrCorrupt},
		{"tail unaligned", u64(tailAt, 18), ErrCorrupt},
		{"tail too far", u64(tailAt, 1032), ErrCorrupt},
		{"length beyond tail", u32(512+16, 17), ErrCorrupt},
		{"length beyond the end", u32(512+16, 1001), ErrCorrupt},
		{"length above the maximum", u32(512+16, 1<<31), ErrCorrupt},
		{"padding beyond tail", u32(512+16, 1<<32-1), ErrCorrupt},
		{"tail inside a record", u64(tailAt, 24), ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, left := NewBytes(1024)
			mustCommit(t, p, []byte("one"), 1)
			mustCommit(t, p, []byte("two"), 2)
			c, err := OpenBytes(test.damage(left.Region()))
			if c != nil || !errors.Is(err, test.want) {
				t.Fatalf("OpenBytes: %v, want %v", err, test.want)
			}
			t.Log(err)
		})
	}
}

// TestOpenBytesRefusesOverlong: lengths that end before tail, and beyond
// the end of the region or the longest record.
func TestOpenBytesRefusesOverlong(t *testing.T) {
	for _, test := range []struct {
		start  uint64
		at     int
		length uint32
	}{
		{1024 - 32, 512 + 1024 - 16, 17}, // the last before the end, by one word too long
		{0, 512, 600},                    // swallows 37 others
	} {
		p, left := newBytesAt(1024, test.start)
		for range 60 {
			mustCommit(t, p, make([]byte, 8), 1)
		}
		if _, err := OpenBytes(left.Region()); err != nil {
			t.Fatal(err)
		}
		putHeader(left.Region()[test.at:], test.length, 1)
		if _, err := OpenBytes(left.Region()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("start %d, length %d: %v", test.start, test.length, err)
		}
	}
}
