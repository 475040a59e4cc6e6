package otlp

import (
	"fmt"
	"strconv"
)

// A SyntaxError says where an encoded request, or its JSON form, cannot be read and why.
type SyntaxError struct {
	// Offset is the index of the byte at which the unreadable field or value begins.
	Offset int
	// Path names the place by field names, as in "resource_spans[0].scope_spans[1].spans[3].name";
	// in JSON by the names used there. It is empty for the message as a whole.
	Path string
	// Reason is what is wrong, in words.
	Reason string
}

func (e *SyntaxError) Error() string {
	path := e.Path
	if path == "" {
		path = "message"
	}
	return "otlp: cannot read " + path + " at byte " + strconv.Itoa(e.Offset) + ": " + e.Reason
}

const reasonUnknown = "malformed"

// explain finds what is wrong with a message that the walk refused. It goes by the tables, slower but
// keeping account of where it is.
func explain(m *message, b []byte) error {
	x := explainer{req: b}
	if x.message(m, 0, len(b), 0) {
		// The walk and the tables disagree, which would be our own bug. Fuzzing looks for it; a
		// receiver must not go down over it.
		x.err.Reason = reasonUnknown
	}
	return &x.err
}

// check is whether a message at the given depth is well formed, by the tables.
func check(m *message, b []byte, depth int) bool {
	for i := 0; i < len(b); {
		t, j := tagAt(b, i)
		k := m.field(t >> 3)
		if k < 0 || t == 0 {
			if i = walkUnknown(b, j, t, m, depth); i < 0 {
				return false
			}
			continue
		}
		f := &m.fields[k]
		if wireTypeOf(t) != f.kind.wireType() {
			return false
		}
		if i = skip(b, j, t, depth); i < 0 {
			return false
		}
		if wireTypeOf(t) != BytesType {
			continue
		}
		n, j := length(b, j)
		body := b[j : j+n]
		ok := true
		switch f.kind {
		case kindString:
			ok = validUTF8(body)
		case kindTraceID:
			ok = n == 16 || n == 0
		case kindSpanID:
			ok = n == 8 || n == 0
		case kindMessage:
			switch {
			case f.msg == keyValueMsg:
				ok = walkKeyValue(body, depth+1)
			default:
				ok = depth < MaxDepth && check(f.msg, body, depth+1)
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

type step struct {
	name  string
	index int // -1: not repeated
}

type explainer struct {
	req  []byte
	path []step
	err  SyntaxError
}

func (x *explainer) fail(offset int, format string, args ...any) bool {
	var path []byte
	for i, s := range x.path {
		if i > 0 {
			path = append(path, '.')
		}
		path = append(path, s.name...)
		if s.index >= 0 {
			path = append(path, '[')
			path = strconv.AppendInt(path, int64(s.index), 10)
			path = append(path, ']')
		}
	}
	x.err = SyntaxError{Offset: offset, Path: string(path), Reason: fmt.Sprintf(format, args...)}
	return false
}

var wireTypeNames = [8]string{
	"varint", "64-bit", "length-delimited", "start of group", "end of group", "32-bit", "6 (invalid)", "7 (invalid)",
}

// message checks req[from:to] as m.
func (x *explainer) message(m *message, from, to, depth int) bool {
	if depth > MaxDepth {
		return x.fail(from, "nested deeper than %d messages", MaxDepth)
	}
	b := x.req[:to]
	var seen [maxFields]int
	for i := from; i < to; {
		at := i
		v, j := varint(b, i)
		switch {
		case j < 0:
			return x.fail(at, "the field's tag is %s", varintFault(j))
		case v>>3 < minFieldNumber || v>>3 > maxFieldNumber:
			return x.fail(at, "field number %d is out of range", v>>3)
		}
		t := uint32(v)
		k := m.field(t >> 3)
		deprecated := m == resourceSpansMsg && t>>3 == fieldDeprecatedScopeSpans
		if k < 0 && !deprecated {
			if i = skip(b, j, t, depth); i < 0 {
				return x.unskippable(b, at, j, t)
			}
			continue
		}
		f := &deprecatedScopeSpans
		s := step{f.name, 0}
		if k >= 0 {
			f = &m.fields[k]
			s = step{f.name, -1}
			if f.repeated {
				s.index = seen[k]
				seen[k]++
			}
		}
		x.path = append(x.path, s)
		if wireTypeOf(t) != f.kind.wireType() {
			return x.fail(at, "the wire type is %s, want %s", wireTypeNames[wireTypeOf(t)], wireTypeNames[f.kind.wireType()])
		}
		if i = skip(b, j, t, depth); i < 0 {
			return x.unskippable(b, at, j, t)
		}
		if wireTypeOf(t) == BytesType {
			n, j := length(b, j)
			if !x.body(f, j, j+n, depth) {
				return false
			}
		}
		x.path = x.path[:len(x.path)-1]
	}
	return true
}

var deprecatedScopeSpans = sub(1, "deprecated_scope_spans", scopeSpansMsg)

func (x *explainer) body(f *field, from, to, depth int) bool {
	n := to - from
	switch f.kind {
	case kindString:
		if !validUTF8(x.req[from:to]) {
			return x.fail(from, "the string is not valid UTF-8")
		}
	case kindTraceID:
		if n != 16 && n != 0 {
			return x.fail(from, "a trace id of %d bytes, want 16", n)
		}
	case kindSpanID:
		if n != 8 && n != 0 {
			return x.fail(from, "a span id of %d bytes, want 8", n)
		}
	case kindMessage:
		return x.message(f.msg, from, to, depth+1)
	}
	return true
}

// unskippable says why skip refused the value at i, of the field at offset at.
func (x *explainer) unskippable(b []byte, at, i int, t uint32) bool {
	switch left := len(b) - i; wireTypeOf(t) {
	case VarintType:
		_, j := varint(b, i)
		return x.fail(at, "the number is %s", varintFault(j))
	case Fixed64Type:
		return x.fail(at, "8 bytes of value needed, %d left", left)
	case Fixed32Type:
		return x.fail(at, "4 bytes of value needed, %d left", left)
	case BytesType:
		v, j := varint(b, i)
		if j < 0 {
			return x.fail(at, "the length is %s", varintFault(j))
		}
		return x.fail(at, "the length is %d, but only %d bytes are left", v, len(b)-j)
	case startGroupType:
		return x.fail(at, "the group of unknown field %d is malformed, not ended, or nested too deep", t>>3)
	default:
		return x.fail(at, "field %d has wire type %s", t>>3, wireTypeNames[wireTypeOf(t)])
	}
}

func varintFault(code int) string {
	if code == errOverflow {
		return "longer than 64 bits"
	}
	return "cut off"
}
