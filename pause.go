package ringtail

import "time"

// shortestPause is as short as a sleeping goroutine's timer gets where the
// process has nothing else to do.
const shortestPause = time.Millisecond

// pause is how long the drainer sleeps between finding all rings empty and
// looking again. It is the interval that was asked for as long as that leaves the
// rings nearly empty, and shorter when they fill up meanwhile: a ring that passes its
// watermark costs the submitter that notices a system call to wake the drainer
// (one block of 64 submits in 32 with LowLatency at full speed, which was the 99th
// percentile), and a drainer that comes in time by itself costs the submitters nothing.
type pause struct {
	length   time.Duration
	interval time.Duration
	ring     uint64 // bytes
	fullest  uint64 // bytes in the fullest ring seen since the last pause
}

func (c *Collector) newPause() pause {
	return pause{length: c.cfg.interval, interval: c.cfg.interval, ring: uint64(c.cfg.ringBytes())}
}

// next sets the length of the pause to make now, when all rings are empty. It aims at
// rings that are an eighth to a quarter full, well below the watermark at one half.
func (p *pause) next() {
	switch {
	case p.fullest > p.ring/4:
		p.length = max(p.length/2, min(shortestPause, p.interval))
	case p.fullest < p.ring/8:
		p.length = min(p.length*2, p.interval)
	}
	p.fullest = 0
}
