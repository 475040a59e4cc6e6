package ring

import (
	"bytes"
	"testing"
)

// bytesModel is the byte ring as a slice: the oracle of FuzzBytes. Of the
// layout it knows only how much room a record takes.
type bytesModel struct {
	records    []modelRecord // committed, not released
	read       int           // of these, returned by Next
	head, tail uint64        // positions
	readTo     uint64
	capacity   uint64
	closed     bool
}

type modelRecord struct {
	payload []byte
	tag     uint32
	end     uint64
}

// place is where a record of n bytes would end, and whether it fits.
func (m *bytesModel) place(n int) (end uint64, ok bool) {
	size := uint64(8 + (n+7)/8*8)
	start := m.tail
	if start%m.capacity+size > m.capacity {
		start += m.capacity - start%m.capacity
	}
	end = start + size
	return end, uint64(n) <= m.capacity/2-8 && end-m.head <= m.capacity
}

// FuzzBytes runs a program of operations on a ring and on the model. After
// every step the region must also be one that OpenBytes takes and reads as
// the model has it.
func FuzzBytes(f *testing.F) {
	f.Add(uint64(0), []byte("\x00\x20\x01\x10\x02\x03"))
	f.Add(uint64(1<<64-64), bytes.Repeat([]byte{0, 200, 1, 200, 2, 3}, 30))
	f.Add(uint64(1<<64-1032), append(bytes.Repeat([]byte{0, 90, 1, 80, 6, 0, 7, 1, 5}, 12), 4, 0, 9, 1, 9, 2, 2, 2, 2, 8, 0, 1, 1, 1, 2))
	f.Fuzz(func(t *testing.T, start uint64, program []byte) {
		start &^= 7
		p, c := newBytesAt(1024, start)
		m := &bytesModel{head: start, tail: start, readTo: start, capacity: 1024}
		program = program[:min(len(program), 400)]
		argument := func() int {
			if len(program) == 0 {
				return 0
			}
			n := int(program[0])
			program = program[1:]
			return n
		}
		var reserved []byte
		known := false // the producer has seen the close
		for step := uint32(0); len(program) > 0; step++ {
			switch op := argument(); op % 10 {
			case 0:
				n := argument() * 2
				reserved = p.Reserve(n)
				if _, fits := m.place(n); (reserved != nil) != (fits && !known) {
					t.Fatalf("step %d: Reserve(%d) given: %t, fits: %t", step, n, reserved != nil, fits)
				}
				if reserved == nil && n <= p.MaxRecord() && m.closed {
					known = true
				}
				for i := range reserved {
					reserved[i] = byte(step)
				}
			case 1:
				if reserved == nil {
					continue
				}
				n := min(argument()*2, len(reserved))
				if p.Commit(n, step) == m.closed {
					t.Fatalf("step %d: Commit = %t, closed: %t", step, !m.closed, m.closed)
				}
				if m.closed {
					known = true
				} else {
					// The place was chosen for the whole reservation.
					end, _ := m.place(len(reserved))
					end -= uint64(recordSize(uint64(len(reserved))) - recordSize(uint64(n)))
					m.records = append(m.records, modelRecord{bytes.Clone(reserved[:n]), step, end})
					m.tail = end
				}
				reserved = nil
			case 2:
				got, tag, ok := c.Next()
				if ok != (m.read < len(m.records)) {
					t.Fatalf("step %d: Next = %t, %d of %d read", step, ok, m.read, len(m.records))
				}
				if ok {
					want := m.records[m.read]
					if !bytes.Equal(got, want.payload) || tag != want.tag {
						t.Fatalf("step %d: Next = %x, %d; want %x, %d", step, got, tag, want.payload, want.tag)
					}
					m.read++
					m.readTo = want.end
				}
			case 3:
				c.Release()
				m.records = m.records[m.read:]
				m.read = 0
				m.head = m.readTo
			case 4:
				c.Close()
				m.closed = true
			case 5:
				if n := c.Pending(); n != len(m.records)-m.read {
					t.Fatalf("step %d: Pending = %d, want %d", step, n, len(m.records)-m.read)
				}
			case 6:
				if n := p.Refresh(); n != m.tail-m.head {
					t.Fatalf("step %d: Refresh = %d, want %d", step, n, m.tail-m.head)
				}
			case 7:
				if n := c.Len(); n != m.tail-m.readTo {
					t.Fatalf("step %d: Len = %d, want %d", step, n, m.tail-m.readTo)
				}
			case 8:
				done := m.closed && m.read == len(m.records)
				if c.Done() != done {
					t.Fatalf("step %d: Done = %t", step, !done)
				}
				next := c.Reopen()
				if (next != nil) != done {
					t.Fatalf("step %d: Reopen given: %t, done: %t", step, next != nil, done)
				}
				if done {
					p, reserved, known = next, nil, false
					at := m.tail + m.capacity - m.tail%m.capacity
					*m = bytesModel{head: at, tail: at, readTo: at, capacity: m.capacity}
				}
			case 9:
				if p.Backlog() < m.tail-m.head {
					t.Fatalf("step %d: Backlog %d is below %d", step, p.Backlog(), m.tail-m.head)
				}
				if p.Closed() != m.closed || c.Closed() != m.closed {
					t.Fatalf("step %d: Closed", step)
				}
			}
			checkRegion(t, c.Region(), m)
		}
	})
}

func checkRegion(t *testing.T, region []byte, m *bytesModel) {
	t.Helper()
	snapshot := alignedBytes(len(region))
	copy(snapshot, region)
	c, err := OpenBytes(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Pending(); n != len(m.records) {
		t.Fatalf("snapshot has %d records, want %d", n, len(m.records))
	}
	for _, want := range m.records {
		if got, tag, ok := c.Next(); !ok || tag != want.tag || !bytes.Equal(got, want.payload) {
			t.Fatalf("snapshot: Next = %x, %d, %t; want %x, %d", got, tag, ok, want.payload, want.tag)
		}
	}
}

// FuzzOpenBytes opens arbitrary regions: a valid header with arbitrary positions,
// overwritten from its start with arbitrary bytes, and arbitrary records.
// What OpenBytes takes must be readable to the end and writable after a Reopen.
func FuzzOpenBytes(f *testing.F) {
	for _, start := range starts {
		p, c := newBytesAt(1024, start)
		for i := range 12 {
			p.Reserve(70)
			p.Commit(70-i, uint32(i))
			if i == 4 {
				for range 3 {
					c.Next()
				}
				c.Release()
			}
		}
		f.Add([]byte{}, c.headWord.Load(), c.tailWord.Load(), bytes.Clone(c.records))
		f.Add(bytes.Clone(c.region[:24]), c.headWord.Load(), c.tailWord.Load()|closedBit, bytes.Clone(c.records))
	}
	f.Fuzz(func(t *testing.T, header []byte, head, tail uint64, records []byte) {
		region := alignedBytes(recordsAt + len(records))
		format(region, uint64(len(records)), head)
		word(region, tailAt).Store(tail)
		copy(region[recordsAt:], records)
		copy(region, header)
		c, err := OpenBytes(region)
		if err != nil {
			return
		}
		pending, size := c.Pending(), 0
		for range pending {
			record, _, ok := c.Next()
			if !ok {
				t.Fatal("fewer records than Pending said")
			}
			size += len(bytes.Clone(record))
		}
		if _, _, ok := c.Next(); ok {
			t.Fatal("more records than Pending said")
		}
		if size > c.Cap() || c.Len() != 0 {
			t.Fatalf("%d bytes of records in %d", size, c.Cap())
		}
		c.Close()
		p := c.Reopen()
		for range 5 {
			mustCommit(t, p, make([]byte, p.MaxRecord()), 1)
			mustNext(t, c, make([]byte, p.MaxRecord()), 1)
			c.Release()
		}
	})
}
