package otlp

import (
	"iter"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// A SpanView is an encoded span, read: its scalar fields decoded, everything repeated left encoded
// until asked for. Its slices belong to the bytes it was parsed from and live as long as these do
// unchanged; strings and attribute values that its methods return are copies.
//
// Times are nanoseconds since the Unix epoch, zero when absent. An absent parent is the zero id. A
// trace or span id of the wrong length cannot occur in validated bytes.
type SpanView struct {
	TraceID      trace.TraceID
	SpanID       trace.SpanID
	ParentSpanID trace.SpanID
	TraceState   []byte // W3C tracestate
	Name         []byte
	Flags        uint32 // trace flags in the low byte, remoteness of the parent in bits 8 and 9
	Kind         trace.SpanKind

	StartTimeUnixNano uint64
	EndTimeUnixNano   uint64

	StatusCode    codes.Code
	StatusMessage []byte

	DroppedAttributes uint32
	DroppedEvents     uint32
	DroppedLinks      uint32

	// How many attributes, events and links there are.
	AttributeCount, EventCount, LinkCount int

	raw []byte
}

// ParseSpan reads one encoded Span, such as [SpanRef.Body]. It allocates nothing. Malformed bytes are
// a [*SyntaxError], but the insides of attributes, events and links are not looked at: [Validate] does that.
func ParseSpan(b []byte) (SpanView, error) {
	s := SpanView{raw: b}
	var status []byte
	f := fields(b)
	for f.next() {
		switch f.tag {
		case tag(1, BytesType):
			copyID(s.TraceID[:], f.body)
		case tag(2, BytesType):
			copyID(s.SpanID[:], f.body)
		case tag(3, BytesType):
			s.TraceState = f.body
		case tag(4, BytesType):
			copyID(s.ParentSpanID[:], f.body)
		case tag(5, BytesType):
			s.Name = f.body
		case tag(6, VarintType):
			s.Kind = trace.SpanKind(int32(f.num))
		case tag(7, Fixed64Type):
			s.StartTimeUnixNano = f.num
		case tag(8, Fixed64Type):
			s.EndTimeUnixNano = f.num
		case tag(9, BytesType):
			s.AttributeCount++
		case tag(10, VarintType):
			s.DroppedAttributes = uint32(f.num)
		case tag(11, BytesType):
			s.EventCount++
		case tag(12, VarintType):
			s.DroppedEvents = uint32(f.num)
		case tag(13, BytesType):
			s.LinkCount++
		case tag(14, VarintType):
			s.DroppedLinks = uint32(f.num)
		case tag(15, BytesType):
			status = merge(status, f.body)
		case tag(16, Fixed32Type):
			s.Flags = uint32(f.num)
		}
	}
	if f.malformed {
		return SpanView{}, explain(spanMsg, b)
	}
	st := fields(status)
	for st.next() {
		switch st.tag {
		case tag(2, BytesType):
			s.StatusMessage = st.body
		case tag(3, VarintType):
			s.StatusCode = statusCode(st.num)
		}
	}
	return s, nil
}

// copyID copies an id; one of any other length than the id's own is as good as none.
func copyID(dst, src []byte) {
	clear(dst)
	if len(src) == len(dst) {
		copy(dst, src)
	}
}

// statusCode translates a status code of the protocol (unset, ok, error) to the API's numbering
// (unset, error, ok). A code that neither knows is unset.
func statusCode(v uint64) codes.Code {
	switch int32(v) {
	case 1:
		return codes.Ok
	case 2:
		return codes.Error
	}
	return codes.Unset
}

// IsRoot reports whether the span has no parent.
func (s *SpanView) IsRoot() bool { return !s.ParentSpanID.IsValid() }

// Attributes iterates over the span's attributes, decoded.
func (s *SpanView) Attributes() iter.Seq[attribute.KeyValue] {
	return decodedAttributes(s.raw, 9)
}

// RawAttributes iterates over the span's attributes without copying or allocating.
func (s *SpanView) RawAttributes() iter.Seq2[[]byte, AnyValue] { return rawAttributes(s.raw, 9) }

// Attribute returns the value of the first attribute that has the key.
func (s *SpanView) Attribute(key string) (AnyValue, bool) { return findAttribute(s.raw, 9, key) }

// An EventView is an encoded event of a span, read; see [SpanView].
type EventView struct {
	TimeUnixNano      uint64
	Name              []byte
	DroppedAttributes uint32

	raw []byte
}

// Events iterates over the span's events.
func (s *SpanView) Events() iter.Seq[EventView] {
	return func(yield func(EventView) bool) {
		f := fields(s.raw)
		for f.next() {
			if f.tag == tag(11, BytesType) && !yield(parseEvent(f.body)) {
				return
			}
		}
	}
}

func parseEvent(b []byte) EventView {
	e := EventView{raw: b}
	f := fields(b)
	for f.next() {
		switch f.tag {
		case tag(1, Fixed64Type):
			e.TimeUnixNano = f.num
		case tag(2, BytesType):
			e.Name = f.body
		case tag(4, VarintType):
			e.DroppedAttributes = uint32(f.num)
		}
	}
	return e
}

// Attributes iterates over the event's attributes, decoded.
func (e *EventView) Attributes() iter.Seq[attribute.KeyValue] { return decodedAttributes(e.raw, 3) }

// RawAttributes iterates over the event's attributes without copying or allocating.
func (e *EventView) RawAttributes() iter.Seq2[[]byte, AnyValue] { return rawAttributes(e.raw, 3) }

// Attribute returns the value of the first attribute that has the key.
func (e *EventView) Attribute(key string) (AnyValue, bool) { return findAttribute(e.raw, 3, key) }

// A LinkView is an encoded link of a span, read; see [SpanView].
type LinkView struct {
	TraceID           trace.TraceID
	SpanID            trace.SpanID
	TraceState        []byte
	Flags             uint32
	DroppedAttributes uint32

	raw []byte
}

// Links iterates over the span's links.
func (s *SpanView) Links() iter.Seq[LinkView] {
	return func(yield func(LinkView) bool) {
		f := fields(s.raw)
		for f.next() {
			if f.tag == tag(13, BytesType) && !yield(parseLink(f.body)) {
				return
			}
		}
	}
}

func parseLink(b []byte) LinkView {
	l := LinkView{raw: b}
	f := fields(b)
	for f.next() {
		switch f.tag {
		case tag(1, BytesType):
			copyID(l.TraceID[:], f.body)
		case tag(2, BytesType):
			copyID(l.SpanID[:], f.body)
		case tag(3, BytesType):
			l.TraceState = f.body
		case tag(5, VarintType):
			l.DroppedAttributes = uint32(f.num)
		case tag(6, Fixed32Type):
			l.Flags = uint32(f.num)
		}
	}
	return l
}

// Attributes iterates over the link's attributes, decoded.
func (l *LinkView) Attributes() iter.Seq[attribute.KeyValue] { return decodedAttributes(l.raw, 4) }

// A ResourceView is an encoded Resource, read; see [SpanView].
type ResourceView struct {
	DroppedAttributes uint32

	raw []byte
}

// ParseResource reads an encoded Resource, such as [Envelope.Resource].
func ParseResource(b []byte) ResourceView {
	r := ResourceView{raw: b}
	f := fields(b)
	for f.next() {
		if f.tag == tag(2, VarintType) {
			r.DroppedAttributes = uint32(f.num)
		}
	}
	return r
}

// Attributes iterates over the resource's attributes, decoded.
func (r *ResourceView) Attributes() iter.Seq[attribute.KeyValue] { return decodedAttributes(r.raw, 1) }

// RawAttributes iterates over the resource's attributes without copying or allocating.
func (r *ResourceView) RawAttributes() iter.Seq2[[]byte, AnyValue] { return rawAttributes(r.raw, 1) }

// Attribute returns the value of the first attribute that has the key.
func (r *ResourceView) Attribute(key string) (AnyValue, bool) { return findAttribute(r.raw, 1, key) }

// A ScopeView is an encoded InstrumentationScope, read; see [SpanView].
type ScopeView struct {
	Name              []byte
	Version           []byte
	DroppedAttributes uint32

	raw []byte
}

// ParseScope reads an encoded InstrumentationScope, such as [Envelope.Scope].
func ParseScope(b []byte) ScopeView {
	s := ScopeView{raw: b}
	f := fields(b)
	for f.next() {
		switch f.tag {
		case tag(1, BytesType):
			s.Name = f.body
		case tag(2, BytesType):
			s.Version = f.body
		case tag(4, VarintType):
			s.DroppedAttributes = uint32(f.num)
		}
	}
	return s
}

// Attributes iterates over the scope's attributes, decoded.
func (s *ScopeView) Attributes() iter.Seq[attribute.KeyValue] { return decodedAttributes(s.raw, 3) }
