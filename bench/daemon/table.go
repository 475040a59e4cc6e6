package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// spread is what the table says of several runs.
type spread struct{ median, least, greatest float64 }

func (c *ContenderResult) spread(metric string) (s spread, ok bool) {
	var v []float64
	for _, r := range c.Runs {
		if x, ok := r[metric]; ok {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return s, false
	}
	slices.Sort(v)
	mid := v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return spread{mid, v[0], v[len(v)-1]}, true
}

func (s spread) String() string {
	if s.least == s.greatest {
		return number(s.median)
	}
	return fmt.Sprintf("%s (%s – %s)", number(s.median), number(s.least), number(s.greatest))
}

// number writes three digits that count, or all digits before the point, in groups.
func number(v float64) string {
	switch a := max(v, -v); {
	case a >= 10_000:
		digits := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
			digits = digits[:i] + " " + digits[i:]
		}
		return digits
	case a >= 100 || a == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a < 0.0005:
		return "0"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// line is a run in a line.
func (m Metrics) line(first string, rest []string) string {
	var parts []string
	for _, name := range append([]string{first}, rest...) {
		if v, ok := m[name]; ok {
			parts = append(parts, number(v)+" "+name)
		}
	}
	return strings.Join(parts, ", ")
}

// markdown is the table of a recording, with what is needed to read it.
func (rec *Recording) markdown() string {
	var b strings.Builder
	m := rec.Machine
	fmt.Fprintf(&b, "`%s` in `bench/`, %s, commit %s, %s %s, %s, %d cores, of which each process may use %d, Linux %s, logs on %s; load average %s before and %s after.",
		rec.Command, rec.Date.Format("2 January 2006"), rec.Commit, rec.Go, m.Platform, m.CPU, m.Cores, m.Processors, m.Kernel, m.FileSystem,
		loadAverage(m.LoadBefore), loadAverage(m.LoadAfter))
	if rec.Collector != "" {
		fmt.Fprintf(&b, " OpenTelemetry Collector %s.", rec.Collector)
	}
	if rec.Quick {
		b.WriteString(" **A quick run: it shows that everything runs, and its figures mean nothing.**")
	}
	b.WriteString(" Median (least – greatest) of the rounds. “×” is how many times better than the Collector in the same row; below 1" +
		" the Collector is better, and it stands in bold.\n\n")
	b.WriteString("| work and bar | who | result | × | also |\n|---|---|---|---|---|\n")
	for i := range rec.Rows {
		rec.Rows[i].write(&b, false)
	}
	b.WriteString("\nWhat makes it fair, or not:\n\n")
	for i, r := range rec.Rows {
		if i > 0 && rec.Rows[i-1].Fair == r.Fair {
			continue
		}
		names := r.Name
		for _, next := range rec.Rows[i+1:] {
			if next.Fair != r.Fair {
				break
			}
			names += ", " + next.Name
		}
		fmt.Fprintf(&b, "- **%s**: %s\n", names, r.Fair)
	}
	return b.String()
}

// summary is the table in short, for the README.
func (rec *Recording) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %s, %d cores, commit %s, OpenTelemetry Collector %s; medians. “×” is how many times better than the Collector."+
		" [bench/daemon/RESULTS.md](bench/daemon/RESULTS.md) has the spread, memory, what makes each row fair, and how it was measured.\n\n",
		rec.Date.Format("2 January 2006"), rec.Go, rec.Machine.CPU, rec.Machine.Cores, rec.Commit, rec.Collector)
	if rec.Quick {
		b.WriteString("**A quick run: it shows that everything runs, and its figures mean nothing.**\n\n")
	}
	b.WriteString("| work | who | result | × |\n|---|---|---|---|\n")
	for i := range rec.Rows {
		rec.Rows[i].write(&b, true)
	}
	return b.String()
}

// loadAverage is the first of the three, over a minute.
func loadAverage(line string) string {
	first, _, _ := strings.Cut(line, " ")
	return cmp.Or(first, "unknown")
}

// write writes a row's lines, one a contender; brief ones have no other metrics.
func (r *RowResult) write(b *strings.Builder, brief bool) {
	for i := range r.Contenders {
		c := &r.Contenders[i]
		work, name := "", c.Name
		if i == 0 {
			work = fmt.Sprintf("**%s** %s<br>Bar: %s — %s", r.Name, r.Work, r.Bar, r.verdict())
		}
		if c.Ours {
			name = "Ringtail: " + name
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |", work, name, c.outcome(r), r.ratio(c))
		if !brief {
			fmt.Fprintf(b, " %s |", c.also(r))
		}
		b.WriteByte('\n')
	}
}

func (c *ContenderResult) outcome(r *RowResult) string {
	if note := cmp.Or(c.Skipped, c.Failed); note != "" {
		note, _, _ = strings.Cut(note, "\n")
		if c.Failed != "" {
			note = "**failed**: " + note
		}
		return strings.ReplaceAll(note, "|", "\\|")
	}
	s, ok := c.spread(r.Metric)
	if !ok {
		return "–"
	}
	return s.String() + " " + r.Metric
}

func (c *ContenderResult) also(r *RowResult) string {
	var parts []string
	for _, m := range r.Also {
		if s, ok := c.spread(m); ok {
			parts = append(parts, number(s.median)+" "+m)
		}
	}
	return strings.Join(parts, ", ")
}

func (r *RowResult) median(contender, metric string) (v float64, ok bool) {
	for i := range r.Contenders {
		if c := &r.Contenders[i]; c.Name == contender && c.Failed == "" {
			s, ok := c.spread(metric)
			return s.median, ok
		}
	}
	return 0, false
}

// ratio is how many times better than the rival a contender is.
func (r *RowResult) ratio(c *ContenderResult) string {
	got, ok1 := r.median(c.Name, r.Metric)
	rival, ok2 := r.median(r.Rival, r.Metric)
	if c.Name == r.Rival || !ok1 || !ok2 || got <= 0 || rival <= 0 {
		return ""
	}
	times := rival / got
	if r.More {
		times = 1 / times
	}
	if times < 1 {
		return "**" + number(times) + "**"
	}
	return number(times)
}

// verdict says whether the bar is reached, and by which of its numbers it is not.
func (r *RowResult) verdict() string {
	if len(r.Checks) == 0 {
		return "see figures"
	}
	var missed []string
	for i := range r.Contenders {
		if c := &r.Contenders[i]; c.Ours && c.Failed != "" {
			missed = append(missed, c.Name+": failed")
		}
	}
	for _, c := range r.Checks {
		got, limit, ok := r.judge(c)
		relation := "≤"
		if c.AtLeast {
			relation = "≥"
		}
		switch {
		case !ok:
			missed = append(missed, fmt.Sprintf("%s: %s not measured", c.Contender, c.Metric))
		case c.AtLeast && got < limit, !c.AtLeast && got > limit:
			missed = append(missed, fmt.Sprintf("%s: %s %s, not %s %s", c.Contender, number(got), c.Metric, relation, number(limit)))
		}
	}
	if len(missed) == 0 {
		return "reached"
	}
	return "missed (" + strings.Join(missed, "; ") + ")"
}

// judge returns a check's number and its limit.
func (r *RowResult) judge(c Check) (got, limit float64, ok bool) {
	got, ok = r.median(c.Contender, c.Metric)
	if c.Times == "" || !ok {
		return got, c.Limit, ok
	}
	times, ok := r.median(c.Times, c.Metric)
	return got, c.Limit * times, ok
}

// rewrite puts the table between a file's markers.
func rewrite(path, table string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const begin, end = "<!-- daemon:begin -->", "<!-- daemon:end -->"
	before, rest, ok1 := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no %s followed by %s", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+"\n"+table+end+after), 0o644)
}
