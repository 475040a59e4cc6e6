package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
)

// stress is one run of the load generator.
type stress struct {
	exportFlags
	producers  int
	duration   time.Duration
	spans      uint64
	rate       float64
	attributes int
	ringBits   int
	try        bool
	grace      time.Duration

	out  page
	live *liveLine // on standard error
	log  *slog.Logger
}

// blockSpans is how many submits are timed together at most: a clock that is read twice
// for each would take longer than the submit.
const blockSpans = 64

// blockSize returns how many submits are timed together, and come at once, when a
// producer makes so many spans a second; 0 is no limit. There are twenty blocks a second
// or more, so that a low rate is even too.
func blockSize(rate float64) int {
	if rate == 0 {
		return blockSpans
	}
	return int(min(max(rate/20, 1), blockSpans))
}

func newStress() *cobra.Command {
	var s stress
	cmd := &cobra.Command{
		Use:   "stress [flags]",
		Short: "Submit spans as fast as it goes, and measure",
		Long: `Stress lets producers submit spans as fast as they can, or at a steady rate,
and reports how many spans a second, how long a submit took, and the ledger.

A producer whose ring is full waits (Submit), so that nothing is lost and the
exporters set the pace; with --try it does not (TrySubmit), and what does not
fit is dropped and counted. Ctrl-C ends it early: what was submitted is still
delivered. A second Ctrl-C leaves at once, and says what was not.

` + exportHelp + `

Exit codes: 0 every span arrived, 1 spans were lost, 2 wrong usage.`,
		Example: `  ringtail stress
  ringtail stress --producers 2 --duration 1m --attributes 10
  ringtail stress --spans 1000000 --export otlp-grpc=127.0.0.1:4317
  ringtail stress --rate 50000 --try --export otlp-http=http://127.0.0.1:4318`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.out, s.live = newPage(cmd.OutOrStdout()), newLiveLine(cmd.ErrOrStderr())
			s.log = slog.New(slog.NewTextHandler(s.live, nil))
			s.limit(cmd.Flags())
			return s.run(cmd.Context())
		},
	}
	s.add(cmd, "null")
	flags := cmd.Flags()
	flags.IntVar(&s.producers, "producers", runtime.GOMAXPROCS(0), "`N` goroutines that submit, each with a ring of its own")
	flags.DurationVar(&s.duration, "duration", 10*time.Second, "submit for `TIME`; 0, and the default with --spans: no limit")
	flags.Uint64Var(&s.spans, "spans", 0, "stop after `N` spans, all producers together; 0: no limit")
	flags.Float64Var(&s.rate, "rate", 0, "`N` spans a second, all producers together; 0: as fast as it goes")
	flags.IntVar(&s.attributes, "attributes", 5, "`N` attributes a span")
	flags.IntVar(&s.ringBits, "ring-bits", 13, "rings of 2^`N` × 256 bytes")
	flags.BoolVar(&s.try, "try", false, "drop what does not fit at once, instead of waiting")
	flags.DurationVar(&s.grace, "shutdown-timeout", 30*time.Second, "wait at most `TIME` for the exporters at the end")
	return cmd
}

// limit lets a number of spans that was asked for take the time that it takes.
func (s *stress) limit(flags *pflag.FlagSet) {
	if s.spans > 0 && !flags.Changed("duration") {
		s.duration = 0
	}
}

func (s *stress) validate() error {
	switch {
	case s.producers < 1 || s.producers > 4096:
		return usagef("--producers is %d: want 1 to 4096", s.producers)
	case s.duration < 0:
		return usagef("--duration is %v: want 0 or more", s.duration)
	case s.attributes < 0 || s.attributes > 128:
		return usagef("--attributes is %d: want 0 to 128", s.attributes)
	case s.ringBits < 6 || s.ringBits > 22:
		return usagef("--ring-bits is %d: want 6 to 22", s.ringBits)
	case s.grace <= 0:
		return usagef("--shutdown-timeout is %v: want more than 0", s.grace)
	}
	return checkRate(s.rate)
}

// A result is what was measured.
type result struct {
	stats   ringtail.Stats
	took    time.Duration // of the submitting
	drained time.Duration // of delivering the rest
	latency histogram
	memory  uint64 // the most, in bytes
	cut     bool   // Ctrl-C
}

func (s *stress) run(ctx context.Context) error {
	if err := s.validate(); err != nil {
		return err
	}
	targets, err := s.targets()
	if err != nil {
		return err
	}
	w := s.out.Writer
	out, err := s.open(targets, w, s.log, func() ringtail.Exporter { return export.NewWriter(w) })
	if err != nil {
		return err
	}
	for _, t := range targets {
		if t.kind == "stdout" || t.flag == "json=-" {
			s.out = s.live.page // so that the summary is not mixed with the spans
		}
	}
	polite, force, stop := interrupted(ctx)
	defer stop()
	r, err := s.load(polite, force, out)
	if err != nil {
		return err
	}
	s.print(r, out)
	if lost := out.lost(r.stats) - s.refused(r); lost > 0 {
		return fmt.Errorf("%s did not arrive%s", plural(lost, "span"), remedy(r.stats, out))
	}
	return nil
}

// refused is what --try asks to refuse.
func (s *stress) refused(r *result) uint64 {
	if !s.try {
		return 0
	}
	return r.stats.Dropped.Of(ringtail.ReasonFull)
}

// load submits, and delivers what was submitted.
func (s *stress) load(polite, force context.Context, out *outlet) (*result, error) {
	c, err := ringtail.New(out, ringtail.WithRingBits(s.ringBits), ringtail.WithMaxProducers(s.producers),
		ringtail.WithResource(shopResource), ringtail.WithLogger(s.log))
	if err != nil {
		return nil, err
	}
	running, ended := context.WithCancel(polite)
	defer ended()
	if s.duration > 0 {
		running, ended = context.WithTimeout(polite, s.duration)
		defer ended()
	}
	r := &result{}
	begun := time.Now()
	watch := s.watch(c, out, r)

	var left atomic.Int64 // spans still to be submitted
	left.Store(int64(min(s.spans, 1<<62)))
	block := blockSize(s.rate / float64(s.producers))
	var submitters sync.WaitGroup
	latencies := make([]histogram, s.producers)
	for i := range s.producers {
		p, err := c.Register()
		if err != nil {
			return nil, err
		}
		submitters.Go(func() {
			defer p.Close()
			sub := submitter{p: p, span: loadSpan(i, s.attributes), try: s.try, latency: &latencies[i],
				pace: newPacer(s.rate / float64(s.producers))}
			for running.Err() == nil {
				n := block
				if s.spans > 0 {
					rest := left.Add(-int64(block)) + int64(block)
					n = int(min(max(rest, 0), int64(block)))
				}
				if n == 0 || sub.block(running, force, n) != nil {
					return
				}
			}
		})
	}
	submitters.Wait()
	r.took = time.Since(begun)
	r.cut = polite.Err() != nil

	ctx, cancel := context.WithTimeout(force, s.grace)
	defer cancel()
	begun = time.Now()
	shutdownErr := c.Shutdown(ctx)
	r.drained = time.Since(begun)
	watch.stop()
	if shutdownErr != nil {
		s.log.Warn(shutdownErr.Error())
	}
	out.settle()
	r.stats = c.Stats()
	for i := range latencies {
		r.latency.add(&latencies[i])
	}
	return r, nil
}

// A submitter is one producer's goroutine.
type submitter struct {
	p       *ringtail.Producer
	span    *ringtail.Span
	number  uint64
	try     bool
	pace    *pacer
	latency *histogram
}

// block submits n spans, at the pace that is due. running ends the pauses; a submit
// that waits is ended by force only, since a span given up would be a span lost.
func (sub *submitter) block(running, force context.Context, n int) error {
	if sub.pace.wait(running, n); running.Err() != nil && sub.pace.interval > 0 {
		return running.Err()
	}
	s := sub.span
	began := time.Now()
	s.Start, s.End = began, began.Add(time.Millisecond)
	for range n {
		sub.number++
		putNumber(s.SpanID[:], sub.number)
		if sub.number%16 == 1 { // a trace has sixteen spans
			putNumber(s.TraceID[8:], sub.number)
		}
		if sub.try {
			if err := sub.p.TrySubmit(s); err != nil && err != ringtail.ErrFull {
				return err
			}
		} else if err := sub.p.Submit(force, s); err != nil {
			return err
		}
	}
	sub.latency.record(time.Since(began), n)
	return nil
}

func putNumber(dst []byte, n uint64) {
	for i := range 8 {
		dst[i] = byte(n >> (8 * i))
	}
}

// loadSpan is the span that a producer submits again and again, with other ids.
// Five attributes make about 220 bytes.
func loadSpan(producer, attributes int) *ringtail.Span {
	s := &ringtail.Span{Name: "GET /products/{id}", Kind: trace.SpanKindServer, Flags: trace.FlagsSampled, Scope: webScope}
	s.TraceID[0], s.TraceID[1], s.TraceID[2] = 1, byte(producer), byte(producer>>8)
	for i := range attributes {
		switch {
		case i < 3:
			s.Attributes = append(s.Attributes, []attribute.KeyValue{
				attribute.String("http.request.method", "GET"),
				attribute.String("http.route", "/products/{id}"),
				attribute.Int("http.response.status_code", 200),
			}[i])
		case i%2 == 1:
			s.Attributes = append(s.Attributes, attribute.String(fmt.Sprintf("app.attribute.%d", i), "a value of some length"))
		default:
			s.Attributes = append(s.Attributes, attribute.Bool(fmt.Sprintf("app.attribute.%d", i), true))
		}
	}
	return s
}

// print prints the summary.
func (s *stress) print(r *result, out *outlet) {
	p := s.out
	row := func(name, value string) { fmt.Fprintf(p, "  %-9s %s\n", name, value) }
	title := "Stress"
	if r.cut {
		title += ", ended by Ctrl-C"
	}
	fmt.Fprintln(p, p.bold(title))
	mode := "waiting while a ring is full (Submit)"
	if s.try {
		mode = "not waiting (TrySubmit)"
	}
	row("load", fmt.Sprintf("%s × %s, %s", plural(s.producers, "producer"), plural(s.attributes, "attribute"), mode))
	row("rate", fmt.Sprintf("%s spans/s for %v, then %v to deliver the rest", brief(float64(r.stats.Submitted)/r.took.Seconds()),
		r.took.Round(10*time.Millisecond), r.drained.Round(time.Millisecond)))
	row("submit", r.latency.String())
	each := "each timed by itself, waiting included"
	if n := blockSize(s.rate / float64(s.producers)); n > 1 {
		each = fmt.Sprintf("each the mean of %d submits in a row, waiting included", n)
	}
	row("", p.dim(each))
	row("memory", fmt.Sprintf("%s in rings, %s at most for the whole process", size(uint64(r.stats.RingBytes)), size(r.memory)))
	fmt.Fprintln(p)
	printLedger(p, r.stats, out, "", s.refused(r))
	if s.refused(r) > 0 {
		p.wrap("  ", "With --try, refused spans (queue_full) are what was asked for, and no failure.")
	}
}

// A watcher shows the progress and samples the memory.
type watcher struct {
	quit chan struct{}
	done chan struct{}
}

func (w *watcher) stop() {
	close(w.quit)
	<-w.done
}

func (s *stress) watch(c *ringtail.Collector, out *outlet, r *result) *watcher {
	w := &watcher{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(w.done)
		defer s.live.clear()
		begun := time.Now()
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		var before uint64
		last := begun
		for {
			r.memory = max(r.memory, processMemory())
			select {
			case <-w.quit:
				return
			case now := <-tick.C:
				if !s.live.due(now) {
					continue
				}
				st := c.Stats()
				rate := float64(st.Submitted-before) / now.Sub(last).Seconds()
				before, last = st.Submitted, now
				s.live.show(s.progress(now.Sub(begun), rate, st, out))
			}
		}
	}()
	return w
}

func (*stress) progress(elapsed time.Duration, rate float64, st ringtail.Stats, out *outlet) string {
	return fmt.Sprintf("%5.1fs  %s spans/s  exported %s  dropped %s  in flight %s", elapsed.Seconds(), brief(rate),
		brief(float64(st.Exported)), brief(float64(out.dropped(st))), brief(float64(out.inFlight(st))))
}
