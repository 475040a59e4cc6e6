package ring

import (
	"slices"
	"testing"
)

// FuzzSPSC runs a program of operations on a ring and on a slice.
func FuzzSPSC(f *testing.F) {
	f.Add(uint8(0), uint64(0), []byte("\x00\x03\x00\x03"))
	f.Add(uint8(1), uint64(1<<64-2), []byte("\x00\x00\x04\x05\x00\x01\x03\x02\x02\x05\x09"))
	f.Add(uint8(2), uint64(1<<64-4), []byte("\x01\x05\x02\x05\x03\x01\x07\x02\x06\x01\x01\x05\x02\x01\x08\x00\x09"))
	f.Fuzz(func(t *testing.T, size uint8, start uint64, program []byte) {
		capacity := 1 << (size % 4)
		p, c := newSPSCAt[int](capacity, start&^1)
		var queue []int
		var reserved []int
		closed := false
		value := 0
		program = program[:min(len(program), 400)]
		argument := func() int {
			if len(program) == 0 {
				return 0
			}
			n := int(program[0])
			program = program[1:]
			return n
		}
		for len(program) > 0 {
			switch argument() % 10 {
			case 0:
				value++
				want := !closed && len(queue) < capacity
				if p.Push(value) != want {
					t.Fatalf("Push = %t with %d of %d, closed: %t", !want, len(queue), capacity, closed)
				}
				if want {
					queue = append(queue, value)
				}
				reserved = nil
			case 1:
				n := argument() % 10
				reserved = p.Reserve(n)
				// Never more than asked for or free; something when there is room.
				// An open ring gives up to the end of its memory.
				free := capacity - len(queue)
				if len(reserved) > min(n, free) || (len(reserved) == 0) != (reserved == nil) {
					t.Fatalf("Reserve(%d) = %d slots with %d free", n, len(reserved), free)
				}
				if reserved == nil && n > 0 && free > 0 && !closed {
					t.Fatalf("Reserve(%d) = nil with %d free", n, free)
				}
				for i := range reserved {
					value++
					reserved[i] = value
				}
			case 2:
				if reserved == nil {
					continue
				}
				n := argument() % (len(reserved) + 1)
				if p.Commit(n) == closed {
					t.Fatalf("Commit = %t, closed: %t", !closed, closed)
				}
				if !closed {
					queue = append(queue, reserved[:n]...)
				}
				reserved = nil
			case 3:
				v, ok := c.Pop()
				if ok != (len(queue) > 0) || ok && v != queue[0] {
					t.Fatalf("Pop = %d, %t; want of %v", v, ok, queue)
				}
				if ok {
					queue = queue[1:]
				}
			case 4:
				n := argument() % 10
				got := c.Read(n)
				if len(got) > min(n, len(queue)) || !slices.Equal(got, queue[:len(got)]) {
					t.Fatalf("Read(%d) = %v of %v", n, got, queue)
				}
				if len(got) == 0 && n > 0 && len(queue) > 0 {
					t.Fatalf("Read(%d) = nothing of %v", n, queue)
				}
				n = argument() % (len(got) + 1)
				c.Release(n)
				queue = queue[n:]
			case 5:
				n := argument() % 10
				var got []int
				batches := 0
				took := c.ConsumeUpTo(n, func(batch []int) {
					got = append(got, batch...)
					batches++
				})
				if took != min(n, len(queue)) || batches > 2 || !slices.Equal(got, queue[:took]) {
					t.Fatalf("ConsumeUpTo(%d) = %d: %v of %v in %d batches", n, took, got, queue, batches)
				}
				queue = queue[took:]
			case 6:
				if argument()%4 == 0 { // not in every program
					c.Close()
					closed = true
				}
			case 7:
				if argument()%4 == 0 {
					p.Close()
					closed = true
				}
			case 8:
				done := closed && len(queue) == 0
				if c.Done() != done {
					t.Fatalf("Done = %t", !done)
				}
				next := c.Reopen()
				if (next != nil) != done {
					t.Fatalf("Reopen given: %t", next != nil)
				}
				if done {
					p, reserved, closed = next, nil, false
				}
			case 9:
				if p.Len() != len(queue) || c.Len() != len(queue) || p.Closed() != closed || c.Closed() != closed {
					t.Fatalf("lengths %d and %d of %v, closed: %t", p.Len(), c.Len(), queue, closed)
				}
			}
		}
	})
}
