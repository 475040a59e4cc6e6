package otlp

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A jsonScanner reads JSON (RFC 8259) from bytes, by token. The standard library's decoder would do for
// correctness, but it boxes every token, loses the offset and copies every string: a transcoder needs
// none of that. Methods return false after noting the error.
type jsonScanner struct {
	in      []byte
	i       int
	path    []jsonStep
	scratch []byte // of strings with escapes
	err     *SyntaxError
}

type jsonStep struct {
	f     *field
	index int // -1: not in an array
}

// maxSkippedDepth bounds the nesting of values under unknown keys.
const maxSkippedDepth = 1000

func (s *jsonScanner) fail(offset int, format string, args ...any) bool {
	if s.err != nil {
		return false
	}
	var path []byte
	for i, step := range s.path {
		if i > 0 {
			path = append(path, '.')
		}
		path = append(path, step.f.json...)
		if step.index >= 0 {
			path = append(path, '[')
			path = strconv.AppendInt(path, int64(step.index), 10)
			path = append(path, ']')
		}
	}
	s.err = &SyntaxError{Offset: offset, Path: string(path), Reason: fmt.Sprintf(format, args...)}
	return false
}

// peek steps over white space and returns the byte that a token begins with, 0 at the end.
func (s *jsonScanner) peek() byte {
	for s.i < len(s.in) {
		switch c := s.in[s.i]; c {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// want fails with what stands here instead of what was wanted.
func (s *jsonScanner) want(wanted string) bool {
	if s.i >= len(s.in) {
		return s.fail(s.i, "want %s, but the input ends", wanted)
	}
	var have string
	switch c := s.in[s.i]; {
	case c == '{':
		have = "an object"
	case c == '[':
		have = "an array"
	case c == '"':
		have = "a string"
	case c == 't' || c == 'f':
		have = "a bool"
	case c == 'n':
		have = "null"
	case c == '-' || c >= '0' && c <= '9':
		have = "a number"
	default:
		have = strconv.QuoteRune(rune(c))
	}
	return s.fail(s.i, "want %s, have %s", wanted, have)
}

func (s *jsonScanner) expect(c byte, name string) bool {
	if s.peek() != c {
		return s.want(name)
	}
	s.i++
	return true
}

// literal consumes word if it stands here.
func (s *jsonScanner) literal(word string) bool {
	if len(s.in)-s.i < len(word) || string(s.in[s.i:s.i+len(word)]) != word {
		return false
	}
	s.i += len(word)
	return true
}

// null consumes a null if one stands here.
func (s *jsonScanner) null() bool { return s.peek() == 'n' && s.literal("null") }

// more steps through the elements of an object or array whose opening bracket was consumed: it is true
// when another element follows, false after the closing bracket or an error.
func (s *jsonScanner) more(first bool, closing byte, element string) bool {
	c := s.peek()
	if c == closing {
		s.i++
		return false
	}
	if first {
		return c != 0 || s.want(element)
	}
	if c != ',' {
		return s.want("a comma or " + strconv.QuoteRune(rune(closing)))
	}
	s.i++
	if c = s.peek(); c == closing {
		return s.want(element)
	}
	return true
}

// str reads a string. The bytes are valid UTF-8; they belong to the input or to the scanner, until its
// next string.
func (s *jsonScanner) str(what string) ([]byte, bool) {
	if s.peek() != '"' {
		return nil, s.want(what)
	}
	s.i++
	start := s.i
	for s.i < len(s.in) {
		c := s.in[s.i]
		if c == '"' {
			text := s.in[start:s.i]
			s.i++
			return text, s.checkUTF8(text, start)
		}
		if c == '\\' {
			return s.escaped(start)
		}
		if c < 0x20 {
			return nil, s.fail(s.i, "a control character in a string")
		}
		s.i++
	}
	return nil, s.fail(start-1, "the string is not ended")
}

func (s *jsonScanner) checkUTF8(text []byte, start int) bool {
	return validUTF8(text) || s.fail(start, "the string is not valid UTF-8")
}

// escaped reads the rest of a string, from its first backslash.
func (s *jsonScanner) escaped(start int) ([]byte, bool) {
	buf := append(s.scratch[:0], s.in[start:s.i]...)
	for s.i < len(s.in) {
		c := s.in[s.i]
		switch {
		case c == '"':
			s.i++
			s.scratch = buf
			return buf, s.checkUTF8(buf, start)
		case c < 0x20:
			return nil, s.fail(s.i, "a control character in a string")
		case c != '\\':
			buf = append(buf, c)
			s.i++
			continue
		}
		if s.i+1 >= len(s.in) {
			break
		}
		e := s.in[s.i+1]
		switch e {
		case '"', '\\', '/':
			buf = append(buf, e)
		case 'b':
			buf = append(buf, '\b')
		case 'f':
			buf = append(buf, '\f')
		case 'n':
			buf = append(buf, '\n')
		case 'r':
			buf = append(buf, '\r')
		case 't':
			buf = append(buf, '\t')
		case 'u':
			r, ok := s.unicodeEscape()
			if !ok {
				return nil, false
			}
			buf = utf8.AppendRune(buf, r)
			continue
		default:
			return nil, s.fail(s.i, "%q is no escape", s.in[s.i:s.i+2])
		}
		s.i += 2
	}
	return nil, s.fail(start-1, "the string is not ended")
}

// unicodeEscape reads \uXXXX, or two of them that are a surrogate pair. A surrogate without its partner
// is what a sender that cuts strings between the two leaves; it becomes U+FFFD, as in the Collector.
func (s *jsonScanner) unicodeEscape() (rune, bool) {
	r, ok := hex4(s.in, s.i)
	if !ok {
		return 0, s.fail(s.i, `\u needs four hexadecimal digits`)
	}
	s.i += 6
	if !utf16.IsSurrogate(r) {
		return r, true
	}
	if low, ok := hex4(s.in, s.i); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			s.i += 6
			return pair, true
		}
	}
	return utf8.RuneError, true
}

func hex4(b []byte, i int) (rune, bool) {
	if len(b)-i < 6 || b[i] != '\\' || b[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[i+2 : i+6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skip steps over a value of any type.
func (s *jsonScanner) skip(depth int) bool {
	if depth > maxSkippedDepth {
		return s.fail(s.i, "nested deeper than %d", maxSkippedDepth)
	}
	switch c := s.peek(); c {
	case '{':
		s.i++
		for first := true; s.more(first, '}', "a key"); first = false {
			if _, ok := s.str("a key"); !ok || !s.expect(':', "a colon") || !s.skip(depth+1) {
				return false
			}
		}
		return s.err == nil
	case '[':
		s.i++
		for first := true; s.more(first, ']', "a value"); first = false {
			if !s.skip(depth + 1) {
				return false
			}
		}
		return s.err == nil
	case '"':
		_, ok := s.str("a string")
		return ok
	case 't':
		return s.literal("true") || s.want("a value")
	case 'f':
		return s.literal("false") || s.want("a value")
	case 'n':
		return s.literal("null") || s.want("a value")
	default:
		n := numberLen(s.in[s.i:])
		if n == 0 {
			return s.want("a value")
		}
		s.i += n
		return true
	}
}
