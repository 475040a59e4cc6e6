package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// appendTrees appends the trees of all traces, an empty line after each.
func appendTrees(dst []byte, spans []*ringtail.Span, o TreeOptions) []byte {
	for _, t := range arrange(spans) {
		p := treePrinter{tree: t, opts: o, pen: pen{dst: dst, width: o.Width, color: o.Color == ColorAlways}}
		p.print()
		dst = append(p.pen.dst, '\n')
	}
	return dst
}

// treePrinter lays one trace out in columns: tree and name, service, duration, bar,
// and the rest of the line for details.
type treePrinter struct {
	tree *traceTree
	opts TreeOptions
	pen  pen

	name, service, bar int // widths of columns; service is 0 when all spans have the same
	deepest            int // levels that are drawn; deeper ones are numbered
}

const (
	durationWidth = 7
	mark          = "✗ " // before the name of a failed span
	indent        = 3    // columns a level
)

func (p *treePrinter) print() {
	p.measure()
	p.header()
	p.tree.walk(func(n, parent *node, last []bool) {
		if n.span == nil {
			p.missing(n)
			return
		}
		p.row(n, parent, last)
	})
}

// measure gives each column what it needs, within its share of the width.
func (p *treePrinter) measure() {
	p.bar = min(max(p.opts.Width/6, 10), 32)
	share := p.opts.Width * 2 / 5
	p.deepest = share / 2 / indent
	p.tree.walk(func(n, _ *node, last []bool) {
		if n.span == nil {
			return
		}
		w := columns(p.branches(last, true)) + columns(nameOf(n.span))
		if n.span.Status.Code == codes.Error {
			w += columns(mark)
		}
		p.name = max(p.name, min(w, share))
	})
	if len(p.tree.services) > 1 {
		for _, s := range p.tree.services {
			p.service = max(p.service, min(columns(printable(s)), p.opts.Width/8))
		}
	}
}

// header sums the trace up.
func (p *treePrinter) header() {
	t := p.tree
	p.pen.text(bold, "trace "+t.id.String())
	if !t.start.IsZero() {
		p.pen.text(dim, " · "+duration(t.end.Sub(t.start)))
	}
	p.pen.text(dim, " · "+count(len(t.spans), "span"))
	if t.failed > 0 {
		p.pen.text(dim, " · ")
		p.pen.text(red, count(t.failed, "error"))
	}
	if len(t.services) == 1 {
		p.pen.text(dim, " · ")
		p.pen.text(p.serviceStyle(t.services[0]), printable(t.services[0]))
	}
	if !t.start.IsZero() {
		when := t.start.In(p.opts.Location)
		long := " · " + when.Format("2006-01-02 15:04:05.000")
		if columns(long) > p.opts.Width-p.pen.at {
			long = " · " + when.Format("15:04:05")
		}
		p.pen.text(dim, long)
	}
	p.pen.newline()
}

// missing stands in for a parent that is not among the spans.
func (p *treePrinter) missing(n *node) {
	where := "is not here"
	if remote := func(c *node) bool { return c.span.ParentRemote }; slices.ContainsFunc(n.children, remote) {
		where = "is in another process"
	}
	p.pen.text(yellow, "◌ parent "+n.missing.String()+" "+where)
	p.pen.newline()
}

func (p *treePrinter) row(n, parent *node, last []bool) {
	s := n.span
	style := plain
	room := p.name
	branches := p.branches(last, true)
	p.pen.text(dim, branches)
	room -= columns(branches)
	if s.Status.Code == codes.Error {
		style = red
		p.pen.text(red, mark)
		room -= columns(mark)
	}
	p.pen.cell(style, nameOf(s), room)
	if p.service > 0 {
		p.pen.gap()
		service := s.Resource.ServiceName()
		if parent != nil && parent.span != nil && parent.span.Resource.ServiceName() == service {
			service = ""
		}
		p.pen.cell(p.serviceStyle(service), printable(service), p.service)
	}
	p.pen.gap()
	p.pen.cellRight(style, p.duration(s), durationWidth)
	p.pen.gap()
	barStyle := red
	if style == plain {
		barStyle = p.serviceStyle(s.Resource.ServiceName())
	}
	p.pen.text(barStyle, p.barOf(s))
	p.pen.gap()
	p.details(n)
	p.pen.newline()
	if why := failure(s); why != "" {
		p.pen.text(dim, p.branches(last, false))
		if len(n.children) > 0 && len(last) < p.deepest {
			p.pen.text(dim, "│  ")
		} else {
			p.pen.text(dim, "   ")
		}
		p.pen.text(red, printable(why))
		p.pen.newline()
	}
}

func nameOf(s *ringtail.Span) string {
	if s.Name == "" {
		return "(no name)"
	}
	return printable(s.Name)
}

// branches draws the lines that lead to a node; own says whether with its own one,
// or as they go on below it.
func (p *treePrinter) branches(last []bool, own bool) string {
	if len(last) > p.deepest {
		if own {
			return "⋯ " + strconv.Itoa(len(last)) + " ─ "
		}
		return strings.Repeat(" ", indent*p.deepest)
	}
	var b strings.Builder
	for i, l := range last {
		switch {
		case own && i == len(last)-1 && l:
			b.WriteString("└─ ")
		case own && i == len(last)-1:
			b.WriteString("├─ ")
		case l:
			b.WriteString("   ")
		default:
			b.WriteString("│  ")
		}
	}
	return b.String()
}

// barOf draws when a span ran within its trace, to half a column.
func (p *treePrinter) barOf(s *ringtail.Span) string {
	total := p.tree.end.Sub(p.tree.start)
	if s.Start.IsZero() || total <= 0 {
		return strings.Repeat(" ", p.bar)
	}
	halves := float64(2 * p.bar)
	at := func(t time.Time) float64 { return halves * float64(t.Sub(p.tree.start)) / float64(total) }
	from := min(int(at(s.Start)), 2*p.bar-1)
	to := min(max(int(at(s.End)+0.999), from+1), 2*p.bar)
	var b strings.Builder
	for i := 0; i < 2*p.bar; i += 2 {
		left, right := from <= i && i < to, from <= i+1 && i+1 < to
		switch {
		case left && right:
			b.WriteRune('━')
		case left:
			b.WriteRune('╸')
		case right:
			b.WriteRune('╺')
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// details fills the rest of the line.
func (p *treePrinter) details(n *node) {
	s := n.span
	if n.looped {
		p.pen.word(yellow, "its parent "+s.ParentID.String()+" is below it")
	}
	if s.Kind > trace.SpanKindInternal {
		p.pen.word(cyan, s.Kind.String())
	}
	if s.Status.Code == codes.Ok {
		p.pen.word(green, "ok")
	}
	if p.opts.HideAttributes {
		return
	}
	for _, kv := range s.Attributes {
		if !p.pen.word(dim, printable(string(kv.Key))+"="+value(kv.Value)) {
			return
		}
	}
	for _, e := range s.Events {
		if e.Name != "exception" && !p.pen.word(plain, "• "+printable(e.Name)) {
			return
		}
	}
	for _, l := range []struct {
		n    int
		what string
	}{
		{len(s.Links), "link"},
		{int(s.DroppedAttributes), "dropped attribute"},
		{int(s.DroppedEvents), "dropped event"},
		{int(s.DroppedLinks), "dropped link"},
	} {
		if l.n > 0 && !p.pen.word(plain, count(l.n, l.what)) {
			return
		}
	}
}

// maxValue is how many columns an attribute's value may take.
const maxValue = 40

func value(v attribute.Value) string {
	s := v.String()
	if v.Type() == attribute.STRING && (s == "" || strings.ContainsAny(s, " \"")) {
		s = strconv.Quote(s)
	}
	s, _ = fit(printable(s), maxValue)
	return s
}

// failure says why a span failed: its status, or else its exception.
func failure(s *ringtail.Span) string {
	if s.Status.Code != codes.Error {
		return ""
	}
	if s.Status.Description != "" {
		return s.Status.Description
	}
	for _, e := range slices.Backward(s.Events) {
		if e.Name != "exception" {
			continue
		}
		var kind, message string
		for _, kv := range e.Attributes {
			switch kv.Key {
			case "exception.type":
				kind = kv.Value.String()
			case "exception.message":
				message = kv.Value.String()
			}
		}
		if kind != "" && message != "" {
			return kind + ": " + message
		}
		return kind + message
	}
	return ""
}

func (p *treePrinter) duration(s *ringtail.Span) string {
	if s.Start.IsZero() || s.End.IsZero() {
		return "?"
	}
	return duration(s.End.Sub(s.Start))
}

// duration gives two or three digits, and so never more than seven columns.
func duration(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d.Nanoseconds())
	case d < 10*time.Second:
		unit, name := time.Second, "s"
		if d < time.Second {
			unit, name = time.Millisecond, "ms"
		}
		if d < time.Millisecond {
			unit, name = time.Microsecond, "µs"
		}
		x := float64(d) / float64(unit)
		digits := 2
		if x >= 100 {
			digits = 0
		} else if x >= 10 {
			digits = 1
		}
		return strconv.FormatFloat(x, 'f', digits, 64) + name
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 1000*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// serviceStyle gives each service of a trace a colour.
func (p *treePrinter) serviceStyle(service string) style {
	colors := []style{blue, magenta, green, cyan, yellow}
	return colors[max(slices.Index(p.tree.services, service), 0)%len(colors)]
}
