package otlp

import "iter"

// An Envelope is what the spans of one ScopeSpans share: their resource, their instrumentation scope
// and the schemas of both. Its slices belong to the request it was read from.
type Envelope struct {
	Resource          []byte // encoded Resource, without tag and length; nil when absent
	ResourceSchemaURL []byte
	Scope             []byte // encoded InstrumentationScope, likewise
	ScopeSchemaURL    []byte

	// Every field of the ResourceSpans that is not scope_spans, and of the ScopeSpans that is not
	// spans, as framed on the wire: what Split repeats, fields unknown to us included.
	resourceHeader []byte
	scopeHeader    []byte
	resourceIndex  int // which ResourceSpans of the request
}

// A SpanRef is one span's place in a request.
type SpanRef struct {
	// Envelope is the same pointer for all spans of one ScopeSpans. It stays valid as long as the
	// request does.
	Envelope *Envelope
	// Body is the encoded Span, for [ParseSpan].
	Body []byte
	// Framed is Body with tag and length before it, as it stands in the request and as
	// [ScopeRun.Spans] takes it.
	Framed []byte
}

// Spans iterates over the spans of a validated request, in their order on the wire, without copying
// or decoding them: what it yields are slices of req, which must not change while they are in use.
// One Envelope is allocated for each ScopeSpans.
//
// Protobuf lets resource, scope and schema URL stand anywhere in their message, more than once: here
// as there the last schema URL counts, and several resources or scopes are merged into one (a copy is
// made for that). Of a request that [Validate] refuses, the spans before the malformed part are
// yielded.
func Spans(req []byte) iter.Seq[SpanRef] {
	return func(yield func(SpanRef) bool) {
		index := -1
		rs := fields(req)
		for rs.next() {
			if rs.tag != tag(1, BytesType) {
				continue
			}
			index++
			resource := splitHeader(rs.body)
			ss := fields(rs.body)
			for ss.next() {
				if ss.tag != tag(2, BytesType) {
					continue
				}
				scope := splitHeader(ss.body)
				env := &Envelope{
					Resource: resource.message, ResourceSchemaURL: resource.schemaURL,
					Scope: scope.message, ScopeSchemaURL: scope.schemaURL,
					resourceHeader: resource.raw, scopeHeader: scope.raw, resourceIndex: index,
				}
				s := fields(ss.body)
				for s.next() {
					if s.tag != tag(2, BytesType) {
						continue
					}
					if !yield(SpanRef{Envelope: env, Body: s.body, Framed: s.framed()}) {
						return
					}
				}
			}
		}
	}
}

// ResourceSpans and ScopeSpans have the same shape: field 1 describes, field 2 repeats what is
// described, field 3 is a schema URL. A header is everything but field 2.
type header struct {
	message   []byte // field 1
	schemaURL []byte // field 3
	raw       []byte // all fields but 2
}

func splitHeader(b []byte) header {
	var h header
	f := fields(b)
	for f.next() {
		switch f.tag {
		case tag(2, BytesType):
			continue
		case tag(1, BytesType):
			h.message = merge(h.message, f.body)
		case tag(3, BytesType):
			h.schemaURL = f.body
		}
		if h.raw == nil {
			h.raw = f.framed()
		} else if n := len(h.raw); f.start == n && &h.raw[0] == &b[0] {
			h.raw = b[:f.end:f.end] // the usual case: the header is a prefix
		} else {
			h.raw = append(h.raw, f.framed()...) // allocates: capacity ends with the slice
		}
	}
	return h
}

// merge joins two encodings of one singular message field. Protobuf defines the merge of two messages
// as the message that their concatenated encodings decode to.
func merge(before, more []byte) []byte {
	if before == nil {
		return more
	}
	return append(before[:len(before):len(before)], more...)
}
