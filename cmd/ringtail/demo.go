package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringtail-otel/ringtail"
)

// demo is one run of the demo. The zero clock means now.
type demo struct {
	exportFlags
	producers int
	spans     int
	rate      float64
	seed      uint64
	all       bool

	clock  time.Time // when the shop opens
	page   page
	errOut io.Writer
	log    *slog.Logger
}

// What a demo may be asked for. Printed traces are kept until the end.
const (
	maxDemoProducers = 256
	maxDemoSpans     = 100_000
	demoGrace        = 10 * time.Second // for the exporters, at the end
)

func newDemo() *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Watch an instrumented program and its spans",
		Long: `Demo runs a small web shop that is instrumented with spans: 8 workers that make
50 spans each, nested, with attributes, and some of them failing. It shows
whole traces, then what happens when the backend is slower than the program,
and at the end the ledger: what became of every span.

` + exportHelp + `

Exit codes: 0 every span arrived, 1 spans were lost, 2 wrong usage.`,
		Example: `  ringtail demo
  ringtail demo --all | less
  ringtail demo --export stdout --export json=spans.jsonl
  ringtail demo --export otlp-grpc=127.0.0.1:4317 --compression zstd
  ringtail demo --producers 2 --spans 20 --rate 10 --seed 7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.page, d.errOut = newPage(cmd.OutOrStdout()), cmd.ErrOrStderr()
			d.log = slog.New(slog.NewTextHandler(d.errOut, nil))
			if !cmd.Flags().Changed("seed") {
				d.seed = rand.Uint64N(10_000)
			}
			return d.run(cmd.Context())
		},
	}
	d.add(cmd, "stdout")
	flags := cmd.Flags()
	flags.IntVar(&d.producers, "producers", 8, "`N` workers, each with a ring of its own")
	flags.IntVar(&d.spans, "spans", 50, "`N` spans a worker")
	flags.Float64Var(&d.rate, "rate", 0, "`N` spans a second, all workers together; 0: as fast as it goes")
	flags.Uint64Var(&d.seed, "seed", 0, "the same `N` gives the same traces (default random)")
	flags.BoolVar(&d.all, "all", false, "print every trace, not just a few")
	return cmd
}

func (d *demo) validate() error {
	switch {
	case d.producers < 1 || d.producers > maxDemoProducers:
		return usagef("--producers is %d: want 1 to %d", d.producers, maxDemoProducers)
	case d.spans < 1 || d.spans > maxDemoSpans:
		return usagef("--spans is %d: want 1 to %d a producer; for more, see 'ringtail stress'", d.spans, maxDemoSpans)
	}
	return checkRate(d.rate)
}

func checkRate(rate float64) error {
	if !(rate >= 0 && rate <= 1e9) {
		return usagef("--rate is %v: want 0 (as fast as it goes) to 1e9 spans a second", rate)
	}
	return nil
}

func (d *demo) run(ctx context.Context) error {
	if err := d.validate(); err != nil {
		return err
	}
	targets, err := d.targets()
	if err != nil {
		return err
	}
	if d.clock.IsZero() {
		d.clock = time.Now().Add(-5 * time.Second) // so that no span ends in the future
	}
	stdout := d.page.Writer
	if slices.ContainsFunc(targets, func(t target) bool { return t.flag == "json=-" }) {
		d.page = newPage(d.errOut) // so that nothing is mixed with the spans
	}
	var shown gallery
	out, err := d.open(targets, stdout, d.log, func() ringtail.Exporter { return &shown })
	if err != nil {
		return err
	}
	polite, force, stop := interrupted(ctx)
	defer stop()

	fmt.Fprintln(d.page, d.page.bold("A web shop and its spans")+d.page.dim(fmt.Sprintf("  (--seed %d shows it again)", d.seed)))
	d.page.wrap("", fmt.Sprintf("%s × %s. Each worker submits its spans to a ring of its own, without a lock; "+
		"one goroutine drains the rings into batches, and these go to %s.",
		plural(d.producers, "worker"), plural(d.spans, "span"), strings.Join(out.names, " and ")))
	fmt.Fprintln(d.page)

	stats, err := d.play(polite, force, out)
	if err != nil {
		return err
	}
	if shown.used {
		shown.print(d.page, d.all)
	}
	// Not after a failure: that is what should be seen, and exporters may still be logging.
	if polite.Err() == nil && out.lost(stats) == 0 {
		printBackpressure(polite, d.page, d.seed)
	}
	note := fmt.Sprintf("%s × %s", plural(d.producers, "worker"), plural(d.spans, "span"))
	if wanted := uint64(d.producers * d.spans); stats.Submitted < wanted {
		note = fmt.Sprintf("of %s: interrupted", count(wanted))
	}
	printLedger(d.page, stats, out, note, 0)
	if lost := out.lost(stats); lost > 0 {
		return fmt.Errorf("%s did not arrive%s", plural(lost, "span"), remedy(stats, out))
	}
	return nil
}

// play lets the shop's workers work, each with a producer, and returns the ledger.
func (d *demo) play(polite, force context.Context, out *outlet) (ringtail.Stats, error) {
	collector, err := ringtail.New(out, ringtail.LowLatency(), ringtail.WithMaxProducers(d.producers),
		ringtail.WithResource(shopResource), ringtail.WithLogger(d.log))
	if err != nil {
		return ringtail.Stats{}, err
	}
	var workers sync.WaitGroup
	for i := range d.producers {
		producer, err := collector.Register()
		if err != nil {
			return ringtail.Stats{}, err
		}
		pace := newPacer(d.rate / float64(d.producers))
		w := newWorker(d.seed, i, d.clock, func(s *ringtail.Span) error {
			pace.wait(polite, 1)
			return producer.Submit(force, s)
		})
		workers.Go(func() {
			defer producer.Close()
			if err := w.work(polite, d.spans); err != nil && polite.Err() == nil {
				d.log.Error("worker stopped", "worker", i, "error", err)
			}
		})
	}
	workers.Wait()
	if polite.Err() == nil {
		force = polite // there is nothing left to end but the waiting
	}
	ctx, cancel := context.WithTimeout(force, demoGrace)
	defer cancel()
	impatient := time.AfterFunc(time.Second, func() {
		fmt.Fprintf(d.errOut, "Waiting for the exporters, at most %v. Ctrl-C leaves.\n", demoGrace)
	})
	defer impatient.Stop()
	if err := collector.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		d.log.Warn(err.Error())
	}
	out.settle()
	return collector.Stats(), nil
}

// A pacer lets a number of things happen in a second, evenly, and catches up on what
// was missed.
type pacer struct {
	interval float64 // seconds between two; 0: no limit
	start    time.Time
	done     int
	timer    *time.Timer
}

func newPacer(rate float64) *pacer {
	p := &pacer{start: time.Now()}
	if rate > 0 {
		p.interval = 1 / rate
	}
	return p
}

// wait returns when n more may happen, or ctx has ended. At first it waits as long as
// later, so that there are never more than the rate allows.
func (p *pacer) wait(ctx context.Context, n int) {
	if p.interval == 0 {
		return
	}
	p.done += n
	due := p.start.Add(time.Duration(float64(p.done) * p.interval * float64(time.Second)))
	d := time.Until(due)
	if d <= 0 {
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	} else {
		p.timer.Reset(d)
	}
	select {
	case <-p.timer.C:
	case <-ctx.Done():
		p.timer.Stop()
	}
}
