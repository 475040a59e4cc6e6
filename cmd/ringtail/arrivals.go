package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
)

// maxOperations bounds the rows that arrivals keeps; spans of further operations
// count in one row of their own.
const maxOperations = 200

// arrivals is an exporter for people: it keeps account of what arrives, by service
// and operation, for as long as nobody has said where spans should go.
type arrivals struct {
	mu    sync.Mutex
	rows  map[operation]*arrival
	spans uint64
	bytes uint64
}

type operation struct{ service, name string }

// arrival is what is known of one operation.
type arrival struct {
	operation
	spans, errors uint64
	took          histogram
	last          time.Time
}

func newArrivals() *arrivals { return &arrivals{rows: make(map[operation]*arrival)} }

// Export looks at each span, and keeps nothing of it.
func (a *arrivals) Export(_ context.Context, b *ringtail.Batch) error {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spans += uint64(b.Len())
	for _, part := range b.Parts() {
		a.bytes += uint64(len(part))
		var envelope *otlp.Envelope
		var service string
		for ref := range otlp.Spans(part) {
			if ref.Envelope != envelope {
				envelope, service = ref.Envelope, serviceName(ref.Envelope)
			}
			if v, err := otlp.ParseSpan(ref.Body); err == nil {
				a.note(service, &v, now)
			}
		}
	}
	return nil
}

// Shutdown has nothing to do.
func (a *arrivals) Shutdown(context.Context) error { return nil }

func serviceName(e *otlp.Envelope) string {
	r := otlp.ParseResource(e.Resource)
	v, _ := r.Attribute("service.name")
	return v.Value().AsString()
}

func (a *arrivals) note(service string, v *otlp.SpanView, now time.Time) {
	row := a.rows[operation{service, string(v.Name)}] // the compiler makes no copy for a look-up
	if row == nil {
		row = a.add(operation{service, string(v.Name)})
	}
	row.spans++
	row.last = now
	if v.StatusCode == codes.Error {
		row.errors++
	}
	if v.EndTimeUnixNano > v.StartTimeUnixNano {
		row.took.record(time.Duration(v.EndTimeUnixNano-v.StartTimeUnixNano), 1)
	}
}

func (a *arrivals) add(o operation) *arrival {
	if len(a.rows) >= maxOperations {
		o = operation{"…", "(further operations)"}
		if row := a.rows[o]; row != nil {
			return row
		}
	}
	row := &arrival{operation: o}
	a.rows[o] = row
	return row
}

// table prints the operations that have had the most spans, at most so many lines.
func (a *arrivals) table(p page, lines int) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rows) == 0 {
		return nil
	}
	rows := make([]*arrival, 0, len(a.rows))
	service, name := len("service"), len("operation")
	for _, r := range a.rows {
		rows = append(rows, r)
		service, name = max(service, runes(r.service)), max(name, runes(r.name))
	}
	slices.SortFunc(rows, func(x, y *arrival) int {
		return cmp.Or(cmp.Compare(y.spans, x.spans), cmp.Compare(x.service, y.service), cmp.Compare(x.name, y.name))
	})
	service = min(service, 24)
	name = max(min(name, p.width-service-44), 9)
	out := []string{p.dim(fmt.Sprintf("  %-*s  %-*s %10s %8s %8s %8s", service, "service", name, "operation", "spans", "errors", "p50", "p99"))}
	for i, r := range rows {
		if i == lines-1 && len(rows) > lines {
			out = append(out, p.dim(fmt.Sprintf("  … and %s", plural(len(rows)-i, "more operation"))))
			break
		}
		errors := fmt.Sprintf("%8s", brief(float64(r.errors)))
		if r.errors > 0 {
			errors = p.red(errors)
		}
		p50, p99 := "", ""
		if r.took.total > 0 {
			p50, p99 = nanos(r.took.quantile(0.5)), nanos(r.took.quantile(0.99))
		}
		out = append(out, fmt.Sprintf("  %s  %s %10s %s %8s %8s", cell(r.service, service), cell(r.name, name), brief(float64(r.spans)), errors, p50, p99))
	}
	return out
}

// cell is text in a column of so many characters. What could move the cursor is left
// out: names come from the network.
func cell(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
	r := []rune(s)
	if len(r) > width {
		r = append(r[:width-1], '…')
	}
	return string(r) + strings.Repeat(" ", width-len(r))
}
