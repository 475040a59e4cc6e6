package otlp

import (
	"iter"
	"math"

	"go.opentelemetry.io/otel/attribute"
)

// An AnyValue is an encoded attribute value, read as far as its type and its scalar: for those who look
// at many values and keep few. The zero AnyValue is the empty value.
type AnyValue struct {
	member uint32 // field number in the oneof, 0 for none
	num    uint64
	body   []byte
}

// The field numbers of AnyValue.
const (
	anyString = 1
	anyBool   = 2
	anyInt    = 3
	anyDouble = 4
	anyArray  = 5
	anyKVList = 6
	anyBytes  = 7
)

// parseAnyValue reads an AnyValue. Of a oneof the last member counts; a message that follows itself is
// merged. Index 8 refers to a table that traces do not have: the specification has it treated as empty.
func parseAnyValue(b []byte) AnyValue {
	var v AnyValue
	f := fields(b)
	for f.next() {
		switch f.tag {
		case tag(anyArray, BytesType), tag(anyKVList, BytesType):
			member := f.tag >> 3
			if v.member == member {
				v.body = merge(v.body, f.body)
			} else {
				v = AnyValue{member: member, body: f.body}
			}
		case tag(anyString, BytesType), tag(anyBytes, BytesType):
			v = AnyValue{member: f.tag >> 3, body: f.body}
		case tag(anyBool, VarintType), tag(anyInt, VarintType), tag(anyDouble, Fixed64Type):
			v = AnyValue{member: f.tag >> 3, num: f.num}
		case tag(8, VarintType):
			v = AnyValue{}
		}
	}
	return v
}

// Type returns the type that [AnyValue.Value] has. It looks through an array to tell its type.
func (v AnyValue) Type() attribute.Type {
	switch v.member {
	case anyString:
		return attribute.STRING
	case anyBool:
		return attribute.BOOL
	case anyInt:
		return attribute.INT64
	case anyDouble:
		return attribute.FLOAT64
	case anyBytes:
		return attribute.BYTESLICE
	case anyKVList:
		return attribute.MAP
	case anyArray:
		t, _ := arrayType(v.body)
		return t
	}
	return attribute.EMPTY
}

// Bytes returns the contents of a string or of bytes, and nil of anything else. The slice belongs to
// the encoded span.
func (v AnyValue) Bytes() []byte {
	if v.member == anyString || v.member == anyBytes {
		return v.body
	}
	return nil
}

// Bool returns the value of a bool, and false of anything else.
func (v AnyValue) Bool() bool { return v.member == anyBool && v.num != 0 }

// Int64 returns the value of an integer, and 0 of anything else.
func (v AnyValue) Int64() int64 {
	if v.member != anyInt {
		return 0
	}
	return int64(v.num)
}

// Float64 returns the value of a double, and 0 of anything else.
func (v AnyValue) Float64() float64 {
	if v.member != anyDouble {
		return 0
	}
	return math.Float64frombits(v.num)
}

// Value decodes the value into one that owns its memory.
//
// The protocol has one array type, the API five slices: an array whose elements are all strings, all
// bools, all integers or all doubles becomes the slice of that type, which is what an SDK encodes that
// way. Any other array, and one without elements, becomes a SLICE of values.
func (v AnyValue) Value() attribute.Value { return v.value(0) }

func (v AnyValue) value(depth int) attribute.Value {
	switch v.member {
	case anyString:
		return attribute.StringValue(string(v.body))
	case anyBool:
		return attribute.BoolValue(v.num != 0)
	case anyInt:
		return attribute.Int64Value(int64(v.num))
	case anyDouble:
		return attribute.Float64Value(math.Float64frombits(v.num))
	case anyBytes:
		return attribute.ByteSliceValue(v.body)
	case anyArray:
		return arrayValue(v.body, depth)
	case anyKVList:
		var kvs []attribute.KeyValue
		f := fields(v.body)
		for f.next() && depth < MaxDepth {
			if f.tag == tag(1, BytesType) {
				key, v := parseKeyValue(f.body)
				kvs = append(kvs, attribute.KeyValue{Key: attribute.Key(key), Value: v.value(depth + 1)})
			}
		}
		return attribute.MapValue(kvs...)
	}
	return attribute.Value{}
}

// arrayType returns the type of attribute value that an ArrayValue becomes, and its length.
func arrayType(b []byte) (attribute.Type, int) {
	var member uint32
	n := 0
	f := fields(b)
	for f.next() {
		if f.tag != tag(1, BytesType) {
			continue
		}
		m := parseAnyValue(f.body).member
		if n == 0 {
			member = m
		} else if m != member {
			member = 0
		}
		n++
	}
	switch member {
	case anyString:
		return attribute.STRINGSLICE, n
	case anyBool:
		return attribute.BOOLSLICE, n
	case anyInt:
		return attribute.INT64SLICE, n
	case anyDouble:
		return attribute.FLOAT64SLICE, n
	}
	return attribute.SLICE, n
}

func arrayValue(b []byte, depth int) attribute.Value {
	t, n := arrayType(b)
	switch t {
	case attribute.STRINGSLICE:
		return attribute.StringSliceValue(elements(b, n, func(v AnyValue) string { return string(v.body) }))
	case attribute.BOOLSLICE:
		return attribute.BoolSliceValue(elements(b, n, AnyValue.Bool))
	case attribute.INT64SLICE:
		return attribute.Int64SliceValue(elements(b, n, AnyValue.Int64))
	case attribute.FLOAT64SLICE:
		return attribute.Float64SliceValue(elements(b, n, AnyValue.Float64))
	}
	if depth >= MaxDepth {
		n, b = 0, nil
	}
	return attribute.SliceValue(elements(b, n, func(v AnyValue) attribute.Value { return v.value(depth + 1) })...)
}

func elements[E any](b []byte, n int, decode func(AnyValue) E) []E {
	out := make([]E, 0, n)
	f := fields(b)
	for f.next() {
		if f.tag == tag(1, BytesType) {
			out = append(out, decode(parseAnyValue(f.body)))
		}
	}
	return out
}

// splitKeyValue reads a KeyValue: its key and its encoded value.
func splitKeyValue(b []byte) (key, value []byte) {
	// What encoders write for nearly every attribute: key, then value, with one-byte lengths.
	if len(b) >= 4 && b[0] == byte(tag(1, BytesType)) && b[1] < 0x80 {
		k := int(b[1]) + 2
		if k+2 <= len(b) && b[k] == byte(tag(2, BytesType)) && b[k+1] < 0x80 && int(b[k+1]) == len(b)-k-2 {
			return b[2:k:k], b[k+2 : len(b) : len(b)]
		}
	}
	f := fields(b)
	for f.next() {
		switch f.tag {
		case tag(1, BytesType):
			key = f.body
		case tag(2, BytesType):
			value = merge(value, f.body)
		}
	}
	return key, value
}

func parseKeyValue(b []byte) (key []byte, v AnyValue) {
	key, value := splitKeyValue(b)
	return key, parseAnyValue(value)
}

// decodedAttributes iterates over the KeyValues in field num of the message b.
func decodedAttributes(b []byte, num uint32) iter.Seq[attribute.KeyValue] {
	return func(yield func(attribute.KeyValue) bool) {
		f := fields(b)
		for f.next() {
			if f.tag != tag(num, BytesType) {
				continue
			}
			key, v := parseKeyValue(f.body)
			if !yield(attribute.KeyValue{Key: attribute.Key(key), Value: v.Value()}) {
				return
			}
		}
	}
}

func rawAttributes(b []byte, num uint32) iter.Seq2[[]byte, AnyValue] {
	return func(yield func([]byte, AnyValue) bool) {
		f := fields(b)
		for f.next() {
			if f.tag == tag(num, BytesType) && !yield(parseKeyValue(f.body)) {
				return
			}
		}
	}
}

func findAttribute(b []byte, num uint32, key string) (AnyValue, bool) {
	f := fields(b)
	for f.next() {
		if f.tag != tag(num, BytesType) {
			continue
		}
		if k, v := splitKeyValue(f.body); string(k) == key {
			return parseAnyValue(v), true
		}
	}
	return AnyValue{}, false
}
