package export

import (
	"cmp"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/term"

	"github.com/ringtail-otel/ringtail"
)

// Color says when a tree is coloured.
type Color uint8

// The choices. ColorAuto: when the writer is a terminal, NO_COLOR is unset or empty and
// TERM is not dumb.
const (
	ColorAuto Color = iota
	ColorAlways
	ColorNever
)

// TreeOptions say how trees look. The zero value is the default.
type TreeOptions struct {
	// Width is how many columns a line may take, at least 60. 0 means the
	// terminal's width, or 120 where the writer is none.
	Width int
	Color Color
	// Location is the time zone of the trace's begin. nil means time.Local.
	Location *time.Location
	// HideAttributes leaves out what stands behind the bars, but kinds.
	HideAttributes bool
}

const (
	minTreeWidth     = 60
	defaultTreeWidth = 120
	maxTreeWidth     = 500
)

// WriteTree writes spans for people to read: each trace as a tree below a line that
// sums it up, in the order in which the traces appear, and children by their begin.
// Spans of one trace may come from several batches. By a single call of Write.
//
//	POST /checkout        shop       48.2ms ━━━━━━━━━━━━━━━━━━━━  server  http.route=/checkout
//	├─ load cart                      6.1ms ╺━━                   client  db.system=postgresql
//	└─ ✗ charge card      payments   30.0ms      ╺━━━━━━━━━━━━╸   client
//	   └ insufficient funds
//
// The bar shows when a span ran within its trace. A service stands where it is not
// the parent's. Spans whose parent is not among them stand below a line that names the
// missing parent; a loop of parents is cut open, and said so. Nothing is left out
// but what does not fit the width, which is marked by "…". What is not printable,
// as control characters that could steer the terminal, is shown escaped.
func WriteTree(w io.Writer, spans []*ringtail.Span, o TreeOptions) error {
	p := appendTrees(nil, spans, o.forWriter(w))
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// forWriter settles what depends on where the tree goes.
func (o TreeOptions) forWriter(w io.Writer) TreeOptions {
	file, _ := w.(*os.File)
	terminal := file != nil && term.IsTerminal(int(file.Fd()))
	if o.Width == 0 && terminal {
		o.Width, _, _ = term.GetSize(int(file.Fd()))
	}
	o.Width = min(max(cmp.Or(o.Width, defaultTreeWidth), minTreeWidth), maxTreeWidth)
	if o.Color == ColorAuto {
		o.Color = ColorNever
		if terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
			o.Color = ColorAlways
		}
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	return o
}

// A node is a span's place in its trace, or that of a parent that is missing.
type node struct {
	span     *ringtail.Span // nil: a missing parent
	missing  trace.SpanID   // its id
	looped   bool           // its parent is one of its descendants
	children []*node
}

// traceTree is one trace, arranged.
type traceTree struct {
	id         trace.TraceID
	spans      []*ringtail.Span
	roots      []*node
	start, end time.Time
	failed     int
	services   []string // in the order of the tree
}

// arrange makes a tree of each trace.
func arrange(spans []*ringtail.Span) []*traceTree {
	byID := make(map[trace.TraceID]*traceTree)
	var trees []*traceTree
	for _, s := range spans {
		if s == nil {
			continue
		}
		t := byID[s.TraceID]
		if t == nil {
			t = &traceTree{id: s.TraceID}
			byID[s.TraceID] = t
			trees = append(trees, t)
		}
		t.spans = append(t.spans, s)
	}
	for _, t := range trees {
		t.grow()
	}
	return trees
}

func (t *traceTree) grow() {
	nodes := make([]*node, len(t.spans))
	byID := make(map[trace.SpanID]*node, len(nodes))
	for i, s := range t.spans {
		nodes[i] = &node{span: s}
		if _, twice := byID[s.SpanID]; !twice {
			byID[s.SpanID] = nodes[i]
		}
		t.sumUp(s)
	}
	for _, n := range nodes {
		parent := n.span.ParentID
		if !parent.IsValid() {
			t.roots = append(t.roots, n)
			continue
		}
		p := byID[parent]
		if p == nil {
			p = &node{missing: parent}
			byID[parent] = p
			t.roots = append(t.roots, p)
		}
		p.children = append(p.children, n)
	}
	t.openLoops(nodes, byID)
	for _, n := range byID {
		slices.SortStableFunc(n.children, byStart)
	}
	slices.SortStableFunc(t.roots, byStart)
	t.listServices()
}

// openLoops finds the spans that no root leads to. Their parents go round in a circle,
// which is cut at the span that began first.
func (t *traceTree) openLoops(nodes []*node, byID map[trace.SpanID]*node) {
	reached := make(map[*node]bool, len(nodes))
	reach := func(from *node) {
		for todo := []*node{from}; len(todo) > 0; {
			n := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if !reached[n] {
				reached[n] = true
				todo = append(todo, n.children...)
			}
		}
	}
	for _, n := range t.roots {
		reach(n)
	}
	for _, n := range nodes {
		if reached[n] {
			continue
		}
		// Up along the parents until one comes again: that one is in the circle.
		seen := make(map[*node]bool)
		at := n
		for !seen[at] {
			seen[at] = true
			at = byID[at.span.ParentID]
		}
		first := at
		for m := byID[at.span.ParentID]; m != at; m = byID[m.span.ParentID] {
			if byStart(m, first) < 0 {
				first = m
			}
		}
		parent := byID[first.span.ParentID]
		parent.children = slices.DeleteFunc(parent.children, func(c *node) bool { return c == first })
		first.looped = true
		t.roots = append(t.roots, first)
		reach(first)
	}
}

func (t *traceTree) sumUp(s *ringtail.Span) {
	if s.Status.Code == codes.Error {
		t.failed++
	}
	if s.Start.IsZero() {
		return
	}
	if t.start.IsZero() || s.Start.Before(t.start) {
		t.start = s.Start
	}
	if s.End.After(t.end) {
		t.end = s.End
	}
}

// listServices notes the services in the order in which the tree shows them.
func (t *traceTree) listServices() {
	seen := make(map[string]bool)
	t.walk(func(n *node, _ *node, _ []bool) {
		if n.span == nil {
			return
		}
		if name := n.span.Resource.ServiceName(); name != "" && !seen[name] {
			seen[name] = true
			t.services = append(t.services, name)
		}
	})
}

// walk visits all nodes, parents before children. last says, for each level below
// the root, whether the node or its ancestor there is the last child; it is valid
// until visit returns.
func (t *traceTree) walk(visit func(n, parent *node, last []bool)) {
	type step struct {
		n, parent *node
		depth     int
		last      bool
	}
	var todo []step
	for _, r := range slices.Backward(t.roots) {
		todo = append(todo, step{n: r})
	}
	var last []bool
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.depth > 0 {
			last = append(last[:s.depth-1], s.last)
		} else {
			last = last[:0]
		}
		visit(s.n, s.parent, last)
		for i, c := range slices.Backward(s.n.children) {
			todo = append(todo, step{c, s.n, s.depth + 1, i == len(s.n.children)-1})
		}
	}
}

// byStart orders siblings by their begin. A missing parent stands where its first
// child began: it has been sorted before the roots are.
func byStart(a, b *node) int {
	if c := a.start().Compare(b.start()); c != 0 {
		return c
	}
	return strings.Compare(a.name(), b.name())
}

func (n *node) start() time.Time {
	if n.span != nil {
		return n.span.Start
	}
	return n.children[0].span.Start
}

func (n *node) name() string {
	if n.span != nil {
		return n.span.Name
	}
	return ""
}
