package export

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// style is a colour, as the number of its terminal sequence (ECMA-48, SGR).
type style uint8

const (
	plain   style = 0
	bold    style = 1
	dim     style = 2
	red     style = 31
	green   style = 32
	yellow  style = 33
	blue    style = 34
	magenta style = 35
	cyan    style = 36
)

// pen writes lines of a limited width. What it is given must be printable.
type pen struct {
	dst    []byte
	color  bool
	width  int
	at     int // columns of the line written so far, with those of spaces
	spaces int // owed: none are written at the end of a line
	full   bool
}

// text writes s as far as it fits, and reports whether it did.
func (p *pen) text(st style, s string) bool {
	if p.full || s == "" {
		return !p.full
	}
	short, n := fit(s, p.width-p.at)
	p.full = len(short) < len(s)
	blank := strings.TrimLeft(short, " ")
	p.spaces += len(short) - len(blank)
	ink := strings.TrimRight(blank, " ")
	if ink != "" {
		p.dst = append(p.dst, strings.Repeat(" ", p.spaces)...)
		p.spaces = 0
		p.ink(st, ink)
	}
	p.spaces += len(blank) - len(ink)
	p.at += n
	return !p.full
}

func (p *pen) ink(st style, s string) {
	if !p.color || st == plain {
		p.dst = append(p.dst, s...)
		return
	}
	p.dst = append(p.dst, "\x1b["...)
	p.dst = strconv.AppendUint(p.dst, uint64(st), 10)
	p.dst = append(p.dst, 'm')
	p.dst = append(p.dst, s...)
	p.dst = append(p.dst, "\x1b[0m"...)
}

// cell writes s in so many columns, cut or filled up.
func (p *pen) cell(st style, s string, columns int) {
	s, n := fit(s, columns)
	p.text(st, s)
	p.text(plain, strings.Repeat(" ", max(columns-n, 0)))
}

// cellRight is cell, but with the filling in front.
func (p *pen) cellRight(st style, s string, columns int) {
	s, n := fit(s, columns)
	p.text(plain, strings.Repeat(" ", max(columns-n, 0)))
	p.text(st, s)
}

// word writes s and a gap. When s does not fit, "…" stands for it and for what
// might follow, and word reports false.
func (p *pen) word(st style, s string) bool {
	if p.full {
		return false
	}
	room := p.width - p.at - 2 // a gap and "…" must fit behind it
	if columns(s) <= room {
		p.text(st, s)
		p.gap()
		return true
	}
	// Better a part of it than a large gap, and better a gap than a syllable.
	if room >= 12 {
		p.text(st, s)
	} else {
		p.text(st, "…")
	}
	p.full = true
	return false
}

func (p *pen) gap() {
	p.spaces += 2
	p.at += 2
}

func (p *pen) newline() {
	p.dst = append(p.dst, '\n')
	p.at, p.spaces, p.full = 0, 0, false
}

// fit cuts s to so many columns, with "…" at the end if something is missing, and
// returns how many it takes.
func fit(s string, most int) (string, int) {
	if most <= 0 {
		return "", 0
	}
	n, cut, cutAt := 0, 0, 0 // cut: the longest part that leaves room for "…"
	for i, r := range s {
		w := runeColumns(r)
		if n+w > most {
			return s[:cut] + "…", cutAt + 1
		}
		n += w
		if n < most {
			cut, cutAt = i+utf8.RuneLen(r), n
		}
	}
	return s, n
}

func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is how wide terminals show r.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// printable escapes what is not, as Go string literals do: a name from outside must not
// steer the terminal, nor turn the text around.
func printable(s string) string {
	clean := true
	for _, r := range s {
		clean = clean && strconv.IsPrint(r) && r != utf8.RuneError
	}
	if clean {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}
