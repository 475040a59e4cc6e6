package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the flags that say what to measure.
type options struct {
	quick, soak   bool
	spans, rounds int
	rows, profile string
}

func (o options) job() *Job {
	j := &Job{Quick: o.quick}
	if o.soak {
		j.Soak = o.spans
	}
	return j
}

// processors is how many every run may use: figures for two goroutines mean two
// cores, on larger machines too.
func processors() int { return min(2, runtime.NumCPU()) }

// measure runs the rows. With an error, the recording, unless it is nil, has what
// was measured nevertheless.
func measure(o options) (*Recording, error) {
	rec := newRecording("bench")
	if rec.Quick = o.quick; o.quick {
		o.rounds = 1
	}
	if o.soak {
		rec.Kind, o.rounds, o.rows = "soak", 1, "^"+soakRow+"$"
	}
	rows, err := matching(o.rows)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no row matches %q", o.rows)
	}
	if o.rounds < 1 {
		return nil, fmt.Errorf("-rounds %d: want 1 or more", o.rounds)
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return nil, err
		}
	}
	var failures []error
	for _, row := range rows {
		fmt.Fprintf(os.Stderr, "%s: %s\n", row.Name, row.Work)
		result := RowResult{Description: row.Description}
		var runs []func(round int) (Metrics, error)
		for _, c := range row.Contenders {
			run, missing := runner(o, row.Name, c)
			runs = append(runs, run)
			result.Contenders = append(result.Contenders,
				ContenderResult{Name: c.Name, Ours: c.Ours, Recorded: c.Recorded, Skipped: missing})
		}
		rounds := o.rounds
		if row.Rounds > 0 {
			rounds = min(rounds, row.Rounds)
		}
		for round := 1; round <= rounds; round++ {
			for i, run := range runs {
				c := &result.Contenders[i]
				if c.Skipped != "" || c.Failed != "" {
					continue
				}
				m, err := run(round)
				if err != nil {
					c.Failed = err.Error()
					failures = append(failures, fmt.Errorf("%s, %s: %w", row.Name, c.Name, err))
					continue
				}
				fmt.Fprintf(os.Stderr, "  %-60s %s %s\n", c.Name, number(m[row.Metric]), row.Metric)
				c.Runs = append(c.Runs, m)
			}
		}
		rec.Rows = append(rec.Rows, result)
	}
	rec.Seconds = time.Since(rec.Date).Round(time.Second).Seconds()
	return rec, errors.Join(failures...)
}

// runner returns the function that runs a contender once, or why it cannot.
func runner(o options, row string, c Contender) (run func(round int) (Metrics, error), missing string) {
	if c.Command != nil {
		argv, missing := c.Command(o.quick)
		return func(int) (Metrics, error) { return runProcess(o, argv) }, missing
	}
	return func(round int) (Metrics, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		argv := []string{self, "-role=run", "-rows=" + row, "-contender=" + c.Name,
			"-quick=" + strconv.FormatBool(o.quick), "-soak=" + strconv.FormatBool(o.soak), "-spans=" + strconv.Itoa(o.spans)}
		if o.profile != "" {
			argv = append(argv, "-profile="+profileName(o.profile, row, c.Name, round))
		}
		return runProcess(o, argv)
	}, ""
}

// runProcess runs a program that prints its metrics.
func runProcess(o options, argv []string) (Metrics, error) {
	ctx, cancel := context.WithTimeout(context.Background(), o.runLimit())
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = &stderr
	cmd.Env = append(cleanEnv(), "GOMAXPROCS="+strconv.Itoa(processors()))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	if stderr.Len() > 0 {
		// Something complained, and was not an error to itself: spans that could not be
		// sent, say.
		return nil, fmt.Errorf("it printed: %s", strings.TrimSpace(stderr.String()))
	}
	var m Metrics
	if err := json.Unmarshal(out, &m); err != nil {
		return nil, fmt.Errorf("cannot read its metrics %q: %w", out, err)
	}
	return m, nil
}

// cleanEnv is the environment without what would configure one of the contenders.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "OTEL_") || strings.HasPrefix(v, "GOGC=") ||
			strings.HasPrefix(v, "GODEBUG=") || strings.HasPrefix(v, "GOMEMLIMIT=") || strings.HasPrefix(v, "GOMAXPROCS=")
	})
}
