package ring

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestSPSCCapacity(t *testing.T) {
	for _, test := range []struct{ ask, got int }{{1, 1}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1000, 1024}} {
		p, c := NewSPSC[int](test.ask)
		if p.Cap() != test.got || c.Cap() != test.got {
			t.Errorf("NewSPSC(%d): capacities %d and %d, want %d", test.ask, p.Cap(), c.Cap(), test.got)
		}
	}
	for _, capacity := range []int{0, -1, maxSlots + 1} {
		mustPanic(t, func() { NewSPSC[byte](capacity) })
	}
}

// TestSPSCEdges fills and drains small rings around the wraps of memory and of
// positions.
func TestSPSCEdges(t *testing.T) {
	for _, capacity := range []int{1, 2, 4} {
		for _, start := range []uint64{0, 2, 6, 1<<64 - 2, 1<<64 - 6, 1<<64 - 8, 1 << 63} {
			t.Run(fmt.Sprint(capacity, "/", start), func(t *testing.T) {
				p, c := newSPSCAt[int](capacity, start)
				sent, received := 0, 0
				for lap := range 20 {
					if _, ok := c.Pop(); ok || c.Read(5) != nil {
						t.Fatal("value in an empty ring")
					}
					for range capacity {
						if !p.Push(sent) {
							t.Fatalf("lap %d: refused with %d in the ring", lap, p.Len())
						}
						sent++
					}
					if p.Push(-1) || p.Reserve(1) != nil {
						t.Fatal("room in a full ring")
					}
					if p.Len() != capacity || c.Len() != capacity {
						t.Fatalf("lengths %d and %d", p.Len(), c.Len())
					}
					for range capacity - lap%capacity {
						if v, ok := c.Pop(); !ok || v != received {
							t.Fatalf("Pop = %d, %t; want %d", v, ok, received)
						}
						received++
					}
					n := c.ConsumeUpTo(100, func(batch []int) {
						for _, v := range batch {
							if v != received {
								t.Fatalf("got %d, want %d", v, received)
							}
							received++
						}
					})
					if n != lap%capacity {
						t.Fatalf("ConsumeUpTo = %d, want %d", n, lap%capacity)
					}
				}
			})
		}
	}
}

func TestSPSCReserve(t *testing.T) {
	p, c := NewSPSC[int](8)
	if p.Reserve(0) != nil || p.Reserve(-1) != nil {
		t.Fatal("reservation of nothing")
	}
	if got := p.Reserve(100); len(got) != 8 || cap(got) != 8 {
		t.Fatalf("Reserve(100) = %d slots", len(got))
	}
	copy(p.Reserve(6), []int{1, 2, 3, 4, 5, 6})
	if !p.Commit(5) { // the sixth is not
		t.Fatal("refused")
	}
	if got := c.Read(4); !slices.Equal(got, []int{1, 2, 3, 4}) || cap(got) != 4 {
		t.Fatalf("Read(4) = %v", got)
	}
	if got := c.Read(100); !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
		t.Fatalf("Read(100) = %v", got)
	}
	c.Release(4)
	// 5 in slot 4; slots 5 to 7 and 0 to 3 are free.
	got := p.Reserve(7)
	if len(got) != 3 {
		t.Fatalf("Reserve(7) = %d slots before the end, want 3", len(got))
	}
	copy(got, []int{6, 7, 8})
	p.Commit(3)
	if got = p.Reserve(7); len(got) != 4 {
		t.Fatalf("Reserve(7) = %d slots, want 4", len(got))
	}
	copy(got, []int{9, 10, 11, 12})
	p.Commit(4)
	var all [][]int
	n := c.ConsumeUpTo(7, func(batch []int) { all = append(all, slices.Clone(batch)) })
	if n != 7 || fmt.Sprint(all) != "[[5 6 7 8] [9 10 11]]" {
		t.Fatalf("ConsumeUpTo = %d, %v", n, all)
	}
	if v, ok := c.Pop(); !ok || v != 12 {
		t.Fatalf("Pop = %d, %t", v, ok)
	}
}

func TestSPSCMisuse(t *testing.T) {
	p, c := NewSPSC[int](4)
	mustPanic(t, func() { p.Commit(0) })
	p.Reserve(2)
	mustPanic(t, func() { p.Commit(3) })
	mustPanic(t, func() { p.Commit(-1) })
	p.Commit(1)
	mustPanic(t, func() { p.Commit(0) })
	p.Reserve(1)
	p.Push(1)
	mustPanic(t, func() { p.Commit(1) })
	mustPanic(t, func() { c.Release(1) }) // not seen yet
	c.Read(2)
	mustPanic(t, func() { c.Release(3) })
	mustPanic(t, func() { c.Release(-1) })
	c.Release(2)
	c.Release(0)
	if c.ConsumeUpTo(0, nil) != 0 || c.ConsumeUpTo(-1, nil) != 0 || c.Read(-1) != nil {
		t.Fatal("values beyond a limit of 0")
	}
}

func TestSPSCConsumePanics(t *testing.T) {
	p, c := NewSPSC[int](4)
	p.Push(1)
	mustPanic(t, func() { c.ConsumeUpTo(1, func([]int) { panic("consumer") }) })
	if v, ok := c.Pop(); !ok || v != 1 {
		t.Fatalf("Pop = %d, %t after a panic", v, ok)
	}
}

func TestSPSCClose(t *testing.T) {
	for _, side := range []string{"producer", "consumer"} {
		t.Run(side, func(t *testing.T) {
			p, c := NewSPSC[int](4)
			p.Push(1)
			p.Reserve(1)[0] = 2
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
				t.Fatal("not closed, or done with a value left")
			}
			if p.Commit(1) {
				t.Fatal("Commit accepted after Close")
			}
			if p.Push(3) || p.Reserve(1) != nil {
				t.Fatal("room after Close")
			}
			if v, ok := c.Pop(); !ok || v != 1 {
				t.Fatalf("Pop = %d, %t", v, ok)
			}
			if v, ok := c.Pop(); ok {
				t.Fatalf("Pop = %d, want nothing", v)
			}
			if !c.Done() || c.Len() != 0 || p.Len() != 0 {
				t.Fatal("not done")
			}
		})
	}
	p, c := NewSPSC[int](4)
	c.Close()
	if p.Push(1) { // the producer has not looked before
		t.Fatal("Push accepted after Close")
	}
}

func TestSPSCReopen(t *testing.T) {
	for _, start := range []uint64{0, 1<<64 - 4} {
		p, c := newSPSCAt[int](4, start)
		if c.Reopen() != nil {
			t.Fatal("open ring reopened")
		}
		p.Push(1)
		p.Close()
		if c.Reopen() != nil {
			t.Fatal("ring with a value reopened")
		}
		c.Pop()
		for range 5 {
			former := p
			if p = c.Reopen(); p == nil || p.Closed() || p.Len() != 0 || c.Done() {
				t.Fatal("not as new")
			}
			if former.Push(666) {
				t.Fatal("the former producer's value was taken")
			}
			for i := range 20 {
				p.Push(i)
				if v, ok := c.Pop(); !ok || v != i {
					t.Fatalf("Pop = %d, %t; want %d", v, ok, i)
				}
			}
			c.Close()
		}
	}
}

// TestSPSCRetention: what has been consumed, or refused, the ring does not
// keep alive.
func TestSPSCRetention(t *testing.T) {
	type value struct {
		n       int
		payload *[64]byte
	}
	type producer = *Producer[value]
	type consumer = *Consumer[value]
	push := func(p producer, make func() value) {
		for range 3 {
			p.Push(make())
		}
	}
	for _, test := range []struct {
		name string
		use  func(p producer, c consumer, make func() value)
	}{
		{"Pop", func(p producer, c consumer, make func() value) {
			push(p, make)
			for range 3 {
				c.Pop()
			}
		}},
		{"Release", func(p producer, c consumer, make func() value) {
			push(p, make)
			c.see(3)
			c.Release(3)
		}},
		{"ConsumeUpTo", func(p producer, c consumer, make func() value) {
			push(p, make)
			c.ConsumeUpTo(3, func([]value) {})
		}},
		{"refused Push", func(p producer, c consumer, make func() value) {
			c.Close()
			push(p, make)
		}},
		{"refused Commit", func(p producer, c consumer, make func() value) {
			p.Push(value{}) // past the end of memory
			slots := p.Reserve(3)
			for i := range slots {
				slots[i] = make()
			}
			c.Close()
			p.Commit(1)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, c := NewSPSC[value](4)
			p.Push(value{})
			p.Push(value{})
			p.Push(value{})
			c.ConsumeUpTo(3, func([]value) {}) // the end of memory lies between the values
			made, collected := 0, make(chan struct{}, 3)
			test.use(p, c, func() value {
				payload := new([64]byte)
				runtime.AddCleanup(payload, func(int) { collected <- struct{}{} }, 0)
				made++
				return value{made, payload}
			})
			if made != 3 {
				t.Fatalf("%d values made", made)
			}
			for deadline := time.Now().Add(10 * time.Second); len(collected) < made; runtime.GC() {
				if time.Now().After(deadline) {
					t.Fatalf("%d of %d values were collected", len(collected), made)
				}
			}
			runtime.KeepAlive(p)
			runtime.KeepAlive(c)
		})
	}
}

func TestHasPointers(t *testing.T) {
	type flat struct {
		_ [4]uint64
		_ struct{ _ float64 }
		_ [0]*int
	}
	for _, test := range []struct {
		value any
		want  bool
	}{
		{0, false}, {complex64(0), false}, {true, false}, {flat{}, false}, {uintptr(0), false},
		{"", true}, {new(int), true}, {[]int{}, true}, {map[int]int{}, true}, {[1]string{}, true},
		{struct{ f func() }{}, true}, {make(chan int), true}, {struct{ e error }{}, true},
	} {
		if got := hasPointers(reflect.TypeOf(test.value)); got != test.want {
			t.Errorf("%T: %t", test.value, got)
		}
	}
}

func TestSPSCAllocs(t *testing.T) {
	p, c := NewSPSC[[12]uint64](64)
	sum := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		p.Push([12]uint64{1})
		p.Reserve(2)
		p.Commit(1)
		c.Pop()
		c.ConsumeUpTo(5, func(batch [][12]uint64) { sum += batch[0][0] })
	}); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}
