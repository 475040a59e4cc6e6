package otlp

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// WireType is the low three bits of a protobuf tag.
type WireType = byte

// The wire types that OTLP uses.
const (
	VarintType  WireType = 0
	Fixed64Type WireType = 1
	BytesType   WireType = 2
	Fixed32Type WireType = 5
)

// SizeVarint returns the number of bytes that v takes as a varint, 1 to 10.
func SizeVarint(v uint64) int {
	return (9*bits.Len64(v|1) + 64 - 9 + 9) / 64
}

// AppendVarint appends v as a varint.
func AppendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// AppendTag appends the tag of a field.
func AppendTag(dst []byte, field int, t WireType) []byte {
	return AppendVarint(dst, uint64(field)<<3|uint64(t))
}

// AppendFixed64 appends a fixed64 field, tag included.
func AppendFixed64(dst []byte, field int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(AppendTag(dst, field, Fixed64Type), v)
}

// AppendUint appends a varint field, tag included.
func AppendUint(dst []byte, field int, v uint64) []byte {
	return AppendVarint(AppendTag(dst, field, VarintType), v)
}

// AppendBytes appends a length-delimited field: tag, length, contents.
func AppendBytes(dst []byte, field int, v []byte) []byte {
	dst = AppendVarint(AppendTag(dst, field, BytesType), uint64(len(v)))
	return append(dst, v...)
}

// AppendString appends a string field: tag, length, contents. Bytes that are
// not UTF-8 become U+FFFD, as a receiver would refuse the whole request for them.
func AppendString(dst []byte, field int, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	dst = AppendVarint(AppendTag(dst, field, BytesType), uint64(len(s)))
	return append(dst, s...)
}

// KeyValueRoom is what a KeyValue field takes beyond the bytes of its key and
// of its string value, at most, when the value is a string, a number, a bool or
// empty: five tags, four lengths of at most five bytes, ten bytes of number.
const KeyValueRoom = 32

// AppendRawKeyValue appends kv as a KeyValue field whose one-byte tag is given,
// without a check that its strings are UTF-8. Instead it returns the OR of all
// their words: where [NonASCII] says so, the caller checks what it gave.
// (opentelemetry/proto/common/v1: KeyValue, AnyValue.)
//
// It does not allocate when dst has [KeyValueRoom] bytes to spare and the value
// is not an array, a map or bytes.
func AppendRawKeyValue(dst []byte, tag byte, kv *attribute.KeyValue) ([]byte, uint64) {
	if !viewFits {
		return appendRawKeyValueByAPI(dst, tag, kv)
	}
	key := string(kv.Key)
	v := viewOf(&kv.Value)
	switch v.vtype {
	case attribute.STRING:
		return appendStringKeyValue(dst, tag, key, v.stringly)
	case attribute.INT64:
		return appendNumberKeyValue(dst, tag, key, 3<<3|VarintType, v.numeric, SizeVarint(v.numeric))
	case attribute.BOOL:
		return appendNumberKeyValue(dst, tag, key, 2<<3|VarintType, v.numeric, 1)
	case attribute.FLOAT64:
		return appendNumberKeyValue(dst, tag, key, 4<<3|Fixed64Type, v.numeric, 8)
	}
	return appendRareKeyValue(dst, tag, kv)
}

// appendRawKeyValueByAPI is AppendRawKeyValue by nothing but the API's methods, for a
// version of it whose values look otherwise inside, and for tests to compare with.
func appendRawKeyValueByAPI(dst []byte, tag byte, kv *attribute.KeyValue) ([]byte, uint64) {
	key := string(kv.Key)
	switch kv.Value.Type() {
	case attribute.STRING:
		return appendStringKeyValue(dst, tag, key, kv.Value.AsString())
	case attribute.INT64:
		v := uint64(kv.Value.AsInt64())
		return appendNumberKeyValue(dst, tag, key, 3<<3|VarintType, v, SizeVarint(v))
	case attribute.BOOL:
		v := uint64(0)
		if kv.Value.AsBool() {
			v = 1
		}
		return appendNumberKeyValue(dst, tag, key, 2<<3|VarintType, v, 1)
	case attribute.FLOAT64:
		return appendNumberKeyValue(dst, tag, key, 4<<3|Fixed64Type, math.Float64bits(kv.Value.AsFloat64()), 8)
	}
	return appendRareKeyValue(dst, tag, kv)
}

// appendRareKeyValue appends a KeyValue whose value is an array, a map, bytes or
// nothing: expensive already in the API, which copies slices. The value is
// appended first and moved up once its length is known.
func appendRareKeyValue(dst []byte, tag byte, kv *attribute.KeyValue) ([]byte, uint64) {
	dst = append(dst, tag)
	start := len(dst)
	dst, or := appendString(append(dst, 1<<3|BytesType), string(kv.Key))
	dst = append(dst, 2<<3|BytesType)
	at := len(dst)
	dst, valueOr := AppendRawAnyValue(dst, kv.Value)
	return InsertLength(InsertLength(dst, at), start), or | valueOr
}

// NonASCII reports whether the words that or was made of held a byte ≥ 0x80.
func NonASCII(or uint64) bool { return or&high != 0 }

func appendStringKeyValue(dst []byte, tag byte, key, value string) ([]byte, uint64) {
	k, v := len(key), len(value)
	if k|v >= shortString {
		valueLen := 1 + SizeVarint(uint64(v)) + v
		keyValueLen := 1 + SizeVarint(uint64(k)) + k + 1 + SizeVarint(uint64(valueLen)) + valueLen
		dst = AppendVarint(append(dst, tag), uint64(keyValueLen))
		dst, or := appendString(append(dst, 1<<3|BytesType), key)
		dst = AppendVarint(append(dst, 2<<3|BytesType), uint64(valueLen))
		dst, valueOr := appendString(append(dst, 1<<3|BytesType), value)
		return dst, or | valueOr
	}
	// Both strings are short: together they still fit one-byte lengths as long
	// as shortString is at most 64, but the KeyValue's own length may take two.
	n := len(dst)
	dst = slices.Grow(dst, KeyValueRoom+k+v)
	b := dst[n : n+KeyValueRoom+k+v]
	b[0] = tag
	i := 1
	body := k + v + 6
	if body >= 0x80 {
		b[1] = byte(body) | 0x80
		body >>= 7
		i = 2
	}
	b[i] = byte(body)
	b[i+1] = 1<<3 | BytesType
	b[i+2] = byte(k)
	i += 3
	or := copyShort(&b[i], key)
	i += k
	b[i] = 2<<3 | BytesType
	b[i+1] = byte(v + 2)
	b[i+2] = 1<<3 | BytesType
	b[i+3] = byte(v)
	i += 4
	or |= copyShort(&b[i], value)
	return dst[:n+i+v], or
}

// appendNumberKeyValue appends a KeyValue whose value is one number of size
// bytes: a varint, or a fixed64 where size is 8 and the tag says so.
func appendNumberKeyValue(dst []byte, tag byte, key string, valueTag byte, v uint64, size int) ([]byte, uint64) {
	k := len(key)
	body := 1 + SizeVarint(uint64(k)) + k + 3 + size
	n := len(dst)
	dst = slices.Grow(dst, KeyValueRoom+k)[:n+1]
	dst[n] = tag
	dst = AppendVarint(dst, uint64(body))
	dst, or := appendString(append(dst, 1<<3|BytesType), key)
	dst = append(dst, 2<<3|BytesType, byte(1+size), valueTag)
	if valueTag&7 == Fixed64Type {
		return binary.LittleEndian.AppendUint64(dst, v), or
	}
	return AppendVarint(dst, v), or
}

// AppendRawString appends the length and the bytes of s, and returns the OR of
// its words; see [AppendRawKeyValue].
func AppendRawString(dst []byte, s string) ([]byte, uint64) { return appendString(dst, s) }

func appendString(dst []byte, s string) ([]byte, uint64) {
	n := len(s)
	if n > shortString {
		dst = append(AppendVarint(dst, uint64(n)), s...)
		if utf8.ValidString(s) {
			return dst, 0
		}
		return dst, high
	}
	at := len(dst)
	dst = slices.Grow(dst, n+2)[:at+n+2]
	dst[at] = byte(n)
	or := copyShort(&dst[at+1], s)
	return dst[:at+1+n], or
}

// AppendRawAnyValue appends the body of an AnyValue; see [AppendRawKeyValue].
// The nesting of arrays and maps is what the API built, and not limited here.
func AppendRawAnyValue(dst []byte, v attribute.Value) (out []byte, or uint64) {
	switch v.Type() {
	case attribute.BOOL:
		return appendBool(dst, v.AsBool()), 0
	case attribute.INT64:
		return AppendUint(dst, 3, uint64(v.AsInt64())), 0
	case attribute.FLOAT64:
		return AppendFixed64(dst, 4, math.Float64bits(v.AsFloat64())), 0
	case attribute.STRING:
		return appendString(append(dst, 1<<3|BytesType), v.AsString())
	case attribute.BYTESLICE:
		return AppendBytes(dst, 7, v.AsByteSlice()), 0
	case attribute.BOOLSLICE:
		return appendArray(dst, v.AsBoolSlice(), func(dst []byte, e bool) ([]byte, uint64) {
			return appendBool(dst, e), 0
		})
	case attribute.INT64SLICE:
		return appendArray(dst, v.AsInt64Slice(), func(dst []byte, e int64) ([]byte, uint64) {
			return AppendUint(dst, 3, uint64(e)), 0
		})
	case attribute.FLOAT64SLICE:
		return appendArray(dst, v.AsFloat64Slice(), func(dst []byte, e float64) ([]byte, uint64) {
			return AppendFixed64(dst, 4, math.Float64bits(e)), 0
		})
	case attribute.STRINGSLICE:
		return appendArray(dst, v.AsStringSlice(), func(dst []byte, e string) ([]byte, uint64) {
			return appendString(append(dst, 1<<3|BytesType), e)
		})
	case attribute.SLICE:
		return appendArray(dst, v.AsSlice(), AppendRawAnyValue)
	case attribute.MAP:
		dst = append(dst, 6<<3|BytesType)
		start := len(dst)
		for _, kv := range v.AsMap() {
			var o uint64
			dst, o = AppendRawKeyValue(dst, 1<<3|BytesType, &kv)
			or |= o
		}
		return InsertLength(dst, start), or
	}
	return dst, 0 // EMPTY: an AnyValue without a value
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 2<<3|VarintType, 1)
	}
	return append(dst, 2<<3|VarintType, 0)
}

// appendArray appends an ArrayValue of AnyValues.
func appendArray[E any](dst []byte, elems []E, appendElem func([]byte, E) ([]byte, uint64)) (out []byte, or uint64) {
	dst = append(dst, 5<<3|BytesType)
	start := len(dst)
	for _, e := range elems {
		dst = append(dst, 1<<3|BytesType)
		at := len(dst)
		var o uint64
		dst, o = appendElem(dst, e)
		or |= o
		dst = InsertLength(dst, at)
	}
	return InsertLength(dst, start), or
}

// InsertLength turns dst[at:] into the contents of a length-delimited field: it puts its length in front of it.
func InsertLength(dst []byte, at int) []byte {
	n := len(dst) - at
	if n < 0x80 {
		dst = append(dst, 0)
		copy(dst[at+1:], dst[at:])
		dst[at] = byte(n)
		return dst
	}
	size := SizeVarint(uint64(n))
	dst = append(dst, make([]byte, size)...)
	copy(dst[at+size:], dst[at:])
	AppendVarint(dst[:at], uint64(n))
	return dst
}

// AppendKeyValue appends kv as a KeyValue field, with bytes that are not UTF-8
// replaced by U+FFFD in its key and in every string of its value.
func AppendKeyValue(dst []byte, field int, kv attribute.KeyValue) []byte {
	at := len(dst)
	out, or := AppendRawKeyValue(dst, byte(field<<3)|BytesType, &kv)
	if NonASCII(or) && !ValidKeyValue(kv) {
		kv = RepairKeyValue(kv)
		out, _ = AppendRawKeyValue(out[:at], byte(field<<3)|BytesType, &kv)
	}
	return out
}

// ValidKeyValue reports whether the key and every string of the value of kv
// are UTF-8.
func ValidKeyValue(kv attribute.KeyValue) bool {
	return utf8.ValidString(string(kv.Key)) && validValue(kv.Value)
}

func validValue(v attribute.Value) bool {
	switch v.Type() {
	case attribute.STRING:
		return utf8.ValidString(v.AsString())
	case attribute.STRINGSLICE:
		return !slices.ContainsFunc(v.AsStringSlice(), func(s string) bool { return !utf8.ValidString(s) })
	case attribute.SLICE:
		return !slices.ContainsFunc(v.AsSlice(), func(e attribute.Value) bool { return !validValue(e) })
	case attribute.MAP:
		return !slices.ContainsFunc(v.AsMap(), func(kv attribute.KeyValue) bool { return !ValidKeyValue(kv) })
	}
	return true
}

// RepairKeyValue returns kv with every byte sequence that is not UTF-8 replaced
// by U+FFFD, in the key and in every string of the value.
func RepairKeyValue(kv attribute.KeyValue) attribute.KeyValue {
	return attribute.KeyValue{Key: attribute.Key(RepairString(string(kv.Key))), Value: repairValue(kv.Value)}
}

// RepairString returns s with every run of bytes that is not UTF-8 replaced by
// one U+FFFD.
func RepairString(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func repairValue(v attribute.Value) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		return attribute.StringValue(RepairString(v.AsString()))
	case attribute.STRINGSLICE:
		s := v.AsStringSlice()
		for i := range s {
			s[i] = RepairString(s[i])
		}
		return attribute.StringSliceValue(s)
	case attribute.SLICE:
		s := v.AsSlice()
		for i := range s {
			s[i] = repairValue(s[i])
		}
		return attribute.SliceValue(s...)
	case attribute.MAP:
		m := v.AsMap()
		for i := range m {
			m[i] = RepairKeyValue(m[i])
		}
		return attribute.MapValue(m...)
	}
	return v
}
