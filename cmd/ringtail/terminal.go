package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// A page is what is printed on: it knows how wide it is and whether it has colours.
type page struct {
	io.Writer
	width    int
	color    bool
	terminal bool
}

const defaultWidth = 80

// newPage asks w what it is.
func newPage(w io.Writer) page {
	p := page{Writer: w, width: defaultWidth}
	if p.terminal = isTerminal(w); p.terminal {
		if width, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && width > 0 {
			p.width = width
		}
		p.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p page) style(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p page) bold(s string) string  { return p.style("1", s) }
func (p page) dim(s string) string   { return p.style("2", s) }
func (p page) red(s string) string   { return p.style("31", s) }
func (p page) green(s string) string { return p.style("32", s) }

// wrap prints text, indented, in lines as wide as the page, or 100 at most: longer
// ones are hard to read.
func (p page) wrap(indent, text string) {
	width := min(p.width, 100)
	line := indent
	for word := range strings.FieldsSeq(text) {
		if line != indent && runes(line)+1+runes(word) > width {
			fmt.Fprintln(p, line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(p, line)
}

func runes(s string) int { return len([]rune(s)) }

// count prints a number with its thousands apart: 1 234 567.
func count[N int | int64 | uint64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// brief prints a number in a few characters: 12.3 k.
func brief(n float64) string {
	switch {
	case n >= 999.5e6:
		return fmt.Sprintf("%.3g G", n/1e9)
	case n >= 999.5e3:
		return fmt.Sprintf("%.3g M", n/1e6)
	case n >= 999.5:
		return fmt.Sprintf("%.3g k", n/1e3)
	}
	return fmt.Sprintf("%.3g", n)
}

// size prints a number of bytes.
func size(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
}

// plural is "1 span", "2 spans".
func plural[N int | int64 | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// A liveLine is a line, or a few, that are rewritten in place on a terminal; elsewhere the
// first is printed now and then. What is written to it comes above the lines. It may be
// used by several goroutines.
type liveLine struct {
	mu    sync.Mutex
	page  page
	last  time.Time
	shown int // lines on the screen
}

// How often a live line is renewed on a terminal, and elsewhere.
const (
	liveEvery  = 200 * time.Millisecond
	printEvery = 5 * time.Second
)

func newLiveLine(w io.Writer) *liveLine { return &liveLine{page: newPage(w), last: time.Now()} }

// due says whether it is time to show a line again.
func (l *liveLine) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.page.terminal || now.Sub(l.last) >= printEvery
}

// show shows the lines, in place of the last ones. On a terminal they are cut to fit,
// since a line that wraps cannot be rewritten.
func (l *liveLine) show(lines ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	if !l.page.terminal {
		fmt.Fprintln(l.page, lines[0])
		return
	}
	l.clearLocked()
	for i, s := range lines {
		lines[i] = cut(s, l.page.width-1)
	}
	l.shown = len(lines)
	fmt.Fprint(l.page, strings.Join(lines, "\n"))
}

// cut shortens s to so many characters, not counting what sets colours.
func cut(s string, width int) string {
	n := 0
	escape := false
	for i, r := range s {
		switch {
		case r == 0x1b:
			escape = true
		case escape:
			escape = r != 'm'
		case n == width:
			return s[:i] + "\x1b[0m"
		default:
			n++
		}
	}
	return s
}

// clear takes the line away.
func (l *liveLine) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clearLocked()
}

func (l *liveLine) clearLocked() {
	if l.shown > 1 {
		fmt.Fprintf(l.page, "\x1b[%dA", l.shown-1)
	}
	if l.shown > 0 {
		fmt.Fprint(l.page, "\r\x1b[J")
		l.shown = 0
	}
}

// Write takes the line away, until it is shown again, and writes p.
func (l *liveLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clearLocked()
	return l.page.Write(p)
}
