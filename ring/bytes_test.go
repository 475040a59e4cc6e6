package ring

import (
	"bytes"
	"fmt"
	"testing"
)

// starts are first positions that put the wrap at 2^64, the end of the region, or
// neither right ahead.
var starts = []uint64{0, 8, 1 << 40, uint64(1<<64 - 8), uint64(1<<64 - 1024), 1<<64 - 1064}

func mustCommit(t *testing.T, p *BytesProducer, record []byte, tag uint32) {
	t.Helper()
	dst := p.Reserve(len(record))
	if dst == nil || len(dst) != len(record) || cap(dst) != len(record) {
		t.Fatalf("Reserve(%d) = %d bytes, capacity %d (nil: %t)", len(record), len(dst), cap(dst), dst == nil)
	}
	copy(dst, record)
	if !p.Commit(len(record), tag) {
		t.Fatal("Commit refused")
	}
}

func mustNext(t *testing.T, c *BytesConsumer, record []byte, tag uint32) {
	t.Helper()
	got, gotTag, ok := c.Next()
	if !ok || !bytes.Equal(got, record) || gotTag != tag {
		t.Fatalf("Next = %q, %d, %t; want %q, %d", got, gotTag, ok, record, tag)
	}
}

func mustBeEmpty(t *testing.T, c *BytesConsumer) {
	t.Helper()
	if got, tag, ok := c.Next(); ok {
		t.Fatalf("Next = %q, %d, want nothing", got, tag)
	}
}

func TestBytesCapacity(t *testing.T) {
	for _, test := range []struct{ ask, got int }{
		{0, 1024}, {1, 1024}, {1024, 1024}, {1025, 2048}, {4096, 4096}, {5000, 8192},
	} {
		p, c := NewBytes(test.ask)
		if p.Cap() != test.got || c.Cap() != test.got {
			t.Errorf("NewBytes(%d): capacities %d and %d, want %d", test.ask, p.Cap(), c.Cap(), test.got)
		}
		if p.MaxRecord() != test.got/2-8 {
			t.Errorf("capacity %d: MaxRecord = %d", test.got, p.MaxRecord())
		}
		if len(c.Region()) != recordsAt+test.got {
			t.Errorf("capacity %d: region of %d bytes", test.got, len(c.Region()))
		}
	}
	for _, capacity := range []int{-1, maxBytes + 1} {
		mustPanic(t, func() { NewBytes(capacity) })
	}
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}

func TestBytesRecords(t *testing.T) {
	for _, start := range starts {
		t.Run(fmt.Sprint(start), func(t *testing.T) {
			p, c := newBytesAt(1024, start)
			mustBeEmpty(t, c)
			mustCommit(t, p, []byte("one"), 1)
			mustCommit(t, p, nil, 2)
			mustCommit(t, p, []byte("threethree"), 1<<32-1)
			if n := c.Pending(); n != 3 {
				t.Errorf("Pending = %d", n)
			}
			padded := map[uint64]uint64{1<<64 - 8: 8, 1<<64 - 1064: 16}[start]
			if n := c.Len(); n != 16+8+24+padded {
				t.Errorf("Len = %d", n)
			}
			mustNext(t, c, []byte("one"), 1)
			mustNext(t, c, nil, 2)
			mustCommit(t, p, []byte("four"), 4)
			if n := c.Pending(); n != 2 {
				t.Errorf("Pending = %d", n)
			}
			mustNext(t, c, []byte("threethree"), 1<<32-1)
			mustNext(t, c, []byte("four"), 4)
			mustBeEmpty(t, c)
			if p.Backlog() != 64+padded || p.Refresh() != 64+padded {
				t.Errorf("backlog %d before Release", p.Backlog())
			}
			c.Release()
			if p.Backlog() != 64+padded || p.Refresh() != 0 || p.Backlog() != 0 {
				t.Errorf("backlog %d after Release", p.Backlog())
			}
		})
	}
}

// TestBytesCommitLess commits less than was reserved, and abandons reservations.
func TestBytesCommitLess(t *testing.T) {
	p, c := NewBytes(1024)
	for i := range 200 {
		p.Reserve(400)
		copy(p.Reserve(300), "abcdef")
		if !p.Commit(i%7, uint32(i)) {
			t.Fatal("refused")
		}
		mustNext(t, c, []byte("abcdef")[:i%7], uint32(i))
		c.Release()
	}
}

// TestBytesMaxRecord: an empty ring takes a record of MaxRecord bytes at
// every position, and none longer.
func TestBytesMaxRecord(t *testing.T) {
	for start := uint64(1<<64 - 2048); start != 1024; start += 8 {
		p, c := newBytesAt(1024, start)
		if p.Reserve(p.MaxRecord()+1) != nil || p.Reserve(maxBytes) != nil || p.Reserve(-1) != nil {
			t.Fatal("a reservation that never fits was given")
		}
		want := bytes.Repeat([]byte{byte(start / 8)}, p.MaxRecord())
		mustCommit(t, p, want, 9)
		mustNext(t, c, want, 9)
		mustBeEmpty(t, c)
	}
}

func TestBytesFull(t *testing.T) {
	for _, start := range starts {
		p, c := newBytesAt(1024, start)
		n := 0
		for p.Reserve(24) != nil {
			p.Commit(24, uint32(n))
			n++
		}
		if n < 31 || n > 32 {
			t.Fatalf("start %d: %d records of 32 bytes in 1024", start, n)
		}
		mustPanic(t, func() { p.Commit(0, 0) })
		c.Next()
		if p.Reserve(24) != nil {
			t.Fatal("space of a record in use was given away")
		}
		c.Release()
		if p.Reserve(24) == nil {
			t.Fatal("released space is not available")
		}
	}
}

func TestBytesMisuse(t *testing.T) {
	p, _ := NewBytes(1024)
	mustPanic(t, func() { p.Commit(0, 0) })
	p.Reserve(8)
	mustPanic(t, func() { p.Commit(9, 0) })
	mustPanic(t, func() { p.Commit(-1, 0) })
	p.Commit(8, 0)
	mustPanic(t, func() { p.Commit(0, 0) })
	p.Reserve(8)
	p.Reserve(p.MaxRecord() + 1)
	mustPanic(t, func() { p.Commit(0, 0) })
}

func TestBytesClose(t *testing.T) {
	for _, side := range []string{"producer", "consumer"} {
		t.Run(side, func(t *testing.T) {
			p, c := NewBytes(1024)
			mustCommit(t, p, []byte("kept"), 1)
			copy(p.Reserve(8), "refused!")
			if p.Closed() || c.Closed() || c.Done() {
				t.Fatal("closed from the start")
			}
			if side == "producer" {
				p.Close()
				p.Close()
			} else {
				c.Close()
				c.Close()
			}
			if !p.Closed() || !c.Closed() || c.Done() {
				t.Fatal("not closed, or done with a record left")
			}
			if p.Commit(8, 2) {
				t.Fatal("Commit accepted after Close")
			}
			if p.Reserve(0) != nil {
				t.Fatal("Reserve after a refused Commit")
			}
			if n := c.Pending(); n != 1 {
				t.Errorf("Pending = %d", n)
			}
			mustNext(t, c, []byte("kept"), 1)
			mustBeEmpty(t, c)
			if !c.Done() || c.Len() != 0 {
				t.Error("not done")
			}
		})
	}
	t.Run("full", func(t *testing.T) {
		p, c := NewBytes(1024)
		mustCommit(t, p, make([]byte, p.MaxRecord()), 1)
		mustCommit(t, p, make([]byte, p.MaxRecord()), 1)
		c.Close()
		if p.Reserve(1) != nil {
			t.Fatal("Reserve in a full ring")
		}
		c.Next()
		c.Release()
		if p.Reserve(1) != nil {
			t.Fatal("Reserve after the close was seen")
		}
	})
}

func TestBytesReopen(t *testing.T) {
	for _, start := range starts {
		p, c := newBytesAt(1024, start)
		if c.Reopen() != nil {
			t.Fatal("open ring reopened")
		}
		mustCommit(t, p, []byte("first life"), 1)
		p.Close()
		if c.Reopen() != nil {
			t.Fatal("ring with a record reopened")
		}
		mustNext(t, c, []byte("first life"), 1)
		stale := p
		for life := range 10 {
			stale.Reserve(16)
			p = c.Reopen()
			if p == nil || p.Closed() || c.Done() || c.Len() != 0 || c.Pending() != 0 || p.Backlog() != 0 {
				t.Fatalf("start %d: not as new", start)
			}
			if stale.Commit(16, 666) {
				t.Fatal("the former producer's commit was taken")
			}
			for i := range 100 {
				mustCommit(t, p, fmt.Appendf(nil, "life %d record %d", life, i), uint32(i))
				mustNext(t, c, fmt.Appendf(nil, "life %d record %d", life, i), uint32(i))
				c.Release()
			}
			if _, err := OpenBytes(c.Region()); err != nil {
				t.Fatal(err)
			}
			c.Close()
			stale = p
		}
	}
}

func TestBytesAllocs(t *testing.T) {
	p, c := NewBytes(4096)
	if n := testing.AllocsPerRun(1000, func() {
		p.Reserve(100)
		p.Commit(90, 1)
		c.Pending()
		c.Next()
		c.Release()
	}); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}
