package otlp

// walkKeyValue and walkAnyValue are where a request's bytes are: about four fifths of the walk.
func walkKeyValue(b []byte, depth int) bool {
	if depth+1 > MaxDepth {
		return walkKeyValueSlow(b, depth)
	}
	// What encoders write for nearly every attribute: key, then value, with one-byte lengths.
	if len(b) < 6 || b[0] != byte(tag(1, BytesType)) {
		return walkKeyValueSlow(b, depth)
	}
	k := int(b[1])
	if k > 0x7f || k+6 > len(b) || b[k+2] != byte(tag(2, BytesType)) || int(b[k+3]) != len(b)-k-4 || b[k+3] > 0x7f {
		return walkKeyValueSlow(b, depth)
	}
	switch v := b[k+4:]; v[0] {
	case byte(tag(anyString, BytesType)):
		// Tags and lengths here are below 0x80, so when the whole is, both strings are ASCII.
		if int(v[1]) == len(v)-2 {
			return validUTF8(b) || walkKeyValueSlow(b, depth)
		}
	case byte(tag(anyInt, VarintType)), byte(tag(anyBool, VarintType)):
		if skipVarint(v, 1) == len(v) {
			return validUTF8(b[2 : 2+k])
		}
	case byte(tag(anyDouble, Fixed64Type)):
		if len(v) == 9 {
			return validUTF8(b[2 : 2+k])
		}
	}
	return walkKeyValueSlow(b, depth)
}

func walkKeyValueSlow(b []byte, depth int) bool {
	if depth > MaxDepth {
		return false
	}
	for i := 0; i < len(b); {
		t, j := tagAt(b, i)
		switch t {
		case tag(1, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !validUTF8(b[j:j+n]) {
				return false
			}
			i = j + n
		case tag(2, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !walkAnyValue(b[j:j+n], depth+1) {
				return false
			}
			i = j + n
		case tag(3, VarintType):
			if i = skipVarint(b, j); i < 0 {
				return false
			}
		default:
			if i = walkUnknown(b, j, t, keyValueMsg, depth); i < 0 {
				return false
			}
		}
	}
	return true
}

func walkAnyValue(b []byte, depth int) bool {
	if depth > MaxDepth {
		return false
	}
	for i := 0; i < len(b); {
		t, j := tagAt(b, i)
		switch t {
		case tag(1, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !validUTF8(b[j:j+n]) {
				return false
			}
			i = j + n
		case tag(2, VarintType), tag(3, VarintType), tag(8, VarintType):
			if i = skipVarint(b, j); i < 0 {
				return false
			}
		case tag(4, Fixed64Type):
			if i = fixed(b, j, 8); i < 0 {
				return false
			}
		case tag(5, BytesType), tag(6, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !walkValues(b[j:j+n], t>>3 == 6, depth+1) {
				return false
			}
			i = j + n
		case tag(7, BytesType):
			n, j := length(b, j)
			if n > len(b)-j {
				return false
			}
			i = j + n
		default:
			if i = walkUnknown(b, j, t, anyValueMsg, depth); i < 0 {
				return false
			}
		}
	}
	return true
}

// walkValues checks an ArrayValue or a KeyValueList: both are one repeated field, number 1.
func walkValues(b []byte, keyed bool, depth int) bool {
	if depth > MaxDepth {
		return false
	}
	for i := 0; i < len(b); {
		t, j := tagAt(b, i)
		if t != tag(1, BytesType) {
			if i = walkUnknown(b, j, t, arrayValueMsg, depth); i < 0 {
				return false
			}
			continue
		}
		n, j := length(b, j)
		if n > len(b)-j {
			return false
		}
		if keyed && !walkKeyValue(b[j:j+n], depth+1) || !keyed && !walkAnyValue(b[j:j+n], depth+1) {
			return false
		}
		i = j + n
	}
	return true
}
