package otlp

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
)

// AppendFromJSON appends to dst the protobuf encoding of a request in OTLP JSON and returns the extended
// slice; [Validate] accepts what it appends. On an error, a [*SyntaxError], dst is returned as it was.
//
// It reads what the OpenTelemetry Collector reads: keys in lowerCamelCase, and in the snake_case of the
// .proto files, which the specification rules out, but which a receiver that ignores unknown keys
// would lose spans over; ids in hexadecimal of either case; enums as numbers or names; integers
// as numbers or strings; doubles also as "NaN", "Infinity" and "-Infinity"; bytes in any base64; unknown
// keys ignored; null as if absent, and in an array as the empty element. Of a key given twice the last
// value counts, arrays are joined and objects merged. What it does not read: strings that are not UTF-8,
// numbers out of their field's range, anything after the request, nesting beyond [MaxDepth].
//
// Time and memory are bounded by the size of the input: the encoding is never twice as long.
// (OTLP specification, "JSON Protobuf Encoding".)
func AppendFromJSON(dst, json []byte) ([]byte, error) {
	return appendMessageFromJSON(dst, requestMsg, json)
}

func appendMessageFromJSON(dst []byte, m *message, json []byte) ([]byte, error) {
	d := jsonDecoder{jsonScanner: jsonScanner{in: json}, out: dst}
	if !d.message(m, 0) {
		return dst, d.err
	}
	if d.peek(); d.i < len(json) {
		d.fail(d.i, "something follows the end of the %s", m.name)
		return dst, d.err
	}
	return d.out, nil
}

type jsonDecoder struct {
	jsonScanner
	out []byte
}

// message reads an object and appends the fields of the message it stands for.
func (d *jsonDecoder) message(m *message, depth int) bool {
	if depth > MaxDepth {
		return d.fail(d.i, "nested deeper than %d messages", MaxDepth)
	}
	if !d.expect('{', "an object") {
		return false
	}
	seen := uint32(0) // fields that were written
	next := 0         // the field likely to come next: most writers keep the schema's order
	for first := true; d.more(first, '}', "a key"); first = false {
		key, ok := d.str("a key")
		if !ok {
			return false
		}
		k := m.byKey(key, next)
		if !d.expect(':', "a colon") {
			return false
		}
		if k < 0 {
			if !d.skip(0) {
				return false
			}
			continue
		}
		next = k + 1
		if d.null() {
			continue
		}
		f := &m.fields[k]
		d.path = append(d.path, jsonStep{f, -1})
		before := len(d.out)
		if f.repeated {
			ok = d.array(f, depth)
		} else {
			// The default value is not written, unless it has to outdo another.
			ok = d.value(f, depth, f.oneof || seen&(1<<k) != 0)
		}
		if !ok {
			return false
		}
		if len(d.out) > before {
			seen |= 1 << k
		}
		d.path = d.path[:len(d.path)-1]
	}
	return d.err == nil
}

// byKey returns the index of the field with a JSON name or an original name, or -1. The search begins
// at index next.
func (m *message) byKey(key []byte, next int) int {
	for range m.fields {
		if next >= len(m.fields) {
			next = 0
		}
		if f := &m.fields[next]; string(key) == f.json || string(key) == f.name {
			return next
		}
		next++
	}
	return -1
}

func (d *jsonDecoder) array(f *field, depth int) bool {
	if !d.expect('[', "an array") {
		return false
	}
	step := len(d.path) - 1
	d.path[step].index = 0
	for first := true; d.more(first, ']', "a value"); first = false {
		if d.null() {
			if f.kind == kindMessage && depth >= MaxDepth {
				return d.fail(d.i, "nested deeper than %d messages", MaxDepth)
			}
			d.out = AppendBytes(d.out, int(f.num), nil)
		} else if !d.value(f, depth, true) {
			return false
		}
		d.path[step].index++
	}
	d.path[step].index = -1
	return d.err == nil
}

// value reads a value and appends it as field f, or leaves it out when it is f's default and that need
// not be written.
func (d *jsonDecoder) value(f *field, depth int, writeDefault bool) bool {
	num := int(f.num)
	switch f.kind {
	case kindMessage:
		d.peek()
		d.out = AppendTag(d.out, num, BytesType)
		at := len(d.out)
		if !d.message(f.msg, depth+1) {
			return false
		}
		d.out = InsertLength(d.out, at)
		return true
	case kindString, kindBytes, kindTraceID, kindSpanID:
		d.peek()
		at := d.i
		text, ok := d.str("a string")
		if !ok {
			return false
		}
		if len(text) == 0 && !writeDefault {
			return true
		}
		switch f.kind {
		case kindBytes:
			return d.base64(num, text, at)
		case kindTraceID:
			return d.id(num, text, 16, at)
		case kindSpanID:
			return d.id(num, text, 8, at)
		}
		d.out = AppendBytes(d.out, num, text)
		return true
	case kindBool:
		v := uint64(0)
		switch c := d.peek(); {
		case c == 't' && d.literal("true"):
			v = 1
		case c == 'f' && d.literal("false"):
		default:
			return d.want("true or false")
		}
		d.out = AppendUint(d.out, num, v)
		return true
	case kindDouble:
		v, ok := d.double()
		if !ok {
			return false
		}
		d.out = AppendFixed64(d.out, num, math.Float64bits(v))
		return true
	}
	v, ok := d.integer(f)
	switch {
	case !ok:
		return false
	case v == 0 && !writeDefault:
	case f.kind == kindFixed64:
		d.out = AppendFixed64(d.out, num, v)
	case f.kind == kindFixed32:
		d.out = binary.LittleEndian.AppendUint32(AppendTag(d.out, num, Fixed32Type), uint32(v))
	default:
		d.out = AppendUint(d.out, num, v)
	}
	return true
}

// integer reads a value of an integer kind, as protobuf has it on the wire: sign-extended to 64 bits.
func (d *jsonDecoder) integer(f *field) (uint64, bool) {
	c := d.peek()
	at := d.i
	if f.kind == kindEnum && c == '"' {
		name, ok := d.str("an enum value")
		if !ok {
			return 0, false
		}
		v, ok := f.enum[string(name)]
		return uint64(v), ok || d.fail(at, "%.60q is no name of this enum", name)
	}
	text, ok := d.number("an integer")
	if !ok {
		return 0, false
	}
	negative, v, ok := integer(text)
	if !ok {
		return 0, d.fail(at, "%.40s is no integer of 64 bits", text)
	}
	limit, signed := uint64(math.MaxUint64), false
	switch f.kind {
	case kindInt64:
		limit, signed = math.MaxInt64, true
	case kindInt32, kindEnum:
		limit, signed = math.MaxInt32, true
	case kindUint32, kindFixed32:
		limit = math.MaxUint32
	}
	if negative {
		if v > 0 && !signed || signed && v > limit+1 {
			return 0, d.fail(at, "%.40s is out of range", text)
		}
		return -v, true
	}
	return v, v <= limit || d.fail(at, "%.40s is out of range", text)
}

func (d *jsonDecoder) double() (float64, bool) {
	c := d.peek()
	at := d.i
	if c == '"' {
		switch {
		case d.literal(`"NaN"`):
			return math.NaN(), true
		case d.literal(`"Infinity"`):
			return math.Inf(1), true
		case d.literal(`"-Infinity"`):
			return math.Inf(-1), true
		}
	}
	text, ok := d.number("a number")
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, d.fail(at, "%.40s is out of range", text)
	}
	return v, true
}

// id appends an id of n bytes given in hexadecimal, or the empty id.
func (d *jsonDecoder) id(num int, text []byte, n, at int) bool {
	if len(text) != 2*n && len(text) != 0 {
		return d.fail(at, "an id of %d characters, want %d", len(text), 2*n)
	}
	d.out = AppendVarint(AppendTag(d.out, num, BytesType), uint64(len(text)/2))
	out, err := hex.AppendDecode(d.out, text)
	if err != nil {
		return d.fail(at, "the id is not hexadecimal")
	}
	d.out = out
	return true
}

// base64 appends bytes given in base64: either alphabet, padded or not, as protobuf's JSON mapping asks.
func (d *jsonDecoder) base64(num int, text []byte, at int) bool {
	enc := base64.RawStdEncoding
	for len(text) > 0 && text[len(text)-1] == '=' && len(text)%4 == 0 {
		enc = base64.StdEncoding
		break
	}
	for _, c := range text {
		if c == '-' || c == '_' {
			if enc == base64.StdEncoding {
				enc = base64.URLEncoding
			} else {
				enc = base64.RawURLEncoding
			}
			break
		}
	}
	d.out = AppendTag(d.out, num, BytesType)
	start := len(d.out)
	out, err := enc.AppendDecode(d.out, text)
	if err != nil {
		return d.fail(at, "the bytes are not base64")
	}
	d.out = InsertLength(out, start)
	return true
}
