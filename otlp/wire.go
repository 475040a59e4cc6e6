package otlp

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Readers of the protobuf wire format. Each takes the bytes of one message and an index into them, and
// returns the index after what it read, or a negative one: the fast paths only need to know that
// something is wrong, [explain] says what and where.

const (
	errTruncated = -1
	errOverflow  = -2 // a varint of more than 64 bits
)

const (
	minFieldNumber = 1
	maxFieldNumber = 1<<29 - 1
)

// varint reads a base-128 varint. The one-byte case is inlined into callers.
func varint(b []byte, i int) (uint64, int) {
	if i < len(b) && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	return varintSlow(b, i)
}

func varintSlow(b []byte, i int) (uint64, int) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		if i >= len(b) {
			return 0, errTruncated
		}
		c := b[i]
		i++
		// The tenth byte holds one bit. Some decoders let more pass, protobuf-go does not.
		if shift == 63 && c > 1 {
			return 0, errOverflow
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, i
		}
	}
	return 0, errOverflow
}

// skipVarint steps over a varint.
func skipVarint(b []byte, i int) int {
	_, i = varint(b, i)
	return i
}

// length reads a length and returns it with the index of the first byte it counts. On any error the
// length is larger than every slice, so that the caller's one comparison against what remains covers
// malformed and excessive lengths alike.
func length(b []byte, i int) (n, start int) {
	if i < len(b) && b[i] < 0x80 {
		return int(b[i]), i + 1
	}
	return lengthSlow(b, i)
}

func lengthSlow(b []byte, i int) (n, start int) {
	v, i := varintSlow(b, i)
	if i < 0 || v > math.MaxInt32 {
		return math.MaxInt, 0
	}
	return int(v), i
}

// tagAt reads a tag: field number and wire type. Zero is no valid tag and stands for an error.
// Tags longer than necessary are legal and come back in their normal form.
func tagAt(b []byte, i int) (uint32, int) {
	if i < len(b) && b[i] < 0x80 {
		return uint32(b[i]), i + 1
	}
	return tagSlow(b, i)
}

func tagSlow(b []byte, i int) (uint32, int) {
	v, i := varintSlow(b, i)
	if i < 0 || v>>3 > maxFieldNumber {
		return 0, errTruncated
	}
	return uint32(v), i
}

func tag(num uint32, t WireType) uint32 { return num<<3 | uint32(t) }

func wireTypeOf(tag uint32) WireType { return WireType(tag & 7) }

// skip steps over the value of a field whose tag, ending at i, was just read; it returns a negative
// index when the value is malformed or groups are nested deeper than MaxDepth.
func skip(b []byte, i int, tag uint32, depth int) int {
	if tag>>3 < minFieldNumber {
		return errTruncated
	}
	switch wireTypeOf(tag) {
	case VarintType:
		return skipVarint(b, i)
	case Fixed64Type:
		return fixed(b, i, 8)
	case BytesType:
		n, i := length(b, i)
		if n > len(b)-i {
			return errTruncated
		}
		return i + n
	case startGroupType:
		return skipGroup(b, i, tag, depth+1)
	case Fixed32Type:
		return fixed(b, i, 4)
	}
	return errTruncated // an end without a start, or wire type 6 or 7
}

// skipGroup steps over a group: deprecated in protobuf, but unknown fields may be groups.
func skipGroup(b []byte, i int, start uint32, depth int) int {
	if depth > MaxDepth {
		return errTruncated
	}
	for i < len(b) {
		var t uint32
		if t, i = tagAt(b, i); t == 0 {
			return errTruncated
		}
		if t == tag(start>>3, endGroupType) {
			return i
		}
		if i = skip(b, i, t, depth); i < 0 {
			return i
		}
	}
	return errTruncated
}

// fixed steps over n bytes.
func fixed(b []byte, i, n int) int {
	if n > len(b)-i {
		return errTruncated
	}
	return i + n
}

// validUTF8 is utf8.Valid, faster on what telemetry is made of: short ASCII strings. The last word
// is read overlapping the one before it, so no byte loop is left.
func validUTF8(s []byte) bool {
	switch n := len(s); {
	case n >= 8:
		acc := binary.LittleEndian.Uint64(s[n-8:])
		for i := 0; i+8 <= n; i += 8 {
			acc |= binary.LittleEndian.Uint64(s[i:])
		}
		if acc&high == 0 {
			return true
		}
	case n >= 4:
		if (binary.LittleEndian.Uint32(s)|binary.LittleEndian.Uint32(s[n-4:]))&(high>>32) == 0 {
			return true
		}
	case n > 0:
		if s[0]|s[n/2]|s[n-1] < 0x80 {
			return true
		}
	default:
		return true
	}
	return utf8.Valid(s)
}
