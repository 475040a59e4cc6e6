package otlp

import "encoding/binary"

// A fieldIter steps over the fields of one message. It is for bytes that were validated: at a
// malformed field it ends, as if the message ended there.
//
//	f := fields(b)
//	for f.next() { … f.tag, f.body, f.num … }
//
// Declared before the loop, not in it: a loop's own variable is copied at each turn, which for this one
// took a third of the time.
type fieldIter struct {
	b     []byte
	start int    // index of the current field's tag
	end   int    // index after the current field
	tag   uint32 // field number and wire type
	num   uint64 // value of a varint, 64-bit or 32-bit field
	body  []byte // value of a length-delimited field

	malformed bool // the iteration ended at a field that cannot be read
}

func fields(b []byte) fieldIter { return fieldIter{b: b} }

func (f *fieldIter) next() bool {
	b, i := f.b, f.end
	if i >= len(b) {
		return false
	}
	f.start = i
	if f.tag, i = tagAt(b, i); f.tag == 0 {
		return f.stop()
	}
	switch wireTypeOf(f.tag) {
	case BytesType:
		n, j := length(b, i)
		if n > len(b)-j {
			return f.stop()
		}
		f.body = b[j : j+n : j+n]
		f.end = j + n
	case VarintType:
		if f.num, i = varint(b, i); i < 0 {
			return f.stop()
		}
		f.end = i
	case Fixed64Type:
		if i+8 > len(b) {
			return f.stop()
		}
		f.num, f.end = binary.LittleEndian.Uint64(b[i:]), i+8
	case Fixed32Type:
		if i+4 > len(b) {
			return f.stop()
		}
		f.num, f.end = uint64(binary.LittleEndian.Uint32(b[i:])), i+4
	default:
		if i = skip(b, i, f.tag, 0); i < 0 {
			return f.stop()
		}
		f.end = i
	}
	return true
}

// framed is the current field as it stands on the wire, tag and length included.
func (f *fieldIter) framed() []byte { return f.b[f.start:f.end:f.end] }

func (f *fieldIter) stop() bool {
	f.end = len(f.b)
	f.malformed = true
	return false
}
