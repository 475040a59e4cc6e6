package main

import (
	"fmt"
	"time"
)

// spanBytes is what a span of the load takes in a request, with tag and length.
const spanBytes = 463

// drain fills a log on disk while the backend is down, and measures from the moment at which
// it is back.
func drain(bytes, quick int64) func(*stage) (Metrics, error) {
	return func(s *stage) (Metrics, error) {
		bytes := pick(s.bed, bytes, quick)
		if free := freeBytes(s.dir); free < 2*bytes {
			return nil, fmt.Errorf("there are %d MB free in %s, and twice %d are wanted: choose another disk with -dir", free/1e6, s.dir, bytes/1e6)
		}
		w := work{spans: uint64(bytes / spanBytes), protocol: "grpc", request: 100, storage: "synced", logBytes: bytes + bytes/2 + 64<<20}
		backend, err := freeAddress()
		if err != nil {
			return nil, err
		}
		t, err := startRingtail(s, w, []string{backend})
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
		if sent.Turned > 0 {
			return nil, fmt.Errorf("%d requests were turned away, although the log had room: %s", sent.Turned, sent.LastError)
		}
		used, err := startMeter(t.process)
		if err != nil {
			return nil, err
		}
		k, err := s.startSink(backend)
		if err != nil {
			return nil, err
		}
		up := time.Now()
		if err := k.await(s, sent.Acked); err != nil {
			return nil, err
		}
		took := time.Since(up)
		m := Metrics{}
		if err := used.addTo(m, sent.Acked); err != nil {
			return nil, err
		}
		r, err := k.soFar()
		if err != nil {
			return nil, err
		}
		m[rate] = float64(r.seen()) / max(r.Seconds, 1e-3)
		m[silence] = max(took.Seconds()-r.Seconds, 0)
		m["fill spans/s"] = float64(sent.Acked) / sent.Seconds
		if err := t.stop(); err != nil {
			return nil, err
		}
		if r, err = k.settle(); err != nil {
			return nil, err
		}
		if n := r.seen(); n != w.spans {
			return nil, fmt.Errorf("%d spans were sent, and %d arrived", w.spans, n)
		}
		m[duplicates] = float64(r.duplicates())
		return m, nil
	}
}
