package main

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
)

// gallery is the demo's exporter for people: it keeps all spans, so that whole traces
// can be shown at the end, however their spans were spread over batches.
type gallery struct {
	mu     sync.Mutex
	used   bool
	traces map[trace.TraceID][]*ringtail.Span
}

// Export keeps the batch's spans, decoded.
func (g *gallery) Export(_ context.Context, b *ringtail.Batch) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used = true
	if g.traces == nil {
		g.traces = make(map[trace.TraceID][]*ringtail.Span)
	}
	for s := range b.Spans() {
		g.traces[s.TraceID] = append(g.traces[s.TraceID], s)
	}
	return nil
}

// Shutdown does nothing.
func (g *gallery) Shutdown(context.Context) error { return nil }

// A trace is shown whole; all together should fit a screen.
const (
	shownTraces = 3
	shownSpans  = 26
)

// print prints the traces as trees: a few of different kinds, or all.
func (g *gallery) print(p page, all bool) {
	traces := g.ordered()
	shown := traces
	if !all {
		shown = choose(traces)
	}
	var spans []*ringtail.Span
	for _, t := range shown {
		spans = append(spans, t...)
	}
	o := export.TreeOptions{Width: p.width, Color: export.ColorNever}
	if p.color {
		o.Color = export.ColorAlways
	}
	export.WriteTree(p, spans, o)
	if more := len(traces) - len(shown); more > 0 {
		fmt.Fprintln(p, p.dim(fmt.Sprintf("… and %s; --all prints them.", plural(more, "more trace"))))
	}
	fmt.Fprintln(p)
}

// ordered returns the traces in the order of their beginnings, each with its root
// first, so that the same seed prints the same however the workers were scheduled.
func (g *gallery) ordered() [][]*ringtail.Span {
	g.mu.Lock()
	defer g.mu.Unlock()
	var traces [][]*ringtail.Span
	for _, t := range g.traces {
		slices.SortFunc(t, func(a, b *ringtail.Span) int { return a.Start.Compare(b.Start) })
		traces = append(traces, t)
	}
	slices.SortFunc(traces, func(a, b []*ringtail.Span) int {
		if c := a[0].Start.Compare(b[0].Start); c != 0 {
			return c
		}
		return slices.Compare(a[0].TraceID[:], b[0].TraceID[:])
	})
	return traces
}

// choose picks a few traces worth seeing: one of a kind, those that failed before
// others, and large before small.
func choose(traces [][]*ringtail.Span) [][]*ringtail.Span {
	byWorth := slices.Clone(traces)
	slices.SortStableFunc(byWorth, func(a, b []*ringtail.Span) int { return worth(b) - worth(a) })
	kinds := make(map[string]bool)
	var picked [][]*ringtail.Span
	left := shownSpans
	for _, t := range byWorth {
		if len(picked) == shownTraces || kinds[t[0].Name] || len(t) > left && len(picked) > 0 {
			continue
		}
		kinds[t[0].Name] = true
		picked = append(picked, t)
		left -= len(t)
	}
	slices.SortStableFunc(picked, func(a, b []*ringtail.Span) int { return a[0].Start.Compare(b[0].Start) })
	return picked
}

func worth(t []*ringtail.Span) int {
	n := min(len(t), 50)
	for _, s := range t {
		if s.Status.Code == codes.Error {
			return n + 100
		}
	}
	return n
}
