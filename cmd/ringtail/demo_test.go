package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

var update = flag.Bool("update", false, "write testdata anew")

// The traces of a seed do not change, on any machine.
func TestDemoTraces(t *testing.T) {
	t.Setenv("TZ", "UTC")
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	var out bytes.Buffer
	d := demo{
		exportFlags: exportFlags{to: []string{"stdout"}, compression: "none"},
		producers:   8, spans: 50, seed: 7,
		clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		page:  newPage(&out), errOut: io.Discard, log: slog.New(slog.DiscardHandler),
	}
	if err := d.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	// How often somebody waits is different each time.
	before, rest, ok := strings.Cut(out.String(), "Backpressure\n")
	_, after, ok2 := strings.Cut(rest, "Ledger\n")
	if !ok || !ok2 {
		t.Fatalf("sections are missing:\n%s", out.String())
	}
	got := before + "Ledger\n" + after
	golden := filepath.Join("testdata", "demo.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant (run with -update if that is right):\n%s", got, want)
	}
}

func TestDemoLedger(t *testing.T) {
	stdout, stderr, code := execute(t, "demo", "--all")
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for name, want := range map[string]int{"submitted": 400, "exported": 400, "dropped": 0} {
		if got := ledgerEntry(t, stdout, name); got != want {
			t.Errorf("%s %d, want %d", name, got, want)
		}
	}
	for _, want := range []string{"8 workers × 50 spans", "✓ every span arrived", "✗ ", "TrySubmit", "ErrFull", "queue_full"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(stdout, "\x1b[") {
		t.Error("colours, and it is no terminal")
	}
}

func TestDemoBackpressureIsReal(t *testing.T) {
	refusing, err := press(context.Background(), 1, func(p *ringtail.Producer, s *ringtail.Span) error { p.TrySubmit(s); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if s := refusing.stats; s.Submitted != pressedSpans || s.Dropped.Of(ringtail.ReasonFull) == 0 || s.Exported+s.Dropped.Total() != pressedSpans {
		t.Errorf("%v", s)
	}
	waiting, err := press(context.Background(), 1, func(p *ringtail.Producer, s *ringtail.Span) error { return p.Submit(context.Background(), s) })
	if err != nil {
		t.Fatal(err)
	}
	if s := waiting.stats; s.Exported != pressedSpans || s.Dropped.Total() != 0 || waiting.waits == 0 {
		t.Errorf("%v, %d waits", s, waiting.waits)
	}
}

func TestDemoToFiles(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	stdout, stderr, code := execute(t, "demo", "--producers", "3", "--spans", "17", "--export", "json="+one, "--export", "json="+two)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, path := range []string{one, two} {
		if n := spansInFile(t, path); n != 51 {
			t.Errorf("%d spans in the file, want 51", n)
		}
		if !strings.Contains(stdout, "json="+path+": 51 exported, 0 dropped") {
			t.Errorf("no ledger of %s:\n%s", path, stdout)
		}
	}
	stdout, stderr, code = execute(t, "demo", "--export", "json=-")
	if n := spansIn(t, strings.NewReader(stdout)); code != exitOK || n != 400 {
		t.Errorf("%d spans on standard output, exit code %d", n, code)
	}
	if got := ledgerEntry(t, stderr, "exported"); got != 400 {
		t.Errorf("the ledger says %d", got)
	}
}

// After a failure the demo says what failed, and does not go on.
func TestDemoWithABackendThatRefuses(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer backend.Close()
	stdout, stderr, code := execute(t, "demo", "--export", "otlp-http="+backend.URL)
	if code != exitLost || !strings.Contains(stderr, "400 spans did not arrive") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if ledgerEntry(t, stdout, "dropped") != 400 || strings.Contains(stdout, "Backpressure") {
		t.Error(stdout)
	}
}

func TestWorkerMakesExactlyWhatItShould(t *testing.T) {
	for spans := range 60 {
		var got []*ringtail.Span
		w := newWorker(3, 1, time.Unix(1e9, 0), func(s *ringtail.Span) error { got = append(got, s); return nil })
		if err := w.work(context.Background(), spans); err != nil {
			t.Fatal(err)
		}
		if len(got) != spans {
			t.Fatalf("%d spans, want %d", len(got), spans)
		}
		ids := map[[8]byte]*ringtail.Span{}
		for _, s := range got {
			if ids[s.SpanID] != nil {
				t.Fatal("a span id comes twice")
			}
			ids[s.SpanID] = s
		}
		for _, s := range got {
			if s.End.Before(s.Start) {
				t.Errorf("%s ends before it starts", s.Name)
			}
			parent := ids[s.ParentID]
			if s.ParentID.IsValid() && (parent == nil || parent.TraceID != s.TraceID || s.Start.Before(parent.Start) || s.End.After(parent.End)) {
				t.Errorf("%s is not within its parent", s.Name)
			}
		}
	}
	// In the usual demo something fails.
	failed := 0
	w := newWorker(7, 0, time.Unix(1e9, 0), func(s *ringtail.Span) error {
		if s.Status.Code == codes.Error {
			failed++
		}
		return nil
	})
	if w.work(context.Background(), 500); failed == 0 {
		t.Error("nothing fails")
	}
}

func TestChooseShowsDifferentTraces(t *testing.T) {
	var g gallery
	g.traces = map[trace.TraceID][]*ringtail.Span{}
	for i := range 4 {
		w := newWorker(11, i, time.Unix(1e9, 0), func(s *ringtail.Span) error {
			g.traces[s.TraceID] = append(g.traces[s.TraceID], s)
			return nil
		})
		w.work(context.Background(), 50)
	}
	var names []string
	spans := 0
	for _, tr := range choose(g.ordered()) {
		names = append(names, tr[0].Name)
		spans += len(tr)
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != shownTraces || spans > shownSpans {
		t.Errorf("%v, %d spans", names, spans)
	}
}
