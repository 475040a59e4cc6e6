package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail/ring"
)

func mpscOurs(producers int, read bool) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		each := j.pick(20_000_000, 20_000) / producers
		m := ring.NewMPSC[value](ring.Config{Capacity: slots, MaxProducers: producers})
		return mpsc(producers, each, read, func(wg *sync.WaitGroup) error {
			for range producers {
				p, err := m.Register()
				if err != nil {
					return err
				}
				wg.Go(func() {
					var v value
					for i := range uint64(each) {
						v[0] = i
						for w := waiter(0); !p.Push(v); {
							w.wait()
						}
					}
				})
			}
			return nil
		}, func() (count int, total uint64) {
			for count < producers*each {
				n := m.ConsumeUpTo(slots, func(_ int, values []value) {
					if read {
						for i := range values {
							total += values[i][0]
						}
					}
				})
				count += n
				if n < few {
					runtime.Gosched()
				}
			}
			return count, total
		})
	}
}

func mpscChan(producers int) func(*Job) (Metrics, error) {
	return func(j *Job) (Metrics, error) {
		each := j.pick(5_000_000, 20_000) / producers
		ch := make(chan value, slots*producers)
		return mpsc(producers, each, true, func(wg *sync.WaitGroup) error {
			for range producers {
				wg.Go(func() {
					var v value
					for i := range uint64(each) {
						v[0] = i
						ch <- v
					}
				})
			}
			return nil
		}, func() (count int, total uint64) {
			for ; count < producers*each; count++ {
				v := <-ch
				total += v[0]
			}
			return count, total
		})
	}
}

// mpsc times producers, which start starts, and the consumer, which this goroutine
// becomes.
func mpsc(producers, each int, read bool, start func(*sync.WaitGroup) error, consume func() (count int, total uint64)) (Metrics, error) {
	var wg sync.WaitGroup
	began := time.Now()
	if err := start(&wg); err != nil {
		return nil, err
	}
	count, total := consume()
	took := time.Since(began)
	wg.Wait()
	n := uint64(each)
	if want := uint64(producers) * (n * (n - 1) / 2); read && total != want {
		return nil, fmt.Errorf("what was read sums up to %d, not %d", total, want)
	}
	return Metrics{"M values/s": float64(count) / 1e6 / took.Seconds()}, nil
}
