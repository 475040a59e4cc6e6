package ringtail

import "time"

// leastBatchSpans is the smallest batch that adaptive batching closes: below it
// an export's fixed cost outweighs its spans.
const leastBatchSpans = 128

// pacer says how large batches are and how many exports run at once. Fixed at
// what the options say, unless adaptive: then it looks for the smallest batch and
// the fewest exports that keep up, and backs off when the exporter gets slower
// under more of them, a sign that it is the bottleneck.
// See docs/design/adaptive-batching.md.
type pacer struct {
	batchSpans int
	exports    int

	adaptive   bool
	maxSpans   int
	maxExports int
	base       time.Duration // the latency of an unhurried exporter: the least seen, rising slowly
	calm       int           // exports in a row that left no backlog
}

func newPacer(cfg *config) pacer {
	p := pacer{batchSpans: cfg.batchSpans, exports: cfg.exports, adaptive: cfg.adaptive,
		maxSpans: cfg.batchSpans, maxExports: cfg.exports}
	if p.adaptive {
		p.batchSpans, p.exports = min(leastBatchSpans, p.maxSpans), 1
	}
	return p
}

// observe learns that an export of so many spans took so long, and whether other
// batches wait behind it.
func (p *pacer) observe(spans int, took time.Duration, backlog bool) {
	if !p.adaptive {
		return
	}
	if p.base == 0 || took < p.base {
		p.base = took
	} else {
		p.base += p.base / 64 // forget, so that a backend that moved away is judged anew
	}
	switch {
	case !backlog:
		// Sixteen calm exports make a step down, one busy export a step up: it is
		// dearer to be late than to be large.
		if p.calm++; p.calm >= 16 {
			p.calm = 0
			p.exports = max(p.exports-1, 1)
			p.batchSpans = max(p.batchSpans-p.batchSpans/4, min(leastBatchSpans, p.maxSpans))
		}
	case p.batchSpans < p.maxSpans:
		p.calm = 0
		p.batchSpans = min(2*p.batchSpans, p.maxSpans)
	case took > 4*p.base && p.exports > 1:
		p.calm = 0
		p.exports--
		p.base += p.base / 8
	default:
		p.calm = 0
		p.exports = min(p.exports+1, p.maxExports)
	}
}
