package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is a recording with everything that a table can show.
func sample() *Recording {
	return &Recording{
		Kind: "bench", Command: "go run .", Commit: "abc", Go: "go1.0",
		Rows: []RowResult{{
			Description: Description{
				Name: "x/y", Work: "work", Bar: "≤ 40 ns", Fair: "same work.", Metric: "ns/op", Also: []string{"allocs/op"},
				Checks: []Check{
					{Contender: "a", Metric: "ns/op", Limit: 40},
					{Contender: "b", Metric: "ns/op", AtLeast: true, Limit: 2, Times: "a"},
				},
			},
			Contenders: []ContenderResult{
				{Name: "a", Ours: true, Runs: []Metrics{{"ns/op": 10, "allocs/op": 0}, {"ns/op": 30}, {"ns/op": 20}}},
				{Name: "b", Runs: []Metrics{{"ns/op": 100}}, Recorded: "99 ns"},
				{Name: "c", Runs: []Metrics{{"ns/op": 10}}},
				{Name: "d", Skipped: "cargo not found"},
				{Name: "e", Failed: "lost | spans\nand more"},
			},
		}},
	}
}

func TestTable(t *testing.T) {
	got := sample().markdown()
	for _, want := range []string{
		"| **x/y** work<br>Bar: ≤ 40 ns — reached | Ringtail: a | 20.0 (10.0 – 30.0) ns/op |  | 0 allocs/op |  |",
		"|  | b | 100 ns/op | 5.00 |  | 99 ns |",
		"|  | c | 10.0 ns/op | **0.500** |  |  |",
		"|  | d | cargo not found |",
		`|  | e | lost \| spans |`,
		"- **x/y**: same work.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestSummary(t *testing.T) {
	got := sample().summary()
	for _, want := range []string{
		"| **x/y** work; ≤ 40 ns: reached | Ringtail: a | 20.0 ns/op |  |",
		"|  | b | 100 ns/op | 5.00 |",
		"|  | c | 10.0 ns/op | **0.500** |",
		"|  | d | cargo not found |  |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

// A row that is a detail is not in the README, but said to be there, and lost if it is.
func TestSummaryLeavesDetailsOut(t *testing.T) {
	rec := sample()
	rec.Rows[0].Detail, rec.Rows[0].Checks[0].Limit = true, 19
	if got := rec.summary(); strings.Contains(got, "x/y") || !strings.Contains(got, "\n1 more rows are in RESULTS.md only; 1 of them miss their bar.\n") {
		t.Errorf("got:\n%s", got)
	}
	if !strings.Contains(rec.markdown(), "x/y") {
		t.Error("it is not in the full table either")
	}
}

func TestVerdict(t *testing.T) {
	r := sample().Rows[0]
	r.Checks[0].Limit = 19
	r.Checks[1].Limit = 6
	r.Checks = append(r.Checks, Check{Contender: "d", Metric: "ns/op", Limit: 1})
	want := "missed (a: 20.0 ns/op, not ≤ 19.0; b: 100 ns/op, not ≥ 120; d ns/op: not measured)"
	if got := r.verdict(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRatioWhenMoreIsBetter(t *testing.T) {
	r := RowResult{
		Description: Description{Metric: "M/s", More: true},
		Contenders:  []ContenderResult{{Runs: []Metrics{{"M/s": 50}}}, {Runs: []Metrics{{"M/s": 25}}}},
	}
	if got := r.ratio(&r.Contenders[1]); got != "2.00" {
		t.Errorf("got %q, want 2.00", got)
	}
}

// Where one contender is no cost, the others are compared, and judged, by what they
// have beyond it.
func TestRatioBeyondTheContenderThatIsNoCost(t *testing.T) {
	r := RowResult{
		Description: Description{
			Name: "x/y", Work: "work", Bar: "a fifth", Metric: "µs", Also: []string{"per s"}, Over: "none",
			Checks: []Check{{Contender: "a", Metric: "µs", Limit: 0.2, Times: "b", Over: "none"}},
		},
		Contenders: []ContenderResult{
			{Name: "a", Ours: true, Runs: []Metrics{{"µs": 12, "per s": 80}}},
			{Name: "b", Runs: []Metrics{{"µs": 30}}},
			{Name: "floor", Runs: []Metrics{{"µs": 11}}},
			{Name: "none", Runs: []Metrics{{"µs": 10, "per s": 100}}},
		},
	}
	var b strings.Builder
	r.write(&b)
	for _, want := range []string{
		"Bar: a fifth — reached | Ringtail: a | 12.0 µs (+2.00) |  | 80.0 per s (−20.0) |  |",
		"|  | b | 30.0 µs (+20.0) | 10.0 |",
		"|  | floor | 11.0 µs (+1.00) | **0.500** |",
		"|  | none | 10.0 µs |  | 100 per s |  |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
	r.Contenders[1].Runs[0]["µs"] = 15
	if got, want := r.verdict(), "missed (a: 2.00 µs beyond “none”, not ≤ 1.00)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Contenders = r.Contenders[:3]
	if got, want := r.verdict(), "missed (a µs: not measured)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := r.ratio(&r.Contenders[1]); got != "" {
		t.Errorf("a ratio of %s without the contender that is no cost", got)
	}
}

// A recording that was written and read again gives the same table.
func TestRecordingCarriesTheTable(t *testing.T) {
	rec := sample()
	path := filepath.Join(t.TempDir(), "results", "x.json")
	if err := rec.write(path); err != nil {
		t.Fatal(err)
	}
	again, err := readRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.markdown(), rec.markdown(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(path, []byte("a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nz\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, "bench", "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "a\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nz\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := rewrite(path, "soak", "new\n"); err == nil {
		t.Error("a file without the markers was taken")
	}
}

// A typo in a row would show only after minutes of measuring.
func TestRows(t *testing.T) {
	names := make(map[string]bool)
	for _, r := range rows() {
		if names[r.Name] || r.Work == "" || r.Fair == "" || r.Metric == "" || len(r.Contenders) == 0 {
			t.Errorf("row %q lacks something, or comes twice", r.Name)
		}
		names[r.Name] = true
		contenders := make(map[string]bool)
		for _, c := range r.Contenders {
			if contenders[c.Name] || (c.Run == nil) == (c.Command == nil) {
				t.Errorf("row %s: contender %q comes twice, or has not one way to run", r.Name, c.Name)
			}
			contenders[c.Name] = true
		}
		if !r.Contenders[0].Ours {
			t.Errorf("row %s: ratios refer to a rival", r.Name)
		}
		for _, c := range r.Checks {
			if !contenders[c.Contender] || c.Times != "" && !contenders[c.Times] || c.Over != "" && !contenders[c.Over] {
				t.Errorf("row %s: a check names nobody: %+v", r.Name, c)
			}
		}
		if r.Over != "" && !contenders[r.Over] {
			t.Errorf("row %s: no contender %q", r.Name, r.Over)
		}
	}
	if !names[soakRow] {
		t.Errorf("no row %s", soakRow)
	}
}
