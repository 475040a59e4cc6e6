package main

import (
	"fmt"
	"time"

	"github.com/ringtail-otel/ringtail/ring"
)

// filled times filling queues that nobody reads meanwhile. make returns what
// fills one, and what empties it.
func filled(make func() (fill func() bool, empty func() int)) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		fill, empty := make()
		var took time.Duration
		times := j.pick(5_000, 10)
		for range times {
			start := time.Now()
			ok := fill()
			took += time.Since(start)
			if n := empty(); !ok || n != slots {
				return nil, fmt.Errorf("a queue of %d held %d", slots, n)
			}
		}
		return Metrics{"ns/push": float64(took) / float64(times*slots)}, nil
	}
}

// values are what is pushed: ready in memory, since a value whose first word was
// written just before it is copied stalls the copy, by 4 ns or not at all as
// the stack happens to lie.
var values [64]value

func pushOurs() (fill func() bool, empty func() int) {
	p, c := ring.NewSPSC[value](slots)
	return func() bool {
		ok := true
		for i := range slots {
			ok = p.Push(values[i%len(values)]) && ok
		}
		return ok
	}, func() int { return c.ConsumeUpTo(slots, func([]value) {}) }
}

func reserveOurs() (fill func() bool, empty func() int) {
	p, c := ring.NewSPSC[value](slots)
	return func() bool {
		ok := true
		for i := range slots {
			s := p.Reserve(1)
			s[0] = values[i%len(values)]
			ok = p.Commit(1) && ok
		}
		return ok
	}, func() int { return c.ConsumeUpTo(slots, func([]value) {}) }
}

func pushChan() (fill func() bool, empty func() int) {
	ch := make(chan value, slots)
	return func() bool {
			for i := range slots {
				ch <- values[i%len(values)]
			}
			return true
		}, func() (n int) {
			for len(ch) > 0 {
				<-ch
				n++
			}
			return n
		}
}

// pairs times n pairs of a push and a pop; the function returns the sum of what
// it popped.
func pairs(f func(n uint64) (sum uint64)) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		n := uint64(j.pick(20_000_000, 10_000))
		start := time.Now()
		sum := f(n)
		took := time.Since(start)
		if sum != n*(n-1)/2 {
			return nil, fmt.Errorf("what was popped is not what was pushed")
		}
		return Metrics{"ns/pair": float64(took) / float64(n)}, nil
	}
}

func pairOurs(n uint64) (sum uint64) {
	p, c := ring.NewSPSC[value](slots)
	var v value
	for i := range n {
		v[0] = i
		p.Push(v)
		got, _ := c.Pop()
		sum += got[0]
	}
	return sum
}

func pairChan(n uint64) (sum uint64) {
	ch := make(chan value, slots)
	var v value
	for i := range n {
		v[0] = i
		ch <- v
		got := <-ch
		sum += got[0]
	}
	return sum
}
