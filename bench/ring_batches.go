package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail/ring"
)

// batches runs n pairs of a producer and a consumer at once. start begins one that
// passes so many values, in wg, and returns what checks it once it has ended.
func batches(n int, values float64, start func(wg *sync.WaitGroup, values int) (check func() error)) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		values := j.pick(int(values), 4*batch) / n / batch * batch
		var wg sync.WaitGroup
		var checks []func() error
		began := time.Now()
		for range n {
			checks = append(checks, start(&wg, values))
		}
		wg.Wait()
		took := time.Since(began)
		for _, check := range checks {
			if err := check(); err != nil {
				return nil, err
			}
		}
		return Metrics{"M values/s": float64(n*values) / 1e6 / took.Seconds()}, nil
	}
}

// write writes consecutive numbers.
func write(s []uint32, from int) {
	next := uint32(from)
	for len(s) >= 4 {
		s[0], s[1], s[2], s[3] = next, next+1, next+2, next+3
		next += 4
		s = s[4:]
	}
	for i := range s {
		s[i] = next + uint32(i)
	}
}

func sum(s []uint32) (total uint64) {
	for _, v := range s {
		total += uint64(v)
	}
	return total
}

// checkBatches compares what came, by number and sum or last value.
func checkBatches(values, count int, last uint32, total uint64, summed bool) error {
	want := uint64(0)
	for v := range uint64(values) {
		want += uint64(uint32(v))
	}
	if count != values || last != uint32(values-1) || summed && total != want {
		return fmt.Errorf("%d values up to %d with sum %d came, not %d with sum %d", count, last, total, values, want)
	}
	return nil
}

func batchOurs(summed bool) func(*sync.WaitGroup, int) func() error {
	return func(wg *sync.WaitGroup, values int) func() error {
		p, c := ring.NewSPSC[uint32](batchSlots)
		wg.Go(func() {
			for sent := 0; sent < values; {
				var w waiter
				space := p.Reserve(min(batch, values-sent))
				for space == nil {
					w.wait()
					space = p.Reserve(min(batch, values-sent))
				}
				write(space, sent)
				p.Commit(len(space))
				sent += len(space)
			}
		})
		var count int
		var last uint32
		var total uint64
		wg.Go(func() {
			for count < values {
				var w waiter
				got := c.Read(batch)
				for got == nil {
					w.wait()
					got = c.Read(batch)
				}
				if summed {
					total += sum(got)
				}
				count, last = count+len(got), got[len(got)-1]
				c.Release(len(got))
			}
		})
		return func() error { return checkBatches(values, count, last, total, summed) }
	}
}

func batchChan(wg *sync.WaitGroup, values int) func() error {
	ch := make(chan uint32, batchSlots)
	wg.Go(func() {
		for i := range values {
			ch <- uint32(i)
		}
		close(ch)
	})
	var count int
	var last uint32
	wg.Go(func() {
		for last = range ch {
			count++
		}
	})
	return func() error { return checkBatches(values, count, last, 0, false) }
}

func batchSlices(wg *sync.WaitGroup, values int) func() error {
	ch, back := make(chan []uint32, batchSlots/batch), make(chan []uint32, batchSlots/batch)
	for range cap(back) {
		back <- make([]uint32, batch)
	}
	wg.Go(func() {
		for sent := 0; sent < values; sent += batch {
			s := <-back
			write(s, sent)
			ch <- s
		}
		close(ch)
	})
	var count int
	var last uint32
	wg.Go(func() {
		for s := range ch {
			count, last = count+len(s), s[len(s)-1]
			back <- s
		}
	})
	return func() error { return checkBatches(values, count, last, 0, false) }
}
