// Daemon measures Ringtail's daemon and the OpenTelemetry Collector at the same work in
// the same run: OTLP in, OTLP out, each as a process, between the same load generator and
// the same counting sink.
//
//	cd bench
//	go run ./daemon                             everything, three rounds, about twelve minutes
//	go run ./daemon -rows '^pass/' -rounds 1    some of it
//	go run ./daemon -quick                      everything once, tiny: does it run?
//	go run ./daemon -rivals=false               without the Collector, whose first build takes minutes
//	go run ./daemon -results daemon/RESULTS.md  … and rewrite the table there
//	go run ./daemon -readme ../README.md        … and, in short, in the README
//	go run ./daemon -from results/daemon.json   the table of a recording
//
// Runs are interleaved, A B A B …, and the table gives median, least and greatest of the
// rounds. What was measured is recorded with the command, the machine, the versions and the
// date, and the table is made from that recording and nothing else.
//
// Nothing here fails because it is slow. It does fail when work is done wrongly: a
// span that was acknowledged and did not arrive, a refusal that cannot be sent again, a
// process that ends with an error.
//
// It reads /proc, and so runs on Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/daemon:", err)
		os.Exit(1)
	}
}

// options say what to measure.
type options struct {
	quick, rivals bool
	rounds        int
	rows, dir     string
}

func run() error {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "every row once with hardly any work, to see that it runs")
	flag.BoolVar(&o.rivals, "rivals", true, "measure the OpenTelemetry Collector too")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each contender runs")
	flag.StringVar(&o.rows, "rows", "", "run only the rows whose name matches this regular expression")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "keep logs in a new directory in this one, which should be on a disk with 14 GB to spare")
	raw := flag.String("raw", "", "record the results in this file (default results/daemon.json, for a run of all rows)")
	results := flag.String("results", "", "rewrite the table in this file, between <!-- daemon:begin --> and <!-- daemon:end -->")
	readme := flag.String("readme", "", "rewrite the table, in short, in this file, likewise")
	from := flag.String("from", "", "run nothing; make the table from this recording")
	relayTo := flag.String("relay", "", "internal: be a relay to this address")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *relayTo != "" {
		return runRelay(*relayTo)
	}

	var rec *Recording
	var failed error
	if *from != "" {
		var err error
		if rec, err = readRecording(*from); err != nil {
			return err
		}
	} else {
		if rec, failed = measure(o); rec == nil {
			return failed
		}
		if *raw == "" && !o.quick && o.rows == "" {
			*raw = filepath.Join("results", "daemon.json")
		}
		if *raw != "" {
			if err := rec.write(*raw); err != nil {
				return errors.Join(failed, err)
			}
			fmt.Fprintln(os.Stderr, "recorded in", *raw)
		}
	}
	if *results == "" && *readme == "" {
		fmt.Print(rec.markdown())
		return failed
	}
	if failed != nil {
		return fmt.Errorf("%w; the tables are left as they were", failed)
	}
	if *results != "" {
		if err := rewrite(*results, rec.markdown()); err != nil {
			return err
		}
	}
	if *readme != "" {
		return rewrite(*readme, rec.summary())
	}
	return nil
}

// measure runs the rows. With an error, the recording, unless it is nil, has what was
// measured nevertheless.
func measure(o options) (*Recording, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("what processes cost is read from /proc, which %s has not: run it on Linux", runtime.GOOS)
	}
	if o.quick {
		o.rounds = 1
	}
	if o.rounds < 1 {
		return nil, fmt.Errorf("-rounds %d: want 1 or more", o.rounds)
	}
	pattern, err := regexp.Compile(o.rows)
	if err != nil {
		return nil, fmt.Errorf("-rows: %w", err)
	}
	rows := slices.DeleteFunc(rows(), func(r Row) bool { return !pattern.MatchString(r.Name) })
	if len(rows) == 0 {
		return nil, fmt.Errorf("no row matches %q", o.rows)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBed(ctx, o)
	if err != nil {
		return nil, err
	}
	defer b.close()

	rec := newRecording(b)
	var failures []error
	for _, row := range rows {
		result, errs := b.row(row)
		rec.Rows = append(rec.Rows, result)
		failures = append(failures, errs...)
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
	}
	rec.finish()
	return rec, errors.Join(failures...)
}

// row runs the contenders of a row in turn.
func (b *bed) row(row Row) (RowResult, []error) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", row.Name, row.Work)
	result := RowResult{Description: row.Description}
	for _, c := range row.Contenders {
		r := ContenderResult{Name: c.Name, Ours: c.Ours}
		if c.Rival && !b.rivals {
			r.Skipped = "not run (-rivals=false)"
		}
		result.Contenders = append(result.Contenders, r)
	}
	var failures []error
	rounds := b.rounds
	if row.Rounds > 0 {
		rounds = min(rounds, row.Rounds)
	}
	for range rounds {
		for i, c := range row.Contenders {
			r := &result.Contenders[i]
			if r.Skipped != "" || r.Failed != "" || b.ctx.Err() != nil {
				continue
			}
			m, err := b.once(c)
			if err != nil {
				r.Failed = err.Error()
				failures = append(failures, fmt.Errorf("%s, %s: %w", row.Name, c.Name, err))
				continue
			}
			fmt.Fprintf(os.Stderr, "  %-50s %s\n", c.Name, m.line(row.Metric, row.Also))
			r.Runs = append(r.Runs, m)
		}
	}
	return result, failures
}

// once runs a contender, in a new directory that is removed afterwards.
func (b *bed) once(c Contender) (Metrics, error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return nil, err
	}
	s := &stage{bed: b, dir: dir}
	defer s.clear()
	return c.Run(s)
}
