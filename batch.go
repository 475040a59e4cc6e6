package ringtail

import (
	"iter"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/otlp"
)

// Batch is a number of spans, encoded as one OTLP ExportTraceServiceRequest.
// It does not change while an exporter has it, and may be read by several
// goroutines at once.
type Batch struct {
	request []byte
	spans   int
}

// NewBatch makes a batch of an encoded ExportTraceServiceRequest, which it keeps
// and does not copy. The request is checked first: an error is an
// [*otlp.SyntaxError] that names the place.
func NewBatch(request []byte) (*Batch, error) {
	counts, err := otlp.Validate(request)
	if err != nil {
		return nil, err
	}
	return &Batch{request: request, spans: counts.Spans}, nil
}

// Bytes returns the encoded ExportTraceServiceRequest. It belongs to the batch
// and must not be changed.
func (b *Batch) Bytes() []byte { return b.request }

// Len returns the number of spans.
func (b *Batch) Len() int { return b.spans }

// Clone returns a batch with a copy of the bytes, which is valid for as long as
// it is kept.
func (b *Batch) Clone() *Batch {
	return &Batch{request: slices.Clone(b.request), spans: b.spans}
}

// Split returns the batch in parts of at most maxBytes encoded bytes, itself
// alone if it is small enough. A single span that is larger comes in a batch of
// its own. Parts are valid as long as the batch is.
func (b *Batch) Split(maxBytes int) iter.Seq[*Batch] {
	return func(yield func(*Batch) bool) {
		if len(b.request) <= maxBytes {
			yield(b)
			return
		}
		for part := range otlp.Split(b.request, maxBytes) {
			if !yield(&Batch{request: part, spans: otlp.Count(part)}) {
				return
			}
		}
	}
}

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
