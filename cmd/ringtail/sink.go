package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
	"github.com/ringtail-otel/ringtail/internal/sink"
)

// sinking is one run of the counting receiver.
type sinking struct {
	cfg     sink.Config
	answers []string
	json    bool

	out  page
	live *liveLine // on standard error
}

func newSink() *cobra.Command {
	var s sinking
	cmd := &cobra.Command{
		Use:   "sink [flags]",
		Short: "Receive OTLP, count it, and tell what is missing",
		Long: `Sink receives OTLP traces, over gRPC and HTTP (protobuf and JSON; gzip and zstd),
counts them and forgets them. It is the far end for measuring what sends to it:
it costs little, and it knows the running numbers of 'ringtail load', so that it
tells exactly which spans are missing and which came twice, for each run.

Missing are the numbers up to the highest that did not come. With --acked FILE,
which 'ringtail load --acked FILE' writes, it compares with what was
acknowledged instead: lost is what was promised and did not come.

It can be as bad a backend as you need. --answer takes steps, separated by
commas; given several times, the first that applies to a request is used:
` + sink.AnswerSyntax + `

It reports when it ends: by Ctrl-C or SIGTERM, --exit-after or --exit-idle; as
JSON also on SIGUSR1, to standard output, and at http://HOST:PORT/report.

Exit codes: 0 nothing is lost, 1 spans are lost or something failed, 2 wrong
usage. Duplicates are reported and are no failure: OTLP delivers at least once.`,
		Example: `  ringtail sink
  ringtail sink --exit-after 1000000 --acked acked.txt
  ringtail sink --http off --grpc unix:/tmp/sink.sock
  ringtail sink --answer delay=500ms                       a slow backend
  ringtail sink --answer refuse=unavailable,retry=2s,flap=30s/10s
  ringtail sink --answer half,every=100 --answer refuse=429,every=7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.out, s.live = newPage(cmd.OutOrStdout()), newLiveLine(cmd.ErrOrStderr())
			return s.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&s.cfg.GRPC, "grpc", "127.0.0.1:4317", "receive OTLP/gRPC at HOST:PORT, at unix:`PATH`, or off")
	f.StringVar(&s.cfg.HTTP, "http", "127.0.0.1:4318", "receive OTLP/HTTP at HOST:PORT, at unix:`PATH`, or off")
	f.StringArrayVar(&s.answers, "answer", nil, "treat requests badly, in `STEPS`, see above; repeatable")
	f.BoolVar(&s.cfg.Validate, "validate", false, "check every byte, and refuse what is malformed; costs more")
	f.StringArrayVar(&s.cfg.Acked, "acked", nil, "compare with the acknowledged numbers in `FILE`; repeatable")
	f.Uint64Var(&s.cfg.Spans, "exit-after", 0, "end when `N` different spans have come; 0: do not")
	f.DurationVar(&s.cfg.Idle, "exit-idle", 0, "end when nothing has come for `TIME`, after something had; 0: do not")
	f.BoolVar(&s.json, "json", false, "print the report as JSON")
	return cmd
}

func (s *sinking) validate() error {
	for _, a := range []struct {
		flag string
		addr *string
	}{{"--grpc", &s.cfg.GRPC}, {"--http", &s.cfg.HTTP}} {
		if *a.addr == "off" {
			*a.addr = ""
			continue
		}
		if path, ok := strings.CutPrefix(*a.addr, "unix:"); ok && path != "" {
			continue
		}
		_, port, err := net.SplitHostPort(*a.addr)
		if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 0 || n > 65535 {
			return usagef("%s is %q: want HOST:PORT, as in 127.0.0.1:4317, unix:PATH, or off", a.flag, *a.addr)
		}
	}
	if s.cfg.GRPC == "" && s.cfg.HTTP == "" {
		return usagef("--grpc and --http are both off: there is nothing to receive")
	}
	if s.cfg.Idle < 0 {
		return usagef("--exit-idle is %v: want 0 or more", s.cfg.Idle)
	}
	for _, text := range s.answers {
		a, err := sink.ParseAnswer(text)
		if err != nil {
			return usagef("--answer: %w", err)
		}
		s.cfg.Answers = append(s.cfg.Answers, a)
	}
	return nil
}

// A sinkReport is the engine's and what only the process knows.
type sinkReport struct {
	sink.Report
	Lost       uint64  `json:"spans_lost"`
	CPUSeconds float64 `json:"cpu_seconds"` // of this process, user and system
	CPUPerM    float64 `json:"cpu_seconds_per_million_spans"`
}

func newSinkReport(r sink.Report, before time.Duration) *sinkReport {
	cpu := (cpuTime() - before).Seconds()
	return &sinkReport{r, r.Lost(), cpu, cpu / (float64(max(r.Spans, 1)) / 1e6)}
}

func (s *sinking) run(ctx context.Context) error {
	if err := s.validate(); err != nil {
		return err
	}
	server, err := sink.Listen(s.cfg)
	if err != nil {
		return fmt.Errorf("%w\nIs another receiver running there? Choose another address with --grpc or --http, or off", err)
	}
	polite, _, stop := interrupted(ctx)
	defer stop()
	s.greet(server)
	before := cpuTime()
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(server, before, ended)
	}()
	report, err := server.Run(polite)
	close(ended)
	<-watched
	r := newSinkReport(report, before)
	if s.json {
		err = errors.Join(err, s.printJSON(r, "  "))
	} else {
		s.print(r)
	}
	if r.Lost > 0 {
		err = errors.Join(err, fmt.Errorf("%s lost", plural(r.Lost, "span")))
	}
	return err
}

func (s *sinking) greet(server *sink.Sink) {
	p := s.live.page
	fmt.Fprintln(p, p.bold("ringtail sink")+" receives spans, and counts them")
	if a := server.GRPCAddr(); a != nil {
		fmt.Fprintf(p, "  OTLP/gRPC   %s\n", location(a))
	}
	if a := server.HTTPAddr(); a != nil {
		url := "http://" + a.String()
		if a.Network() == "unix" {
			url = location(a)
		}
		fmt.Fprintf(p, "  OTLP/HTTP   %s/v1/traces, and the report at /report\n", url)
	}
	for _, text := range s.answers {
		fmt.Fprintf(p, "  answers     %s\n", text)
	}
	fmt.Fprintln(p, p.dim("Ctrl-C ends it, and reports."))
}

func location(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}

// watch shows the live line, and reports on demand.
func (s *sinking) watch(server *sink.Sink, cpu time.Duration, ended <-chan struct{}) {
	asked := make(chan os.Signal, 1)
	onDemand(asked)
	defer signal.Stop(asked)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	defer s.live.clear()
	var before sink.Counts
	last := time.Now()
	for {
		select {
		case <-ended:
			return
		case <-asked:
			r, err := server.Report()
			if err != nil {
				fmt.Fprintln(s.live, "ringtail: "+err.Error())
			}
			s.printJSON(newSinkReport(r, cpu), "")
		case now := <-tick.C:
			c, seen := server.Counts()
			if !s.live.due(now) || !s.live.page.terminal && c == before {
				continue
			}
			rate := float64(c.Spans-before.Spans) / now.Sub(last).Seconds()
			before, last = c, now
			s.live.show(sinkLine(c, seen, rate))
		}
	}
}

func sinkLine(c sink.Counts, seen uint64, rate float64) string {
	line := fmt.Sprintf("%s spans/s  received %s in %s", brief(rate), brief(float64(c.Spans)), plural(c.Requests, "request"))
	if n := c.Spans - c.Unnumbered - seen; n > 0 {
		line += fmt.Sprintf("  duplicates %s", brief(float64(n)))
	}
	if c.Unnumbered > 0 {
		line += fmt.Sprintf("  not from load %s", brief(float64(c.Unnumbered)))
	}
	for _, b := range []struct {
		n    uint64
		what string
	}{{c.Refused, "refused"}, {c.Malformed, "malformed"}, {c.Hung, "hung"}, {c.Garbage, "garbage"}, {c.Partial, "partial"}} {
		if b.n > 0 {
			line += fmt.Sprintf("  %s %s", b.what, brief(float64(b.n)))
		}
	}
	return line
}

func (s *sinking) printJSON(r *sinkReport, indent string) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetIndent("", indent)
	return encoder.Encode(r)
}

// print prints the report.
func (s *sinking) print(r *sinkReport) {
	p := s.out
	row := func(name, value string) { fmt.Fprintf(p, "  %-10s %s\n", name, value) }
	fmt.Fprintln(p, p.bold("Sink"))
	rate := ""
	if r.Seconds > 0 {
		rate = fmt.Sprintf(", %s spans/s for %v", brief(float64(r.Spans)/r.Seconds), roundTime(time.Duration(r.Seconds*1e9)))
	}
	row("received", fmt.Sprintf("%s in %s%s", plural(r.Spans, "span"), plural(r.Requests, "request"), rate))
	if r.Spans > 0 {
		row("spans", fmt.Sprintf("%.1f bytes each, %s of requests in all", float64(r.SpanBytes)/float64(r.Spans), size(r.Bytes)))
		row("CPU", fmt.Sprintf("%.2f s for a million spans, this process", r.CPUPerM))
	}
	if r.Unnumbered > 0 {
		row("unnumbered", plural(r.Unnumbered, "span")+", not from ringtail load: nobody knows what is missing of them")
	}
	for _, c := range []struct {
		n    uint64
		what string
	}{{r.Malformed, "could not be read"}, {r.Refused, "refused (--answer)"}, {r.Hung, "left without an answer"},
		{r.Garbage, "answered with garbage"}, {r.Partial, fmt.Sprintf("taken in part, without %s", plural(r.RejectedSpans, "span"))}} {
		if c.n > 0 {
			row("requests", count(c.n)+" "+c.what)
		}
	}
	for _, run := range r.Runs {
		s.printRun(run)
	}
	if !r.Exact {
		p.wrap("  ", plural(r.Untracked, "span")+" had no room to be noted: what is said of missing spans and duplicates is not exact.")
	}
	if len(r.Runs) > 0 && r.Lost == 0 {
		fmt.Fprintln(p, "  "+p.green("✓ nothing is lost"))
	}
}

func (s *sinking) printRun(r sink.Run) {
	p := s.out
	fmt.Fprintln(p, p.bold("Run "+r.Run))
	width := len(count(max(r.Highest, r.Seen)))
	entry := func(name string, n uint64, note string) {
		line := fmt.Sprintf("  %-10s %*s", name, width, count(n))
		if note != "" {
			line += "  " + p.dim(note)
		}
		fmt.Fprintln(p, line)
	}
	entry("seen", r.Seen, fmt.Sprintf("different spans, up to number %s", count(r.Highest)))
	entry("duplicates", r.Duplicates, "")
	if r.Lost == nil {
		entry("missing", r.Missing, ranges(r.MissingRanges, r.Missing))
		return
	}
	entry("acked", *r.Acked, "")
	if *r.Unacked > 0 {
		entry("unacked", *r.Unacked, "came although there was no acknowledgement")
	}
	entry("lost", *r.Lost, ranges(r.LostRanges, *r.Lost))
}

// ranges lists what is missing, as much as fits.
func ranges(list []numbers.Range, n uint64) string {
	const most = 5
	var b strings.Builder
	for i, r := range list {
		if i == most {
			break
		}
		n -= r.Len()
		if i > 0 {
			b.WriteString(", ")
		}
		if b.WriteString(strconv.FormatUint(r.First, 10)); r.Last > r.First {
			fmt.Fprintf(&b, " to %d", r.Last)
		}
	}
	if n > 0 && b.Len() > 0 {
		fmt.Fprintf(&b, " and %s more", count(n))
	}
	return b.String()
}
