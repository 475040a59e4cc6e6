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

func spreadOf(runs []Metrics, metric string) (s spread, ok bool) {
	var v []float64
	for _, r := range runs {
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

// number writes three digits that count, and all digits before the point.
func number(v float64) string {
	digits := 0
	switch a := max(v, -v); {
	case a == 0 || a >= 100:
	case a >= 10:
		digits = 1
	case a >= 1:
		digits = 2
	case a < 0.0005:
		return "0.000"
	default:
		digits = 3
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// markdown is the table of a recording, with what is needed to read it.
func (rec *Recording) markdown() string {
	var b strings.Builder
	m := rec.Machine
	fmt.Fprintf(&b, "`%s` in `bench/`, %s, commit %s, %s %s, %s, %d cores, of which each run may use %d.",
		rec.Command, rec.Date.Format("2 January 2006"), rec.Commit, rec.Go, m.Platform, m.CPU, m.Cores, m.Processors)
	var modules []string
	for path, version := range rec.Modules {
		modules = append(modules, path+" "+version)
	}
	slices.Sort(modules)
	if len(modules) > 0 {
		fmt.Fprintf(&b, " Rivals: %s.", strings.Join(modules, ", "))
	}
	if rec.Quick {
		b.WriteString(" **A quick run: it shows that everything runs, and its figures mean nothing.**")
	}
	b.WriteString(" Median (least – greatest) of the rounds. “×” is how many times better the first line of a row is" +
		" than this one; below 1 this one is better, and stands in bold. “Recorded elsewhere” was not measured in this run.\n\n")
	b.WriteString("| work | who | result | × | also | recorded elsewhere |\n|---|---|---|---|---|---|\n")
	for i := range rec.Rows {
		rec.Rows[i].write(&b)
	}
	b.WriteString("\nWhat makes it fair:\n\n")
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

// summary is the table that fits a README: who, how much, and how many times.
func (rec *Recording) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %s, %d cores, commit %s; medians. “×” is how many times better Ringtail's first line"+
		" is; where it is below 1, in bold, the other one is better. [bench/RESULTS.md](bench/RESULTS.md) has the spread, the"+
		" allocations, more percentiles, what makes each row fair, and what was recorded elsewhere.\n\n",
		rec.Date.Format("2 January 2006"), rec.Go, rec.Machine.CPU, rec.Machine.Cores, rec.Commit)
	if rec.Quick {
		b.WriteString("**A quick run: it shows that everything runs, and its figures mean nothing.**\n\n")
	}
	details, lost := 0, 0
	b.WriteString("| work and bar | who | result | × |\n|---|---|---|---|\n")
	for _, r := range rec.Rows {
		if r.Detail {
			details++
			if v, _, _ := strings.Cut(r.verdict(), " ("); v == "missed" {
				lost++
			}
			continue
		}
		for i, c := range r.Contenders {
			work, ratio, name := "", "", c.Name
			if i == 0 {
				work = fmt.Sprintf("**%s** %s; %s", r.Name, r.Work, r.Bar)
				if v, _, _ := strings.Cut(r.verdict(), " ("); v == "reached" || v == "missed" {
					work += ": " + v
				}
			} else {
				ratio = r.ratio(&c)
			}
			if c.Ours {
				name = "Ringtail: " + name
			}
			result := cmp.Or(c.Skipped, c.Failed)
			if s, ok := spreadOf(c.Runs, r.Metric); ok {
				result = number(s.median) + " " + r.Metric + r.beyond(&c, r.Metric)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", work, name, result, ratio)
		}
	}
	if details > 0 {
		fmt.Fprintf(&b, "\n%d more rows are in RESULTS.md only; %d of them miss their bar.\n", details, lost)
	}
	return b.String()
}

// write writes a row's lines, one a contender. The first contender is what the
// others are compared with.
func (r *RowResult) write(b *strings.Builder) {
	for i, c := range r.Contenders {
		work := ""
		if i == 0 {
			work = fmt.Sprintf("**%s** %s", r.Name, r.Work)
			if r.Bar != "" {
				work += fmt.Sprintf("<br>Bar: %s — %s", r.Bar, r.verdict())
			}
		}
		result, ratio := c.outcome(r), ""
		if i > 0 {
			ratio = r.ratio(&c)
		}
		name := c.Name
		if c.Ours {
			name = "Ringtail: " + name
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", work, name, result, ratio, c.also(r), c.Recorded)
	}
}

func (c *ContenderResult) outcome(r *RowResult) string {
	if note := cmp.Or(c.Skipped, c.Failed); note != "" {
		note, _, _ = strings.Cut(note, "\n")
		return strings.ReplaceAll(note, "|", "\\|")
	}
	s, ok := spreadOf(c.Runs, r.Metric)
	if !ok {
		return "–"
	}
	return s.String() + " " + r.Metric + r.beyond(c, r.Metric)
}

func (c *ContenderResult) also(r *RowResult) string {
	var parts []string
	for _, m := range r.Also {
		if s, ok := spreadOf(c.Runs, m); ok {
			parts = append(parts, number(s.median)+" "+m+r.beyond(c, m))
		}
	}
	return strings.Join(parts, ", ")
}

// beyond says how far a metric is from that of the contender that is no cost.
func (r *RowResult) beyond(c *ContenderResult, metric string) string {
	base, ok1 := r.median(r.Over, metric)
	got, ok2 := c.median(metric)
	if r.Over == "" || c.Name == r.Over || !ok1 || !ok2 {
		return ""
	}
	sign := "+"
	if got < base {
		sign = "−"
	}
	return " (" + sign + number(max(got-base, base-got)) + ")"
}

func (r *RowResult) median(contender, metric string) (v float64, ok bool) {
	for i := range r.Contenders {
		if c := &r.Contenders[i]; c.Name == contender {
			return c.median(metric)
		}
	}
	return 0, false
}

func (c *ContenderResult) median(metric string) (v float64, ok bool) {
	s, ok := spreadOf(c.Runs, metric)
	return s.median, ok
}

func (r *RowResult) ratio(c *ContenderResult) string {
	better, ok1 := r.Contenders[0].median(r.Metric)
	worse, ok2 := c.median(r.Metric)
	if r.Over != "" {
		base, ok := r.median(r.Over, r.Metric)
		better, worse, ok1 = better-base, worse-base, ok1 && ok
	}
	if r.More {
		better, worse = worse, better
	}
	if r.Alone || c.Ours || !ok1 || !ok2 || better <= 0 || worse <= 0 {
		return ""
	}
	times := worse / better
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
	for _, c := range r.Checks {
		got, limit, ok := r.judge(c)
		relation := "≤"
		if c.AtLeast {
			relation = "≥"
		}
		metric := c.Metric
		if c.Over != "" {
			metric += " beyond “" + c.Over + "”"
		}
		switch {
		case !ok:
			missed = append(missed, fmt.Sprintf("%s %s: not measured", c.Contender, c.Metric))
		case c.AtLeast && got < limit, !c.AtLeast && got > limit:
			missed = append(missed, fmt.Sprintf("%s: %s %s, not %s %s", c.Contender, number(got), metric, relation, number(limit)))
		}
	}
	if len(missed) == 0 {
		return "reached"
	}
	return "missed (" + strings.Join(missed, "; ") + ")"
}

// judge returns a check's number and its limit.
func (r *RowResult) judge(c Check) (got, limit float64, ok bool) {
	limit = c.Limit
	got, ok = r.median(c.Contender, c.Metric)
	if c.Times == "" || !ok {
		return got, limit, ok
	}
	times, ok := r.median(c.Times, c.Metric)
	if c.Over != "" && ok {
		var base float64
		base, ok = r.median(c.Over, c.Metric)
		got, times = got-base, times-base
	}
	return got, limit * times, ok
}

// rewrite puts the table between a file's markers of that kind.
func rewrite(path, kind, table string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+kind+":begin -->", "<!-- "+kind+":end -->"
	before, rest, ok1 := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no %s followed by %s", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+"\n"+table+end+after), 0o644)
}
