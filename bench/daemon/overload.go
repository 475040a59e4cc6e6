package main

import (
	"fmt"
	"strconv"
	"time"
)

// The slow backend answers each request after half a second. Both daemons send it four at a
// time, of up to 8192 spans.
const (
	slowness     = 500 * time.Millisecond
	backendTakes = 4 * 8192 * int(time.Second/slowness) // spans a second
	largeBatch   = 4 << 20                              // more than 8192 spans, in bytes
)

// overload is work that the backend cannot keep up with.
type overload struct {
	start        starter
	times        float64 // what is offered, in what the backend takes; 0: as fast as it goes
	lasts, quick time.Duration
	storage      string
	logBytes     int64
	batch        int  // batchBytes of work
	neverRefuses bool // a refusal is an error: there is room
	backlogStays bool // do not wait until everything has arrived
}

// used is how much of its log a daemon has filled.
const used = "% of the log used"

func (o overload) run(s *stage) (Metrics, error) {
	w := work{protocol: "grpc", request: 100, storage: o.storage, logBytes: o.logBytes, batchBytes: o.batch}
	k, err := s.startSink("127.0.0.1:0", "--answer", "delay="+slowness.String())
	if err != nil {
		return nil, err
	}
	t, err := o.start(s, w, []string{k.grpc})
	if err != nil {
		return nil, err
	}
	lasts := pick(s.bed, o.lasts, o.quick)
	flags := []string{"--no-retry", "--duration", lasts.String()}
	if o.times > 0 {
		// So many in flight that what is offered does not depend on how fast answers come.
		flags = append(flags, "--rate", strconv.FormatFloat(o.times*float64(backendTakes), 'f', 0, 64), "--connections", "8", "--in-flight", "16")
	}
	cost, err := startMeter(t.process)
	if err != nil {
		return nil, err
	}
	l, err := s.startLoad(t, w, flags...)
	if err != nil {
		return nil, err
	}
	// The first batches have to fill and to be answered before there is a rate to speak of.
	select {
	case <-time.After(min(5*time.Second, lasts/2)):
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	from, err := k.soFar()
	if err != nil {
		return nil, err
	}
	sent, err := l.report(s)
	if err != nil {
		return nil, err
	}
	to, err := k.soFar()
	if err != nil {
		return nil, err
	}
	m := Metrics{
		// From an arrival to an arrival: they come in bursts.
		rate:              float64(to.Spans-from.Spans) / max(to.Seconds-from.Seconds, 1e-3),
		refused:           100 * float64(sent.Refused) / float64(max(sent.Sent, 1)),
		"offered spans/s": float64(sent.Sent) / sent.Seconds,
		latency:           sent.Latency.P99,
	}
	if o.logBytes > 0 && sent.Acked > to.seen() {
		m[used] = 100 * float64(sent.Acked-to.seen()) * spanBytes / float64(o.logBytes)
	}
	if err := cost.addTo(m, sent.Acked); err != nil {
		return nil, err
	}
	if o.backlogStays {
		return m, nil
	}
	if err := sent.clean(); err != nil {
		return nil, err
	}
	if o.neverRefuses && sent.Refused > 0 {
		return nil, fmt.Errorf("%d spans were turned away, although the log had room: %s", sent.Refused, sent.LastError)
	}
	if err := k.await(s, sent.Acked); err != nil {
		return nil, err
	}
	if m[peak], err = t.peakMiB(); err != nil {
		return nil, err
	}
	if err := t.end(); err != nil {
		return nil, err
	}
	_, err = k.settle()
	return m, err
}
