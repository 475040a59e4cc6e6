package ring_test

import (
	"fmt"
	"sync"

	"github.com/ringtail-otel/ringtail/ring"
)

func ExampleNewSPSC() {
	p, c := ring.NewSPSC[string](4)
	for _, v := range []string{"a", "b", "c", "d", "e"} {
		if !p.Push(v) {
			fmt.Println("no room for", v)
		}
	}
	p.Close()
	for !c.Done() {
		n := c.ConsumeUpTo(3, func(batch []string) { fmt.Println(batch) })
		fmt.Println(n, "consumed")
	}
	// Output:
	// no room for e
	// [a b c]
	// 3 consumed
	// [d]
	// 1 consumed
}

// A reservation may be shorter than asked for; go on until all is written.
func ExampleProducer_Reserve() {
	p, c := ring.NewSPSC[int](8)
	p.Reserve(6)
	p.Commit(6)
	c.Release(len(c.Read(6))) // the end of the ring's memory is near now

	values := []int{1, 2, 3, 4, 5}
	for len(values) > 0 {
		slots := p.Reserve(len(values))
		if slots == nil {
			break // full
		}
		n := copy(slots, values)
		if !p.Commit(n) {
			break // closed: not one of them was published
		}
		fmt.Println("wrote", n)
		values = values[n:]
	}
	// Output:
	// wrote 2
	// wrote 3
}

func ExampleNewMPSC() {
	m := ring.NewMPSC[int](ring.Config{MaxProducers: 4})
	var producers sync.WaitGroup
	for range 4 {
		p, err := m.Register()
		if err != nil {
			fmt.Println(err)
			return
		}
		producers.Go(func() {
			defer p.Close() // the slot is free once its values are consumed
			for i := range 100 {
				p.Push(i)
			}
		})
	}
	producers.Wait()
	m.Close()
	sum := 0
	for !m.Done() {
		m.ConsumeUpTo(50, func(producer int, batch []int) {
			for _, v := range batch {
				sum += v
			}
		})
	}
	fmt.Println(sum, m.Stats().Received)
	// Output: 19800 400
}

func ExampleNewBytes() {
	p, c := ring.NewBytes(4096)
	for tag, word := range []string{"nothing", "is", "lost"} {
		record := p.Reserve(100) // as much as it may take
		if record == nil {
			break // full
		}
		n := copy(record, word)
		if !p.Commit(n, uint32(tag)) {
			break // closed
		}
	}
	c.Close()
	fmt.Println(c.Pending(), "records")
	for {
		record, tag, ok := c.Next()
		if !ok {
			break
		}
		fmt.Printf("%d %s\n", tag, record)
	}
	c.Release()
	// Output:
	// 3 records
	// 0 nothing
	// 1 is
	// 2 lost
}

// The region of a byte ring holds all there is to know: here the next process
// reads what the former one left behind, and then writes to the same ring.
func ExampleOpenBytes() {
	p, former := ring.NewBytes(4096)
	p.Commit(copy(p.Reserve(9), "last word"), 0)

	c, err := ring.OpenBytes(former.Region())
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Close() // whoever wrote to it is gone
	record, _, _ := c.Next()
	fmt.Printf("%s\n", record)
	p = c.Reopen()
	fmt.Println(p.Backlog(), p.Closed())
	// Output:
	// last word
	// 0 false
}
