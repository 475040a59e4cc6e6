package ring

import (
	"errors"
	"slices"
	"testing"
)

func register(t *testing.T, m *MPSC[int]) *Producer[int] {
	t.Helper()
	p, err := m.Register()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMPSCDefaults(t *testing.T) {
	m := NewMPSC[int](Config{})
	for range 16 {
		if p := register(t, m); p.Cap() != 4096 {
			t.Fatalf("capacity %d", p.Cap())
		}
	}
	if _, err := m.Register(); !errors.Is(err, ErrTooManyProducers) {
		t.Fatalf("Register: %v", err)
	}
	for _, config := range []Config{{Capacity: -1}, {MaxProducers: -1}, {Capacity: maxSlots + 1}, {MaxProducers: 1 << 20}} {
		mustPanic(t, func() { NewMPSC[int](config) })
	}
}

// TestMPSCReuse: a slot is taken again after its producer closed and
// everything it sent was passed on, with the same memory.
func TestMPSCReuse(t *testing.T) {
	m := NewMPSC[int](Config{Capacity: 4, MaxProducers: 2})
	first, second := register(t, m), register(t, m)
	first.Push(1)
	first.Push(2)
	first.Close()
	if first.Push(3) {
		t.Fatal("Push after Close")
	}
	if _, err := m.Register(); !errors.Is(err, ErrTooManyProducers) {
		t.Fatalf("Register with undrained values: %v", err)
	}
	var got []int
	collect := func(producer int, batch []int) {
		for _, v := range batch {
			got = append(got, 100*producer+v)
		}
	}
	if n := m.ConsumeUpTo(1, collect); n != 1 {
		t.Fatalf("ConsumeUpTo = %d", n)
	}
	if _, err := m.Register(); !errors.Is(err, ErrTooManyProducers) {
		t.Fatalf("Register with one undrained value: %v", err)
	}
	second.Push(5)
	if n := m.ConsumeUpTo(10, collect); n != 2 {
		t.Fatalf("ConsumeUpTo = %d", n)
	}
	third := register(t, m)
	if &third.slots[0] != &first.slots[0] {
		t.Error("memory was not reused")
	}
	if first.Push(666) {
		t.Fatal("Push through the former producer")
	}
	third.Push(6)
	m.ConsumeUpTo(10, collect)
	if !slices.Equal(got, []int{1, 105, 2, 6}) {
		t.Fatalf("got %v", got)
	}
	if s := m.Stats(); s != (Stats{Sent: 4, Received: 4}) {
		t.Fatalf("stats %+v", s)
	}
}

// TestMPSCIdleClose: a producer that closes an empty ring frees its slot at the next poll.
func TestMPSCIdleClose(t *testing.T) {
	m := NewMPSC[int](Config{Capacity: 4, MaxProducers: 1})
	for range 10 {
		register(t, m).Close()
		m.ConsumeUpTo(1, nil)
	}
}

func TestMPSCClose(t *testing.T) {
	m := NewMPSC[int](Config{Capacity: 4, MaxProducers: 3})
	p := register(t, m)
	idle := register(t, m)
	p.Push(1)
	if m.Done() {
		t.Fatal("done while open")
	}
	m.Close()
	m.Close()
	if p.Push(2) || idle.Push(2) {
		t.Fatal("Push after Close")
	}
	if _, err := m.Register(); !errors.Is(err, ErrClosed) {
		t.Fatalf("Register: %v", err)
	}
	if m.Done() {
		t.Fatal("done with a value left")
	}
	if n := m.ConsumeUpTo(10, func(int, []int) {}); n != 1 || !m.Done() {
		t.Fatalf("ConsumeUpTo = %d, done: %t", n, m.Done())
	}
}

// TestMPSCFair: three producers whose rings are always full and two that send
// a value now and then, under every limit.
func TestMPSCFair(t *testing.T) {
	for limit := 1; limit <= 40; limit++ {
		const n = 5
		m := NewMPSC[int](Config{Capacity: 8, MaxProducers: 8})
		var producers []*Producer[int]
		for range n {
			producers = append(producers, register(t, m))
		}
		passedOver, served := [n]int{}, [n]int{}
		for range 1000 {
			for i, p := range producers {
				for (i < 3 || p.Len() == 0) && p.Push(0) {
				}
			}
			seen := [n]bool{}
			if got := m.ConsumeUpTo(limit, func(producer int, batch []int) {
				seen[producer] = true
				served[producer] += len(batch)
			}); got != min(limit, 3*8+2) {
				t.Fatalf("ConsumeUpTo(%d) = %d", limit, got)
			}
			for i := range n {
				if passedOver[i]++; seen[i] {
					passedOver[i] = 0
				}
				if passedOver[i] >= (n+limit-1)/limit {
					t.Fatalf("limit %d: producer %d was passed over %d times", limit, i, passedOver[i])
				}
			}
		}
		if least, most := slices.Min(served[:3]), slices.Max(served[:3]); most-least > 2*8 {
			t.Errorf("limit %d: full rings were served %v values", limit, served[:3])
		}
	}
}

func TestMPSCStats(t *testing.T) {
	for _, metrics := range []bool{false, true} {
		m := NewMPSC[int](Config{Capacity: 4, MaxProducers: 2, Metrics: metrics})
		a, b := register(t, m), register(t, m)
		for i := range 6 {
			a.Push(i) // two find it full
		}
		b.Push(1)
		m.ConsumeUpTo(100, func(int, []int) {}) // two batches
		a.Push(6)
		b.Reserve(2)
		b.Commit(2)
		m.ConsumeUpTo(100, func(int, []int) {}) // two batches
		a.Reserve(4)
		want := Stats{Sent: 8, Received: 8}
		if metrics {
			want.Full, want.Batches = 2, 4
		}
		if got := m.Stats(); got != want {
			t.Errorf("metrics %t: %+v, want %+v", metrics, got, want)
		}
		// Counts survive the reuse of a slot.
		a.Close()
		m.ConsumeUpTo(1, nil)
		register(t, m).Push(1)
		want.Sent++
		if got := m.Stats(); got != want {
			t.Errorf("metrics %t: %+v, want %+v", metrics, got, want)
		}
	}
}

func TestMPSCAllocs(t *testing.T) {
	m := NewMPSC[int](Config{Capacity: 64, Metrics: true})
	p, q := register(t, m), register(t, m)
	sum := 0
	if n := testing.AllocsPerRun(1000, func() {
		p.Push(1)
		q.Push(1)
		m.ConsumeUpTo(100, func(producer int, batch []int) { sum += len(batch) })
	}); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

// FuzzMPSC runs a program of operations on a channel and on slices.
func FuzzMPSC(f *testing.F) {
	f.Add(uint8(1), []byte("\x00\x00\x01\x00\x01\x01\x01\x00\x04\x02\x04\x09"))
	f.Add(uint8(6), []byte("\x00\x00\x00\x01\x00\x01\x01\x02\x00\x03\x03\x00\x01\x01\x04\x01\x04\x03\x00\x01\x02\x03\x04\x09\x05\x01\x00\x04\x09"))
	f.Fuzz(func(t *testing.T, size uint8, program []byte) {
		capacity, most := 1<<(size%3), 1+int(size/3)%4
		m := NewMPSC[int](Config{Capacity: capacity, MaxProducers: most})
		type producer struct {
			*Producer[int]
			queue  []int
			closed bool
		}
		slots := make([]*producer, most) // as the channel has them: nil is free
		closed := false
		value, sent, received := 0, 0, 0
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
			op := argument() % 6
			p := slots[argument()%most]
			if p == nil && op != 0 && op < 4 {
				continue
			}
			switch op {
			case 0:
				free := slices.Index(slots, nil)
				handle, err := m.Register()
				switch {
				case closed && !errors.Is(err, ErrClosed), !closed && free < 0 && !errors.Is(err, ErrTooManyProducers):
					t.Fatalf("Register: %v", err)
				case closed || free < 0:
				case err != nil:
					t.Fatalf("Register: %v with slot %d free", err, free)
				default:
					slots[free] = &producer{Producer: handle}
				}
			case 1:
				value++
				if want := !p.closed && len(p.queue) < capacity; p.Push(value) != want {
					t.Fatalf("Push = %t", !want)
				} else if want {
					p.queue = append(p.queue, value)
					sent++
				}
			case 2:
				slots := p.Reserve(1 + argument()%4)
				if len(slots) > capacity-len(p.queue) || slots == nil && !p.closed && len(p.queue) < capacity {
					t.Fatalf("Reserve = %d slots with %d of %d in use", len(slots), len(p.queue), capacity)
				}
				if slots == nil {
					continue
				}
				for i := range slots {
					value++
					slots[i] = value
				}
				if p.Commit(len(slots)) == p.closed {
					t.Fatalf("Commit = %t", !p.closed)
				} else if !p.closed {
					p.queue = append(p.queue, slots...)
					sent += len(slots)
				}
			case 3:
				p.Close()
				p.closed = true
			case 4:
				limit := argument() % 16
				before := sent - received
				got := 0
				n := m.ConsumeUpTo(limit, func(i int, batch []int) {
					p := slots[i]
					if p == nil || len(batch) == 0 || len(batch) > len(p.queue) || !slices.Equal(batch, p.queue[:len(batch)]) {
						t.Fatalf("producer %d: batch %v", i, batch)
					}
					p.queue = p.queue[len(batch):]
					got += len(batch)
				})
				if n != got || n != min(limit, before) {
					t.Fatalf("ConsumeUpTo(%d) = %d, passed %d of %d", limit, n, got, before)
				}
				received += n
				// Free for certain only if the poll got round; ask with a poll that does.
				if limit > before {
					for i, p := range slots {
						if p != nil && p.closed && len(p.queue) == 0 {
							slots[i] = nil
						}
					}
				} else {
					for i := range slots {
						if p := slots[i]; p != nil && !m.slots[i].live.Load() {
							if !p.closed || len(p.queue) > 0 {
								t.Fatalf("slot %d given up with %v, closed: %t", i, p.queue, p.closed)
							}
							slots[i] = nil
						}
					}
				}
			case 5:
				if argument()%8 != 0 { // not in every program
					continue
				}
				m.Close()
				closed = true
				for _, p := range slots {
					if p != nil {
						p.closed = true
					}
				}
			}
			if want := closed && sent == received; m.Done() != want {
				t.Fatalf("Done = %t with %d sent, %d received", !want, sent, received)
			}
			if s := m.Stats(); s.Sent != uint64(sent) || s.Received != uint64(received) {
				t.Fatalf("%+v, want %d and %d", s, sent, received)
			}
		}
	})
}
