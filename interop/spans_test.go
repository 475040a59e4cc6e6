package interop

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// spans is a set of spans as text that can be compared: by trace and span id, the
// OTLP JSON of a request that has this one span, with its resource and scope. That
// text comes from the Collector's own encoder on both sides of a comparison, so
// that it covers every field that the Collector knows. A span that has arrived
// twice is there twice.
type spans map[string][]string

// add takes all spans of a request.
func (s spans) add(t *testing.T, request ptrace.Traces) {
	t.Helper()
	for _, rs := range request.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				one := ptrace.NewTraces()
				r := one.ResourceSpans().AppendEmpty()
				rs.Resource().CopyTo(r.Resource())
				r.SetSchemaUrl(rs.SchemaUrl())
				sc := r.ScopeSpans().AppendEmpty()
				ss.Scope().CopyTo(sc.Scope())
				sc.SetSchemaUrl(ss.SchemaUrl())
				span.CopyTo(sc.Spans().AppendEmpty())
				text, err := new(ptrace.JSONMarshaler).MarshalTraces(one)
				if err != nil {
					t.Fatal(err)
				}
				id := span.TraceID().String() + "/" + span.SpanID().String()
				s[id] = append(s[id], string(text))
			}
		}
	}
}

// len returns the number of spans, each counted as often as it is there.
func (s spans) len() int {
	n := 0
	for _, texts := range s {
		n += len(texts)
	}
	return n
}

// of returns those of s that others has, too.
func (s spans) of(others spans) spans {
	both := spans{}
	for id := range others {
		if texts, ok := s[id]; ok {
			both[id] = texts
		}
	}
	return both
}

// readSpans reads a file of OTLP JSON lines, as the Collector's file exporter
// writes them, by the Collector's decoder.
func readSpans(t *testing.T, path string) spans {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := spans{}
	for r, n := bufio.NewReader(f), 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return s
		}
		if err != nil {
			t.Fatalf("%s, line %d: %v after %d bytes", path, n, err, len(line))
		}
		request, err := new(ptrace.JSONUnmarshaler).UnmarshalTraces(bytes.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s, line %d: %v", path, n, err)
		}
		s.add(t, request)
	}
}

// compare returns how got differs from want, with the first of each kind of
// difference, and nil if it does not. A span that came more than once is a
// difference, unless twice is given, which then counts it.
func compare(want, got spans, twice *int) error {
	var missing, altered, repeated, unknown difference
	for id, texts := range want {
		arrived := got[id]
		if len(arrived) == 0 {
			missing.add("%s", texts[0])
			continue
		}
		for _, text := range arrived {
			if text != texts[0] {
				at := firstDifference(texts[0], text)
				altered.add("%s\n  sent     %s\n  received %s", id, around(texts[0], at), around(text, at))
			}
		}
		if n := len(arrived) - 1; n > 0 && twice != nil {
			*twice += n
		} else if n > 0 {
			repeated.add("%s, %d times", id, n+1)
		}
	}
	for id, texts := range got {
		if want[id] == nil {
			unknown.add("%s", texts[0])
		}
	}
	return errors.Join(missing.error("missing"), altered.error("altered"), repeated.error("more than once"), unknown.error("not sent"))
}

type difference struct {
	n     int
	first string
}

func (d *difference) add(format string, args ...any) {
	if d.n++; d.n == 1 {
		d.first = fmt.Sprintf(format, args...)
	}
}

func (d *difference) error(kind string) error {
	if d.n == 0 {
		return nil
	}
	return fmt.Errorf("%d spans %s, as this one: %s", d.n, kind, d.first)
}

func firstDifference(a, b string) int {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return i
}

// around returns what stands about position i: the whole would hide it.
func around(s string, i int) string {
	return fmt.Sprintf("…%s…", s[max(0, i-100):min(len(s), i+100)])
}
