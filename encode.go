package ringtail

import (
	"encoding/binary"
	"slices"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/otlp"
)

// This file turns a Span into the body of an OTLP Span message. It is the only
// encoding a span ever gets: what it appends to the ring's reserved space is
// what the backend receives.

// Field tags of opentelemetry.proto.trace.v1.Span and its parts.
const (
	tagTraceID     = 1<<3 | otlp.BytesType
	tagSpanID      = 2<<3 | otlp.BytesType
	tagTraceState  = 3<<3 | otlp.BytesType
	tagParentID    = 4<<3 | otlp.BytesType
	tagName        = 5<<3 | otlp.BytesType
	tagKind        = 6<<3 | otlp.VarintType
	tagStart       = 7<<3 | otlp.Fixed64Type
	tagEnd         = 8<<3 | otlp.Fixed64Type
	tagAttribute   = 9<<3 | otlp.BytesType
	tagDroppedAttr = 10<<3 | otlp.VarintType
	tagEvent       = 11<<3 | otlp.BytesType
	tagDroppedEv   = 12<<3 | otlp.VarintType
	tagLink        = 13<<3 | otlp.BytesType
	tagDroppedLink = 14<<3 | otlp.VarintType
	tagStatus      = 15<<3 | otlp.BytesType
	fieldFlags     = 16 // two-byte tag: 0x85 0x01

	tagEventTime  = 1<<3 | otlp.Fixed64Type
	tagEventName  = 2<<3 | otlp.BytesType
	tagEventAttr  = 3<<3 | otlp.BytesType
	fieldEventDrp = 4

	tagLinkTrace  = 1<<3 | otlp.BytesType
	tagLinkSpan   = 2<<3 | otlp.BytesType
	tagLinkState  = 3<<3 | otlp.BytesType
	tagLinkAttr   = 4<<3 | otlp.BytesType
	fieldLinkDrp  = 5
	fieldLinkFlag = 6

	tagStatusMessage = 2<<3 | otlp.BytesType
	tagStatusCode    = 3<<3 | otlp.VarintType
)

// OTLP's flags are the W3C flags in the low byte, and above them whether it is
// known that the parent (of a link: the linked span) is remote, and whether it is.
const (
	flagHasIsRemote = 0x100
	flagIsRemote    = 0x200
)

// fixedRoom is what the fixed part of a span takes at most: ids 18+10+10, times
// 18, kind 2, flags 6, lengths and tags of name and status, dropped counts 18.
const fixedRoom = 104

// appendSpan appends the body of s. mended says that something had to be changed
// to make it valid; the encoded span is valid in either case.
func appendSpan(dst []byte, s *Span) (out []byte, mended bool) {
	at := len(dst)
	out, or, mended := appendRawSpan(dst, s)
	if otlp.NonASCII(or) && !validStrings(s) {
		out, _, _ = appendRawSpan(out[:at], repairStrings(s))
		return out, true
	}
	return out, mended
}

// appendRawSpan is appendSpan but for UTF-8: it returns the OR of the words of
// all strings, which tells whether they need that check.
func appendRawSpan(dst []byte, s *Span) (out []byte, or uint64, mended bool) {
	// The ids and the times are of fixed size: one bounds check for all of them.
	n := len(dst)
	dst = slices.Grow(dst, fixedRoom)
	b := dst[n : n+fixedRoom]
	b[0], b[1] = tagTraceID, 16
	copy(b[2:18], s.TraceID[:])
	b[18], b[19] = tagSpanID, 8
	copy(b[20:28], s.SpanID[:])
	i := 28
	if s.ParentID != (trace.SpanID{}) {
		b[28], b[29] = tagParentID, 8
		copy(b[30:38], s.ParentID[:])
		i = 38
	}
	start, startOK := nanos(s.Start)
	end, endOK := nanos(s.End)
	if !startOK || !endOK || end < start {
		start, end, mended = mendTimes(s, start, end, startOK, endOK)
	}
	c := b[i : i+26]
	c[0] = tagStart
	binary.LittleEndian.PutUint64(c[1:], start)
	c[9] = tagEnd
	binary.LittleEndian.PutUint64(c[10:], end)
	// The flags' tag takes two bytes, 0x85 0x01.
	flags := uint64(s.Flags) | flagHasIsRemote
	if s.ParentRemote {
		flags |= flagIsRemote
	}
	binary.LittleEndian.PutUint64(c[18:], 0x0185|flags<<16)
	i += 24
	if kind := s.Kind; kind != 0 && kind <= trace.SpanKindConsumer {
		b[i], b[i+1] = tagKind, byte(kind)
		i += 2
	}
	dst = dst[:n+i]

	if s.Name != "" {
		dst, or = otlp.AppendRawString(append(dst, tagName), s.Name)
	}
	dropped := s.DroppedAttributes
	for j := range s.Attributes {
		if s.Attributes[j].Key == "" {
			dropped, mended = dropped+1, true
			continue
		}
		var o uint64
		dst, o = otlp.AppendRawKeyValue(dst, tagAttribute, &s.Attributes[j])
		or |= o
	}
	if s.Status != (Status{}) {
		var o uint64
		dst, o = appendStatus(dst, &s.Status)
		or |= o
	}
	if len(s.Events)|len(s.Links)|s.TraceState.Len() != 0 || dropped|s.DroppedEvents|s.DroppedLinks != 0 {
		var o uint64
		var m bool
		dst, o, m = appendRest(dst, s, dropped)
		or |= o
		mended = mended || m
	}
	return dst, or, mended
}

// nanos returns t as OTLP has it, nanoseconds since 1970; false if it is before that, or
// beyond the year 2262, where 63 bits end.
func nanos(t time.Time) (uint64, bool) {
	const end = (1<<63 - 1) / 1_000_000_000
	sec := uint64(t.Unix())
	return sec*1e9 + uint64(t.Nanosecond()), sec < end
}

// mendTimes is apart from appendRawSpan because it is rare.
func mendTimes(s *Span, start, end uint64, startOK, endOK bool) (_, _ uint64, mended bool) {
	// The zero time.Time means "unknown" to its owner, as 0 does in OTLP.
	if !startOK {
		start, mended = 0, !s.Start.IsZero()
	}
	if !endOK {
		end, mended = 0, mended || !s.End.IsZero()
	}
	if end < start {
		end, mended = start, mended || !s.End.IsZero()
	}
	return start, end, mended
}

func appendStatus(dst []byte, st *Status) ([]byte, uint64) {
	var code byte // OTLP's numbers for Ok and Error are the API's, swapped
	switch st.Code {
	case codes.Ok:
		code = 1
	case codes.Error:
		code = 2
	}
	var or uint64
	dst = append(dst, tagStatus)
	at := len(dst)
	if st.Description != "" && code == 2 {
		dst, or = otlp.AppendRawString(append(dst, tagStatusMessage), st.Description)
	}
	if code != 0 {
		dst = append(dst, tagStatusCode, code)
	}
	return otlp.InsertLength(dst, at), or
}

// appendRest appends what most spans do not have.
func appendRest(dst []byte, s *Span, dropped uint32) (out []byte, or uint64, mended bool) {
	if s.TraceState.Len() != 0 {
		// The API admits only ASCII into a tracestate.
		dst, _ = otlp.AppendRawString(append(dst, tagTraceState), s.TraceState.String())
	}
	if dropped != 0 {
		dst = otlp.AppendVarint(append(dst, tagDroppedAttr), uint64(dropped))
	}
	for i := range s.Events {
		e := &s.Events[i]
		dst = append(dst, tagEvent)
		at := len(dst)
		ns, ok := nanos(e.Time)
		if !ok {
			ns, mended = 0, mended || !e.Time.IsZero()
		}
		dst = binary.LittleEndian.AppendUint64(append(dst, tagEventTime), ns)
		var o uint64
		dst, o = otlp.AppendRawString(append(dst, tagEventName), e.Name)
		or |= o
		var m bool
		dst, o, m = appendAttributes(dst, tagEventAttr, fieldEventDrp, e.Attributes, e.DroppedAttributes)
		or |= o
		mended = mended || m
		dst = otlp.InsertLength(dst, at)
	}
	if s.DroppedEvents != 0 {
		dst = otlp.AppendVarint(append(dst, tagDroppedEv), uint64(s.DroppedEvents))
	}
	for i := range s.Links {
		l := &s.Links[i]
		dst = append(dst, tagLink)
		at := len(dst)
		traceID, spanID := l.SpanContext.TraceID(), l.SpanContext.SpanID()
		dst = append(append(dst, tagLinkTrace, 16), traceID[:]...)
		dst = append(append(dst, tagLinkSpan, 8), spanID[:]...)
		if ts := l.SpanContext.TraceState(); ts.Len() != 0 {
			dst, _ = otlp.AppendRawString(append(dst, tagLinkState), ts.String())
		}
		var o uint64
		var m bool
		dst, o, m = appendAttributes(dst, tagLinkAttr, fieldLinkDrp, l.Attributes, l.DroppedAttributes)
		or |= o
		mended = mended || m
		flags := uint32(l.SpanContext.TraceFlags()) | flagHasIsRemote
		if l.SpanContext.IsRemote() {
			flags |= flagIsRemote
		}
		dst = otlp.AppendTag(dst, fieldLinkFlag, otlp.Fixed32Type)
		dst = binary.LittleEndian.AppendUint32(dst, flags)
		dst = otlp.InsertLength(dst, at)
	}
	if s.DroppedLinks != 0 {
		dst = otlp.AppendVarint(append(dst, tagDroppedLink), uint64(s.DroppedLinks))
	}
	return dst, or, mended
}

// appendAttributes appends the attributes and the dropped count of an event, a
// link, a scope or a resource.
func appendAttributes(dst []byte, tag byte, droppedField int, kvs []attribute.KeyValue, dropped uint32) (out []byte, or uint64, mended bool) {
	for i := range kvs {
		if kvs[i].Key == "" {
			dropped, mended = dropped+1, true
			continue
		}
		var o uint64
		dst, o = otlp.AppendRawKeyValue(dst, tag, &kvs[i])
		or |= o
	}
	if dropped != 0 {
		dst = otlp.AppendUint(dst, droppedField, uint64(dropped))
	}
	return dst, or, mended
}

// validStrings reports whether every string of s is UTF-8.
func validStrings(s *Span) bool {
	if !utf8.ValidString(s.Name) || !utf8.ValidString(s.Status.Description) || !validAttributes(s.Attributes) {
		return false
	}
	for i := range s.Events {
		if !utf8.ValidString(s.Events[i].Name) || !validAttributes(s.Events[i].Attributes) {
			return false
		}
	}
	for i := range s.Links {
		if !validAttributes(s.Links[i].Attributes) {
			return false
		}
	}
	return true
}

func validAttributes(kvs []attribute.KeyValue) bool {
	for i := range kvs {
		if !otlp.ValidKeyValue(kvs[i]) {
			return false
		}
	}
	return true
}

// repairStrings returns a copy of s in which every string is UTF-8.
func repairStrings(s *Span) *Span {
	r := *s
	r.Name = otlp.RepairString(s.Name)
	r.Status.Description = otlp.RepairString(s.Status.Description)
	r.Attributes = repairAttributes(s.Attributes)
	r.Events = make([]Event, len(s.Events))
	for i, e := range s.Events {
		e.Name = otlp.RepairString(e.Name)
		e.Attributes = repairAttributes(e.Attributes)
		r.Events[i] = e
	}
	r.Links = make([]Link, len(s.Links))
	for i, l := range s.Links {
		l.Attributes = repairAttributes(l.Attributes)
		r.Links[i] = l
	}
	return &r
}

func repairAttributes(kvs []attribute.KeyValue) []attribute.KeyValue {
	out := make([]attribute.KeyValue, len(kvs))
	for i := range kvs {
		out[i] = otlp.RepairKeyValue(kvs[i])
	}
	return out
}
