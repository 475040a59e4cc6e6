package otlp

import (
	"math"
	"strconv"
)

// number reads a number, bare or in quotes, as its text.
func (s *jsonScanner) number(what string) (text []byte, ok bool) {
	if s.peek() == '"' {
		at := s.i
		if text, ok = s.str(what); !ok {
			return nil, false
		}
		if len(text) == 0 || numberLen(text) != len(text) {
			return nil, s.fail(at, "want %s, have the string %.40q", what, text)
		}
		return text, true
	}
	n := numberLen(s.in[s.i:])
	if n == 0 {
		return nil, s.want(what)
	}
	text = s.in[s.i : s.i+n]
	s.i += n
	return text, true
}

// numberLen is the length of the number that b begins with, 0 for none.
func numberLen(b []byte) int {
	digits := func(i int) int {
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i
	}
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	j := digits(i)
	if j == i || b[i] == '0' && j > i+1 { // no digit, or a leading zero
		return 0
	}
	i = j
	if i < len(b) && b[i] == '.' {
		if j = digits(i + 1); j == i+1 {
			return 0
		}
		i = j
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if j = digits(i); j == i {
			return 0
		}
		i = j
	}
	return i
}

// integer is the value of a number's text, when it is one: 1.50e2 is 150. magnitude is exact.
func integer(text []byte) (negative bool, magnitude uint64, ok bool) {
	if text[0] == '-' {
		negative, text = true, text[1:]
	}
	if len(text) <= 19 { // cannot overflow
		for i, c := range text {
			if c < '0' || c > '9' {
				break
			}
			magnitude = magnitude*10 + uint64(c-'0')
			if i == len(text)-1 {
				return negative, magnitude, true
			}
		}
		magnitude = 0
	}

	// Digits without the point, and the power of ten they are to be multiplied with.
	var digits []byte
	exponent, point := 0, false
	for i, c := range text {
		if c == 'e' || c == 'E' {
			e, err := strconv.Atoi(string(text[i+1:]))
			if err != nil || e > math.MaxInt32 || e < math.MinInt32 {
				return false, 0, false
			}
			exponent += e
			break
		}
		switch {
		case c == '.':
			point = true
			continue
		case point:
			exponent--
		}
		if c != '0' || len(digits) > 0 {
			digits = append(digits, c)
		}
	}
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exponent++
	}
	if len(digits) == 0 {
		return negative, 0, true
	}
	if exponent < 0 || len(digits)+exponent > 20 {
		return false, 0, false
	}
	for ; exponent > 0; exponent-- {
		digits = append(digits, '0')
	}
	magnitude, err := strconv.ParseUint(string(digits), 10, 64)
	return negative, magnitude, err == nil
}
