package ringtail

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/otlp"
)

// Batch is a number of spans, encoded as one OTLP ExportTraceServiceRequest. That
// may lie in several pieces, for those who have them so and for exporters that can
// send them so. It does not change while an exporter has it, and may be read by
// several goroutines at once.
type Batch struct {
	one   [1][]byte // the request, if it is in one piece: the usual case
	many  *pieces   // else
	spans int
	whole *Batch      // of which it is a part, by Split
	kept  atomic.Bool // by Keep
}

// pieces is a request in several pieces, each a request by itself: protobuf joins
// messages by laying their bytes side by side.
type pieces struct {
	parts  [][]byte
	size   int
	join   sync.Once
	joined []byte // set by join
}

// NewBatch makes a batch of an encoded ExportTraceServiceRequest, which it keeps
// and does not copy; when it may be written to again, [Batch.Kept] says. The request is
// checked first: an error is an [*otlp.SyntaxError] that names the place.
func NewBatch(request []byte) (*Batch, error) {
	counts, err := otlp.Validate(request)
	if err != nil {
		return nil, err
	}
	return newBatch(request, counts.Spans), nil
}

func newBatch(request []byte, spans int) *Batch {
	return &Batch{one: [1][]byte{request}, spans: spans}
}

// JoinBatch makes a batch of whole requests laid side by side. They must have been
// validated, and hold that many spans: neither is looked at here. The batch keeps
// requests and what they hold, and does not copy them; when these may be written to again,
// [Batch.Kept] says.
func JoinBatch(requests [][]byte, spans int) *Batch {
	if len(requests) == 1 {
		return newBatch(requests[0], spans)
	}
	many := &pieces{parts: requests}
	for _, r := range requests {
		many.size += len(r)
	}
	return &Batch{many: many, spans: spans}
}

// Bytes returns the encoded ExportTraceServiceRequest. It belongs to the batch
// and must not be changed. A batch in several pieces is joined by the first call,
// which copies it, and keeps the copy: who can do with pieces uses Parts.
func (b *Batch) Bytes() []byte {
	if b.many == nil {
		return b.one[0]
	}
	b.many.join.Do(func() { b.many.joined = slices.Concat(b.many.parts...) })
	return b.many.joined
}

// Parts returns the request in pieces, in their order: side by side they are what
// Bytes returns, and each is a request by itself. They belong to the batch and must
// not be changed.
func (b *Batch) Parts() [][]byte {
	if b.many == nil {
		return b.one[:]
	}
	return b.many.parts
}

// Size returns the length of the encoded request in bytes.
func (b *Batch) Size() int {
	if b.many == nil {
		return len(b.one[0])
	}
	return b.many.size
}

// Len returns the number of spans.
func (b *Batch) Len() int { return b.spans }

// Clone returns a batch with a copy of the bytes, in one piece, which is valid for
// as long as it is kept.
func (b *Batch) Clone() *Batch { return newBatch(slices.Concat(b.Parts()...), b.spans) }

// Split returns the batch in parts of at most maxBytes encoded bytes, itself
// alone if it is small enough. A single span that is larger comes in a batch of
// its own. Pieces of the batch that fit stay whole. Parts are valid as long as the
// batch is.
func (b *Batch) Split(maxBytes int) iter.Seq[*Batch] {
	return func(yield func(*Batch) bool) {
		if b.Size() <= maxBytes {
			yield(b)
			return
		}
		var fit [][]byte // what goes together
		var size, spans int
		for _, piece := range b.Parts() {
			for request := range otlp.Split(piece, maxBytes) {
				n := otlp.Count(request)
				if n == 0 {
					continue
				}
				if len(fit) > 0 && size+len(request) > maxBytes {
					if !yield(b.part(fit, spans)) {
						return
					}
					fit, size, spans = nil, 0, 0
				}
				fit = append(fit, request)
				size += len(request)
				spans += n
			}
		}
		if len(fit) > 0 {
			yield(b.part(fit, spans))
		}
	}
}

func (b *Batch) part(requests [][]byte, spans int) *Batch {
	p := JoinBatch(requests, spans)
	p.whole = b
	return p
}

// Keep says that the batch's bytes may be read after Export has returned, until nobody
// knows when. It is for exporters that have handed them to something which does not say when
// it has done with them, and is called before Export returns, from any goroutine. It costs
// the batch's owner the memory, so it is for what seldom happens: a [Batch.Clone] is
// cheaper than to keep every batch.
//
// To keep a part that Split has made is to keep the batch.
func (b *Batch) Keep() {
	for ; b != nil; b = b.whole {
		b.kept.Store(true)
	}
}

// Kept reports whether somebody has called Keep. It is for the batch's owner, who asks when
// Export has returned: memory of a batch that is kept must never be written to again, and
// is left to the garbage collector. A [Collector] and a [Builder] see to it themselves; who
// makes a batch of memory that is used again, or of another batch's bytes, has to (in the second
// case, by keeping the other batch).
func (b *Batch) Kept() bool { return b.kept.Load() }

// Traces returns the batch's spans by trace, in the order in which each trace
// first appears, each trace's spans in the order of the batch. A trace whose
// spans are spread over several batches comes once for each of them.
func (b *Batch) Traces() iter.Seq2[trace.TraceID, []*Span] {
	return func(yield func(trace.TraceID, []*Span) bool) {
		byTrace := make(map[trace.TraceID][]*Span)
		var order []trace.TraceID
		for s := range b.Spans() {
			spans, seen := byTrace[s.TraceID]
			if !seen {
				order = append(order, s.TraceID)
			}
			byTrace[s.TraceID] = append(spans, s)
		}
		for _, id := range order {
			if !yield(id, byTrace[id]) {
				return
			}
		}
	}
}
