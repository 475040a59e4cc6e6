// Bench measures Ringtail and its rivals at the same work in the same run.
//
//	go run .                                    everything, five rounds
//	go run . -rows '^submit/' -rounds 3         some of it
//	go run . -quick                             everything once, tiny: does it run?
//	go run . -soak                              100 million spans through 16 rings
//	go run . -readme ../README.md               … and rewrite the README's table
//	go run . -from results/x.json               the table of a recording
//	go run . -profile /tmp/profiles             … with a CPU profile of every run
//
// Every run of every contender is a process of its own with two processors, so
// that no one inherits another's heap. Runs are interleaved, A B A B …, and the
// table gives median, least and greatest of the rounds. What the processes printed is
// recorded with the command, the machine, the versions and the date, and the table is
// made from that recording and nothing else.
//
// Nothing here fails because it is slow. It does fail when work is done
// wrongly: spans that do not arrive, values that do not add up.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "every row once with hardly any work, to see that it runs; records nothing unless -raw is given")
	flag.BoolVar(&o.soak, "soak", false, "only the soak row, once, with -spans spans")
	flag.IntVar(&o.spans, "spans", 100_000_000, "how many spans a soak submits")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each contender runs")
	flag.StringVar(&o.rows, "rows", "", "run only the rows whose name matches this regular expression")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of every run into this directory (figures are then those of a profiled program)")
	raw := flag.String("raw", "", "record the results in this file (default results/bench-<date>.json, or soak-<date>.json)")
	readme := flag.String("readme", "", "rewrite the table in this file and, in full, in RESULTS.md, between <!-- bench:begin --> and <!-- bench:end --> (with -soak: soak:begin and soak:end)")
	from := flag.String("from", "", "run nothing; make the table from this recording")
	role := flag.String("role", "", "internal: what this process is for")
	contender := flag.String("contender", "", "internal: the contender to run")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}

	switch *role {
	case "":
	case "run":
		return runRole(o, *contender)
	case "sink":
		return sinkRole()
	case "load":
		return loadRole()
	default:
		return fmt.Errorf("unknown role %q", *role)
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
		if *raw == "" && !o.quick {
			*raw = filepath.Join("results", rec.Kind+"-"+rec.Date.Format("20060102-150405")+".json")
		}
		if *raw != "" {
			if err := rec.write(*raw); err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, "recorded in", *raw)
		}
	}
	if *readme == "" {
		fmt.Print(rec.markdown())
		return failed
	}
	if failed != nil {
		return fmt.Errorf("%w; %s is left as it was", failed, *readme)
	}
	if err := rewrite("RESULTS.md", rec.Kind, rec.markdown()); err != nil {
		return err
	}
	return rewrite(*readme, rec.Kind, rec.summary())
}

// runRole is the process that does one contender's work once.
func runRole(o options, name string) error {
	rows, err := matching("^" + o.rows + "$")
	if err != nil || len(rows) != 1 {
		return fmt.Errorf("no row %q", o.rows)
	}
	for _, c := range rows[0].Contenders {
		if c.Name != name || c.Run == nil {
			continue
		}
		if o.profile != "" {
			f, err := os.Create(o.profile)
			if err != nil {
				return err
			}
			if err := pprof.StartCPUProfile(f); err != nil {
				return err
			}
		}
		m, err := c.Run(o.job())
		pprof.StopCPUProfile()
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(m)
	}
	return fmt.Errorf("row %s has no contender %q", o.rows, name)
}

// profileName makes a file name of a run.
func profileName(dir, row, contender string, round int) string {
	clean := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.':
			return r
		}
		return '-'
	}
	return filepath.Join(dir, fmt.Sprintf("%s.%s.%d.pprof", strings.Map(clean, row), strings.Map(clean, contender), round))
}

// runLimit ends a run that hangs.
func (o options) runLimit() time.Duration {
	if o.soak {
		return time.Hour
	}
	return 5 * time.Minute
}
