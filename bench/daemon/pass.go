package main

import (
	"fmt"
	"time"
)

// Metrics are what one run measured, by name with unit.
type Metrics map[string]float64

// Names of metrics.
const (
	cpu        = "CPU s/M spans"
	system     = "of it system"
	cores      = "cores busy"
	written    = "bytes out a span"
	rate       = "spans/s"
	peak       = "peak MiB"
	latency    = "p99 ms"
	retries    = "requests sent again"
	refused    = "% of spans refused"
	duplicates = "duplicates"
	silence    = "s to the first span"
)

// meter measures what a target uses over a piece of work.
type meter struct {
	of     *process
	before usage
	since  time.Time
}

func startMeter(p *process) (m meter, err error) {
	m.of, m.since = p, time.Now()
	m.before, err = p.usage()
	return m, err
}

// addTo adds what was used since, for each of so many spans.
func (m meter) addTo(to Metrics, spans uint64) error {
	after, err := m.of.usage()
	if err != nil {
		return err
	}
	if to[peak], err = m.of.peakMiB(); err != nil {
		return err
	}
	millions := float64(max(spans, 1)) / 1e6
	user, kernel := after.user-m.before.user, after.system-m.before.system
	to[cpu], to[system] = (user+kernel)/millions, kernel/millions
	to[cores] = (user + kernel) / time.Since(m.since).Seconds()
	to[written] = (after.written - m.before.written) / millions / 1e6
	return nil
}

// end stops a target. It has to have nothing to complain of.
func (t *target) end() error {
	if t.grpc != "" && t.http == "" { // the relay
		t.kill()
		return nil
	}
	return t.stop()
}

// passThrough sends spans through a contender, until all of them have arrived at each of its
// backends.
func passThrough(start starter, w work) func(*stage) (Metrics, error) {
	return func(s *stage) (Metrics, error) {
		w.spans = pick(s.bed, w.spans, min(w.spans, 40_000))
		var sinks []*sink
		var backends []string
		for range max(w.exporters, 1) {
			k, err := s.startSink("127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			sinks, backends = append(sinks, k), append(backends, k.grpc)
		}
		t, err := start(s, w, backends)
		if err != nil {
			return nil, err
		}
		used, err := startMeter(t.process)
		if err != nil {
			return nil, err
		}
		l, err := s.startLoad(t, w)
		if err != nil {
			return nil, err
		}
		sent, err := l.report(s)
		if err != nil {
			return nil, err
		}
		if err := sent.clean(); err != nil {
			return nil, err
		}
		for _, k := range sinks {
			if err := k.await(s, sent.Acked); err != nil {
				return nil, err
			}
		}
		m := Metrics{latency: sent.Latency.P99, retries: float64(sent.Retries)}
		if err := used.addTo(m, sent.Acked); err != nil {
			return nil, err
		}
		if err := t.end(); err != nil {
			return nil, err
		}
		for _, k := range sinks {
			r, err := k.settle()
			if err != nil {
				return nil, err
			}
			if n := r.seen(); n != w.spans {
				return nil, fmt.Errorf("%d spans were sent, and %d arrived", w.spans, n)
			}
			// The slowest of them.
			if perSecond := float64(r.seen()) / max(r.Seconds, 1e-3); m[rate] == 0 || perSecond < m[rate] {
				m[rate] = perSecond
			}
			m[duplicates] += float64(r.duplicates())
		}
		return m, nil
	}
}
