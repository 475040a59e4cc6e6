package ringtail

import (
	"cmp"
	"slices"
	"time"

	"github.com/ringtail-otel/ringtail/otlp"
)

const tagRepeated2 = 2<<3 | otlp.BytesType // scope_spans in ResourceSpans, spans in ScopeSpans

// Builder gathers encoded spans into one [Batch]. [Core.ConsumeUpTo] fills it; a
// [Collector] does so by itself. One goroutine may use it at a time.
//
// Spans are kept by scope, behind room for the envelope, so that a batch of one
// scope, the usual case, is closed by writing the envelope in front of them: a
// span is copied once, from the ring into the bytes that are sent.
type Builder struct {
	scopes   *scopes
	maxSpans int
	maxBytes int

	runs   []scopeRun
	last   int     // the run that the last span went to
	runOfs []int32 // by scope: the number of its run, plus one
	raw    []byte  // whole requests, joined
	joined []byte  // the request, where it had to be put together from several parts
	spans  int
	bytes  int
	batch  *Batch    // what Batch has returned
	opened time.Time // set by the collector: when the first span came
	number uint64    // set by the sender: its place in the order of batches

	expected int // bytes, if not 0: spares growing there step by step
}

// scopeRun holds the framed spans of one scope.
type scopeRun struct {
	scope  uint32
	header scopeHeader
	front  int    // room for the envelope: the spans begin here
	buf    []byte // front bytes of room, then the spans
}

// Len returns the number of spans gathered.
func (b *Builder) Len() int { return b.spans }

// Full reports whether the batch has reached its limit of spans or bytes.
func (b *Builder) Full() bool { return b.spans >= b.maxSpans || b.bytes >= b.maxBytes }

// appendSpan adds the body of a span.
func (b *Builder) appendSpan(scope uint32, body []byte) {
	if b.last >= len(b.runs) || b.runs[b.last].scope != scope {
		b.last = b.runOf(scope)
	}
	r := &b.runs[b.last]
	n := len(r.buf)
	r.buf = otlp.AppendVarint(append(r.buf, tagRepeated2), uint64(len(body)))
	r.buf = append(r.buf, body...)
	b.bytes += len(r.buf) - n
	b.spans++
}

func (b *Builder) runOf(scope uint32) int {
	if n := int(scope) + 1; n > len(b.runOfs) {
		b.runOfs = append(b.runOfs, make([]int32, n-len(b.runOfs))...)
	}
	if i := b.runOfs[scope]; i > 0 {
		return int(i) - 1
	}
	header := b.scopes.header(scope)
	// Each of the two frames takes a tag and a length of at most five bytes.
	front := len(header.resource) + len(header.scope) + 12
	b.bytes += front
	i := len(b.runs)
	b.runOfs[scope] = int32(i) + 1
	if i < cap(b.runs) {
		b.runs = b.runs[:i+1] // with the buffer of an earlier batch
	} else {
		b.runs = append(b.runs, scopeRun{})
	}
	r := &b.runs[i]
	r.scope, r.header, r.front = scope, header, front
	r.buf = slices.Grow(r.buf[:0], front+b.expected)[:front]
	b.expected = 0 // for the first scope only: how the others share is not known
	return i
}

// appendRequest adds a whole encoded request of so many spans.
func (b *Builder) appendRequest(request []byte, spans int) {
	if cap(b.raw) == 0 {
		b.raw, b.expected = make([]byte, 0, max(b.expected, len(request))), 0
	}
	b.raw = append(b.raw, request...)
	b.spans += spans
	b.bytes += len(request)
}

// Batch closes the batch and returns it; nil when it is empty. It is valid, and
// the builder not to be used, until Reset.
func (b *Builder) Batch() *Batch {
	if b.batch == nil && b.spans > 0 {
		b.batch = newBatch(b.request(), b.spans)
	}
	return b.batch
}

// request puts together what was gathered.
func (b *Builder) request() []byte {
	if len(b.runs) == 1 && len(b.raw) == 0 {
		return b.runs[0].close()
	}
	if len(b.runs) == 0 {
		return b.raw
	}
	// One ResourceSpans a resource, the collector's own first.
	slices.SortStableFunc(b.runs, func(x, y scopeRun) int { return cmp.Compare(x.header.number, y.header.number) })
	out := slices.Grow(b.joined[:0], b.bytes)
	out = append(out, b.raw...)
	for runs := b.runs; len(runs) > 0; {
		n := 1
		for n < len(runs) && runs[n].header.number == runs[0].header.number {
			n++
		}
		out = appendResourceSpans(out, runs[:n])
		runs = runs[n:]
	}
	b.joined = out
	return out
}

// appendResourceSpans appends the ResourceSpans of runs with one resource.
func appendResourceSpans(out []byte, runs []scopeRun) []byte {
	resource := runs[0].header.resource
	n := len(resource)
	for i := range runs {
		scopeSpans := runs[i].scopeSpansLen()
		n += 1 + otlp.SizeVarint(uint64(scopeSpans)) + scopeSpans
	}
	out = otlp.AppendVarint(append(out, 1<<3|otlp.BytesType), uint64(n))
	out = append(out, resource...)
	for i := range runs {
		r := &runs[i]
		out = otlp.AppendVarint(append(out, tagRepeated2), uint64(r.scopeSpansLen()))
		out = append(out, r.header.scope...)
		out = append(out, r.buf[r.front:]...)
	}
	return out
}

func (r *scopeRun) scopeSpansLen() int { return len(r.header.scope) + len(r.buf) - r.front }

// close writes the envelope into the room in front of the spans of the only run.
func (r *scopeRun) close() []byte {
	scopeSpans := r.scopeSpansLen()
	resourceSpans := len(r.header.resource) + 1 + otlp.SizeVarint(uint64(scopeSpans)) + scopeSpans
	envelope := resourceSpans - (len(r.buf) - r.front) + 1 + otlp.SizeVarint(uint64(resourceSpans))
	start := r.front - envelope
	out := otlp.AppendVarint(append(r.buf[:start], 1<<3|otlp.BytesType), uint64(resourceSpans))
	out = append(out, r.header.resource...)
	out = otlp.AppendVarint(append(out, tagRepeated2), uint64(scopeSpans))
	_ = append(out, r.header.scope...)
	return r.buf[start:]
}

// Reset empties the builder for the next batch and keeps its memory, unless the
// batch has swollen it to more than twice the limit, or is kept ([Batch.Keep]).
func (b *Builder) Reset() {
	for i := range b.runs {
		b.runOfs[b.runs[i].scope] = 0
	}
	if b.memory() > 2*b.maxBytes+1<<16 || b.batch != nil && b.batch.Kept() {
		b.runs, b.raw, b.joined = nil, nil, nil
	}
	b.runs, b.raw, b.joined = b.runs[:0], b.raw[:0], b.joined[:0]
	b.batch, b.last, b.spans, b.bytes = nil, 0, 0, 0
	b.opened = time.Time{}
}

// memory returns how many bytes the builder holds, used or not.
func (b *Builder) memory() int {
	n := cap(b.raw) + cap(b.joined)
	for _, r := range b.runs[:cap(b.runs)] {
		n += cap(r.buf)
	}
	return n
}
