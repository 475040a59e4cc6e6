package export_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
)

const ms = time.Millisecond

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// span describes one span in the space of a line.
func span(id, parent byte, name, service string, from, to time.Duration, attrs ...attribute.KeyValue) *ringtail.Span {
	s := &ringtail.Span{
		TraceID: trace.TraceID{0x4b, 0xf9, 0x2f, 0x35, 15: 1}, SpanID: trace.SpanID{7: id},
		Name: name, Kind: trace.SpanKindInternal, Start: noon.Add(from), End: noon.Add(to), Attributes: attrs,
		Resource: &ringtail.Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", service)}},
	}
	if parent != 0 {
		s.ParentID = trace.SpanID{7: parent}
	}
	return s
}

func with(s *ringtail.Span, change func(*ringtail.Span)) *ringtail.Span {
	change(s)
	return s
}

func kind(k trace.SpanKind) func(*ringtail.Span) { return func(s *ringtail.Span) { s.Kind = k } }

func failure(description string) func(*ringtail.Span) {
	return func(s *ringtail.Span) { s.Status = ringtail.Status{Code: codes.Error, Description: description} }
}

// checkout is a trace through three services, of which one fails.
func checkout() []*ringtail.Span {
	return []*ringtail.Span{
		// The order is that of the spans' ends, which is how they come.
		with(span(3, 2, "SELECT shop.cart", "shop", 2*ms, 6500*time.Microsecond,
			attribute.String("db.system.name", "postgresql"), attribute.String("db.query.text", "SELECT * FROM cart WHERE user_id = $1")),
			kind(trace.SpanKindClient)),
		span(2, 1, "load cart", "shop", 1*ms, 7*ms, attribute.Int("cart.items", 3)),
		with(span(5, 4, "POST /reservations", "stock", 9*ms, 14*ms, attribute.String("http.route", "/reservations")),
			func(s *ringtail.Span) {
				s.Kind = trace.SpanKindServer
				s.Events = []ringtail.Event{{Name: "cache miss", Time: noon.Add(10 * ms)}}
				s.Status.Code = codes.Ok
			}),
		with(span(4, 1, "reserve stock", "shop", 8*ms, 15*ms), kind(trace.SpanKindClient)),
		with(span(8, 7, "publish charge.declined", "payments", 40*ms, 40500*time.Microsecond,
			attribute.String("messaging.system", "kafka")), kind(trace.SpanKindProducer)),
		with(span(7, 6, "POST /charges", "payments", 17*ms, 46*ms, attribute.String("card.brand", "visa")), func(s *ringtail.Span) {
			s.Kind = trace.SpanKindServer
			s.Status.Code = codes.Error
			s.Events = []ringtail.Event{{Name: "exception", Attributes: []attribute.KeyValue{
				attribute.String("exception.type", "DeclinedError"), attribute.String("exception.message", "insufficient funds"),
			}}}
		}),
		with(with(span(6, 1, "charge card", "shop", 16*ms, 47*ms), kind(trace.SpanKindClient)),
			failure("payments answered 402: insufficient funds")),
		with(with(span(1, 0, "POST /checkout", "shop", 0, 482*ms/10,
			attribute.String("http.request.method", "POST"), attribute.String("http.route", "/checkout"),
			attribute.Int("http.response.status_code", 502)), kind(trace.SpanKindServer)), failure("")),
	}
}

func tree(t testing.TB, o export.TreeOptions, spans ...*ringtail.Span) string {
	t.Helper()
	if o.Location == nil {
		o.Location = time.UTC
	}
	var b bytes.Buffer
	if err := export.WriteTree(&b, spans, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTree(t *testing.T) {
	expect(t, tree(t, export.TreeOptions{}, checkout()...), `
trace 4bf92f35000000000000000000000001 · 48.2ms · 8 spans · 3 errors · 2026-03-01 12:00:00.000
✗ POST /checkout                  shop       48.2ms  ━━━━━━━━━━━━━━━━━━━━  server  http.request.method=POST  …
├─ load cart                                 6.00ms  ━━━                   cart.items=3
│  └─ SELECT shop.cart                       4.50ms  ╺━━                   client  db.system.name=postgresql  …
├─ reserve stock                             7.00ms     ━━━╸               client
│  └─ POST /reservations          stock      5.00ms     ╺━━                server  ok  http.route=/reservations  …
└─ ✗ charge card                             31.0ms        ╺━━━━━━━━━━━━━  client
   │  payments answered 402: insufficient funds
   └─ ✗ POST /charges             payments   29.0ms         ━━━━━━━━━━━━╸  server  card.brand=visa
      │  DeclinedError: insufficient funds
      └─ publish charge.declined              500µs                  ╺     producer  messaging.system=kafka

`)
}

// The order in which the spans come makes no difference within a trace.
func TestTreeOrder(t *testing.T) {
	want := tree(t, export.TreeOptions{}, checkout()...)
	for seed := range uint64(20) {
		spans := checkout()
		rand.New(rand.NewPCG(seed, 4)).Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
		if got := tree(t, export.TreeOptions{}, spans...); got != want {
			t.Fatalf("seed %d:\n%s\nwant\n%s", seed, got, want)
		}
	}
}

func TestTreeNarrow(t *testing.T) {
	expect(t, tree(t, export.TreeOptions{Width: 80, HideAttributes: true}, checkout()...), `
trace 4bf92f35000000000000000000000001 · 48.2ms · 8 spans · 3 errors · 12:00:00
✗ POST /checkout                  shop       48.2ms  ━━━━━━━━━━━━━  server
├─ load cart                                 6.00ms  ━━
│  └─ SELECT shop.cart                       4.50ms  ╺━             client
├─ reserve stock                             7.00ms    ━━╸          client
│  └─ POST /reservations          stock      5.00ms    ━━           server  ok
└─ ✗ charge card                             31.0ms      ━━━━━━━━━  client
   │  payments answered 402: insufficient funds
   └─ ✗ POST /charges             payments   29.0ms      ╺━━━━━━━╸  server
      │  DeclinedError: insufficient funds
      └─ publish charge.declined              500µs            ╺    producer

`)
}

func TestTreeOfBrokenTraces(t *testing.T) {
	t.Run("missing parents", func(t *testing.T) {
		expect(t, tree(t, export.TreeOptions{Width: 80},
			span(1, 0, "root", "a", 0, 10*ms), span(2, 8, "orphan", "a", 1*ms, 2*ms), span(3, 8, "its sibling", "a", 3*ms, 4*ms),
			with(span(4, 9, "called from afar", "a", 2*ms, 3*ms), func(s *ringtail.Span) { s.ParentRemote = true })), `
trace 4bf92f35000000000000000000000001 · 10.0ms · 4 spans · a · 12:00:00
root                  10.0ms  ━━━━━━━━━━━━━
◌ parent 0000000000000008 is not here
├─ orphan             1.00ms   ━━
└─ its sibling        1.00ms     ╺━╸
◌ parent 0000000000000009 is in another process
└─ called from afar   1.00ms    ╺━

`)
	})
	t.Run("loops, twins, no times, no name", func(t *testing.T) {
		got := tree(t, export.TreeOptions{Width: 120},
			span(1, 2, "first", "a", 0, 10*ms), span(2, 3, "second", "a", 1*ms, 9*ms), span(3, 1, "third", "a", 2*ms, 8*ms),
			span(4, 4, "its own parent", "a", 3*ms, 4*ms), span(5, 3, "off the loop", "a", 5*ms, 6*ms),
			span(1, 0, "twin of first", "a", 6*ms, 7*ms), nil,
			with(span(6, 0, "", "a", 0, 0), func(s *ringtail.Span) { s.Start, s.End = time.Time{}, time.Time{} }))
		expect(t, got, `
trace 4bf92f35000000000000000000000001 · 10.0ms · 7 spans · a · 2026-03-01 12:00:00.000
(no name)                 ?
first                10.0ms  ━━━━━━━━━━━━━━━━━━━━  its parent 0000000000000002 is below it
└─ third             6.00ms      ━━━━━━━━━━━━
   ├─ second         8.00ms    ━━━━━━━━━━━━━━━━
   └─ off the loop   1.00ms            ━━
its own parent       1.00ms        ━━              its parent 0000000000000004 is below it
twin of first        1.00ms              ━━

`)
	})
	t.Run("escapes", func(t *testing.T) {
		got := tree(t, export.TreeOptions{Width: 120, Color: export.ColorNever},
			with(span(1, 0, "\x1b[31mred\x1b[0m\n\u202eturned", "a\x07", 0, ms, attribute.String("k\r", "a \"b\"\x00"),
				attribute.String("bad", "\xff"), attribute.StringSlice("list", []string{"a", "b"})), failure("a\nb")))
		if strings.ContainsAny(got, "\x1b\x07\r\x00\u202e") || strings.Count(got, "\n") != 4 {
			t.Errorf("not escaped: %q", got)
		}
		for _, want := range []string{`✗ \x1b[31mred\x1b[0m\n\u202eturned`, `· a\a ·`, `k\r="a \"b\"\x00"`, "bad=\ufffd", `list=["a","b"]`, `a\nb`} {
			if !strings.Contains(got, want) {
				t.Errorf("%s is missing in\n%s", want, got)
			}
		}
	})
	t.Run("deep", func(t *testing.T) {
		var spans []*ringtail.Span
		for i := range 200 {
			spans = append(spans, span(byte(i+1), byte(i), "level "+strconv.Itoa(i), "a", 0, ms))
		}
		got := tree(t, export.TreeOptions{Width: 80}, spans...)
		if !strings.Contains(got, "⋯ 199 ─ level 199 ") || strings.Count(got, "level ") != 200 {
			t.Error(got)
		}
	})
	t.Run("nothing", func(t *testing.T) { expect(t, tree(t, export.TreeOptions{}), "") })
}

func TestTreeColors(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	plain := tree(t, export.TreeOptions{}, checkout()...)
	if strings.Contains(plain, "\x1b") {
		t.Error("coloured, though the writer is no terminal")
	}
	colored := tree(t, export.TreeOptions{Color: export.ColorAlways}, checkout()...)
	if !strings.Contains(colored, "\x1b[31mcharge card\x1b[0m") || !strings.Contains(colored, "\x1b[35mstock\x1b[0m") {
		t.Errorf("the failed span is not red, or the service without its colour:\n%q", colored)
	}
	if got := uncolor(colored); got != plain {
		t.Errorf("colours move things:\n%s\n%s", got, plain)
	}
}

func uncolor(s string) string {
	var b strings.Builder
	for {
		text, sequence, found := strings.Cut(s, "\x1b[")
		b.WriteString(text)
		if !found {
			return b.String()
		}
		_, s, _ = strings.Cut(sequence, "m")
	}
}

// Whatever the spans, each is shown once, and no line is too long.
func TestTreeShowsEverySpanOnce(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		o := export.TreeOptions{Width: 60 + r.IntN(100)}
		n := 1 + r.IntN(40)
		var spans []*ringtail.Span
		for i := range n {
			from := time.Duration(r.IntN(1000)) * time.Microsecond
			s := span(byte(1+r.IntN(30)), byte(r.IntN(35)), "n"+strconv.Itoa(i)+".", []string{"svc", "漢字サービス", ""}[r.IntN(3)],
				from, from+time.Duration(r.Int64N(1<<r.IntN(50))), attribute.String("键", strings.Repeat("值", r.IntN(30))))
			s.TraceID[0] = byte(r.IntN(2))
			if r.IntN(3) == 0 {
				failure(strings.Repeat("no luck ", r.IntN(30)))(s)
			}
			spans = append(spans, s)
		}
		got := tree(t, o, spans...)
		for i := range n {
			if c := strings.Count(got, "n"+strconv.Itoa(i)+"."); c != 1 {
				t.Fatalf("seed %d: span %d is shown %d times:\n%s", seed, i, c, got)
			}
		}
		for line := range strings.Lines(got) {
			if w := wide(strings.TrimSuffix(line, "\n")); w > o.Width || strings.HasSuffix(line, " \n") {
				t.Fatalf("seed %d: a line has %d columns, or blanks at its end, the width is %d:\n%s", seed, w, o.Width, line)
			}
		}
	}
}

// wide counts columns by a simpler rule than the printer's.
func wide(s string) int {
	n := 0
	for _, r := range s {
		n++
		if unicode.In(r, unicode.Han, unicode.Katakana) || r == 'ー' {
			n++
		}
	}
	return n
}

func TestWriteTreeFails(t *testing.T) {
	boom := errors.New("boom")
	if err := export.WriteTree(&shortWriter{room: 10, err: boom}, checkout(), export.TreeOptions{}); err != boom {
		t.Errorf("WriteTree: %v, want %v", err, boom)
	}
	if err := export.WriteTree(&shortWriter{room: 10}, checkout(), export.TreeOptions{}); err != io.ErrShortWrite {
		t.Errorf("WriteTree: %v, want %v", err, io.ErrShortWrite)
	}
}

// shortWriter takes so many bytes, and then fails.
type shortWriter struct {
	bytes.Buffer
	room int
	err  error
}

func (w *shortWriter) Write(p []byte) (int, error) {
	if len(p) <= w.room {
		w.room -= len(p)
		return w.Buffer.Write(p)
	}
	n, _ := w.Buffer.Write(p[:w.room])
	w.room = 0
	return n, w.err
}
