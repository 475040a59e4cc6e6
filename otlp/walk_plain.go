package otlp

import "encoding/binary"

// plainAttributes returns how many bytes at the start of b, which is inside a span, are attributes
// that need no closer look: in the layout that encoders write, key before value, lengths of one byte,
// and all text ASCII. 0 says nothing: the first attribute may be well formed nevertheless.
//
// Tags and such lengths are below 0x80 like ASCII, so a row of attributes is looked through for other
// text at once, in long steps, and not string by string; a number among them ends the row.
func plainAttributes(b []byte) int {
	row, i := 0, 0 // b[:row] is well formed, b[row:i] is if it is ASCII
	for len(b)-i >= 8 && b[i] == byte(tag(9, BytesType)) {
		n := int(b[i+1])
		if n < 6 || n > 0x7f || n > len(b)-i-2 {
			break
		}
		kv := b[i+2 : i+2+n]
		k := int(kv[1])
		if kv[0] != byte(tag(1, BytesType)) || k > n-6 {
			break
		}
		v := kv[k+2:] // 4 bytes at least: the tag of the value, its length, and a tag in it
		if v[0] != byte(tag(2, BytesType)) || int(v[1]) != len(v)-2 {
			break
		}
		number := false
		switch v[2] {
		case byte(tag(anyString, BytesType)):
			if int(v[3]) != len(v)-4 {
				goto ascii
			}
		case byte(tag(anyInt, VarintType)), byte(tag(anyBool, VarintType)):
			if skipVarint(v, 3) != len(v) {
				goto ascii
			}
			number = len(v) > 4
		case byte(tag(anyDouble, Fixed64Type)):
			if len(v) != 11 {
				goto ascii
			}
			number = true
		default:
			goto ascii
		}
		if number {
			if !isASCII(b[row : i+2+n-len(v)]) {
				return row
			}
			row = i + 2 + n
		}
		i += 2 + n
	}
ascii:
	if !isASCII(b[row:i]) {
		return row
	}
	return i
}

// isASCII looks at 32 bytes in a step.
func isASCII(b []byte) bool {
	le := binary.LittleEndian
	for ; len(b) >= 32; b = b[32:] {
		if (le.Uint64(b)|le.Uint64(b[8:])|le.Uint64(b[16:])|le.Uint64(b[24:]))&high != 0 {
			return false
		}
	}
	var acc uint64
	for ; len(b) >= 8; b = b[8:] {
		acc |= le.Uint64(b)
	}
	for _, c := range b {
		acc |= uint64(c)
	}
	return acc&high == 0
}
