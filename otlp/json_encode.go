package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
)

// AppendJSON appends the OTLP JSON form of an encoded request to dst, on one line without a newline, and
// returns the extended slice. It validates req first; on an error dst is returned as it was.
//
// The output is, byte for byte, what the OpenTelemetry Collector's JSON marshaler and so its file
// exporter write: fields in the order of the .proto files, lowerCamelCase; ids in hexadecimal; other
// bytes in base64; enums as numbers, 64-bit integers as strings; NaN and the infinities as strings;
// fields of default value left out, but resource, scope, status and an attribute's value always there,
// if only as {}. Unknown fields have no name and are left out.
// (OTLP specification, "JSON Protobuf Encoding".)
func AppendJSON(dst, req []byte) ([]byte, error) {
	if _, err := Validate(req); err != nil {
		return dst, err
	}
	return appendMessageJSON(dst, requestMsg, req), nil
}

func appendMessageJSON(dst []byte, m *message, b []byte) []byte {
	var e jsonEncoder
	return e.message(dst, m, b)
}

// A jsonEncoder lends the messages on the way down room for what they found. Held in one slice of its
// own, and not in an array on each one's stack, since clearing arrays for the largest message took
// half of the time.
type jsonEncoder struct{ found []value }

// message appends the JSON form of b, a well-formed m.
//
// Fields may come in any order on the wire and singular ones more than once, so a first pass finds where
// each is: of a singular field its last value (messages merged), of a repeated one its first.
func (e *jsonEncoder) message(dst []byte, m *message, b []byte) []byte {
	base := len(e.found)
	for range m.fields {
		e.found = append(e.found, value{})
	}
	// Deeper messages may move e.found, but do not touch this part of where it was.
	found := e.found[base:]
	member := -1 // index of the oneof member that counts
	f := fields(b)
	for f.next() {
		k := m.field(f.tag >> 3)
		if k < 0 || m.fields[k].kind.wireType() != wireTypeOf(f.tag) {
			continue
		}
		fd, v := &m.fields[k], &found[k]
		switch {
		case fd.repeated:
			if v.count == 0 {
				v.start = f.start
			}
		case fd.kind == kindMessage && v.count > 0 && (!fd.oneof || member == k):
			v.body = merge(v.body, f.body)
		case wireTypeOf(f.tag) == BytesType:
			v.body = f.body
		default:
			v.num = f.num
		}
		v.count++
		if fd.oneof {
			member = k
		}
	}

	dst = append(dst, '{')
	opened := len(dst)
	for k := range m.fields {
		fd, v := &m.fields[k], &found[k]
		switch {
		case fd.oneof:
			if k != member {
				continue
			}
		case fd.always:
		case v.count == 0 || !fd.repeated && v.isDefault(fd.kind):
			continue
		}
		if len(dst) > opened {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, fd.json...)
		dst = append(dst, '"', ':')
		if fd.repeated {
			dst = e.array(dst, fd, b[v.start:], v.count)
		} else {
			dst = e.value(dst, fd, v)
		}
	}
	e.found = e.found[:base]
	return append(dst, '}')
}

// array appends the n values of a repeated field; b begins with the first.
func (e *jsonEncoder) array(dst []byte, fd *field, b []byte, n int) []byte {
	dst = append(dst, '[')
	first := true
	f := fields(b)
	for n > 0 && f.next() {
		if f.tag>>3 != fd.num {
			continue
		}
		n--
		if !first {
			dst = append(dst, ',')
		}
		first = false
		v := value{num: f.num, body: f.body}
		dst = e.value(dst, fd, &v)
	}
	return append(dst, ']')
}

// A value is what was found of a field.
type value struct {
	count int
	start int    // of a repeated field: where the first stands
	num   uint64 // of a singular number: the last
	body  []byte // of a singular string, bytes or message: the last, or the merge
}

// isDefault is whether a singular field is left out. A message that is present is not default, but an id
// of zeros is: it is how the Collector holds an absent one.
func (v *value) isDefault(k kind) bool {
	switch k {
	case kindMessage:
		return v.count == 0
	case kindTraceID, kindSpanID:
		for _, c := range v.body {
			if c != 0 {
				return false
			}
		}
		return true
	case kindString, kindBytes:
		return len(v.body) == 0
	case kindUint32, kindInt32, kindEnum:
		return uint32(v.num) == 0
	default:
		return v.num == 0
	}
}

func (e *jsonEncoder) value(dst []byte, f *field, v *value) []byte {
	switch f.kind {
	case kindMessage:
		return e.message(dst, f.msg, v.body)
	case kindString:
		return appendStringJSON(dst, v.body)
	case kindTraceID, kindSpanID:
		dst = append(dst, '"')
		dst = hex.AppendEncode(dst, v.body)
		return append(dst, '"')
	case kindBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.body)
		return append(dst, '"')
	case kindBool:
		return strconv.AppendBool(dst, v.num != 0)
	case kindEnum, kindInt32:
		return strconv.AppendInt(dst, int64(int32(v.num)), 10)
	case kindUint32, kindFixed32:
		return strconv.AppendUint(dst, uint64(uint32(v.num)), 10)
	case kindInt64:
		dst = append(dst, '"')
		dst = strconv.AppendInt(dst, int64(v.num), 10)
		return append(dst, '"')
	case kindFixed64:
		dst = append(dst, '"')
		dst = strconv.AppendUint(dst, v.num, 10)
		return append(dst, '"')
	case kindDouble:
		return appendDoubleJSON(dst, math.Float64frombits(v.num))
	}
	panic("otlp: a kind without a JSON form")
}

// appendDoubleJSON writes the shortest form that reads back equal, with an exponent only outside of
// [1e-6, 1e21), as ECMAScript does.
func appendDoubleJSON(dst []byte, x float64) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, 64)
}

// appendStringJSON appends a quoted string. s is valid UTF-8; only what JSON demands is escaped.
func appendStringJSON(dst, s []byte) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i, c := range s {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
