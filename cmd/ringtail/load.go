package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringtail-otel/ringtail/internal/load"
	"github.com/ringtail-otel/ringtail/internal/load/numbers"
)

// loading is one run of the load generator over the network.
type loading struct {
	cfg      load.Config
	protocol string
	traces   string
	headers  []string
	ca       string
	insecure bool
	acked    string
	runID    string
	json     bool

	out  page
	live *liveLine // on standard error
}

func newLoad() *cobra.Command {
	l := loading{cfg: load.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "load [flags]",
		Short: "Send OTLP to any receiver, at a chosen rate",
		Long: `Load sends spans by OTLP to ringtail, the OpenTelemetry Collector or any other
receiver, at a steady rate or as fast as it goes, and says what became of each:
acknowledged, refused, or never answered. It costs little: it shares the machine
with what it measures.

Spans carry running numbers, so that 'ringtail sink' at the far end tells
exactly which are missing and which came twice:

  span id    the number, 1, 2, 3, … in the order in which they are first sent
  trace id   "ring", 4 bytes of run id, 8 bytes that the trace's number gives

With --acked FILE the numbers that were acknowledged are noted in a file, a
range a line; 'ringtail sink --acked FILE' then tells what was promised and
did not come, whatever was killed in between.

What is refused with a code that allows it is sent again, after as long as the
receiver asks for (RetryInfo, Retry-After) and otherwise 0.05 to 1.6 s; so is
what was not answered within --timeout. With --no-retry it is counted instead.
A request that fell behind the rate is sent as soon as it can be.

Ctrl-C ends it early: requests under way are still answered. A second Ctrl-C
leaves at once.

Exit codes: 0 every span was acknowledged (with --no-retry: or refused for the
moment), 1 some were not, or there is no receiver, 2 wrong usage.`,
		Example: `  ringtail sink & ringtail load                    measure the two of them
  ringtail load --rate 50000 --duration 1m         a steady 50 000 spans a second
  ringtail load --protocol http/json --compression gzip --endpoint http://127.0.0.1:4318
  ringtail load --traces scattered --trace-spans 20 --services 8
  ringtail load --spans 1000000 --acked acked.txt --json > report.json
  ringtail load --endpoint https://otel.example:4317 --header authorization=…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l.out, l.live = newPage(cmd.OutOrStdout()), newLiveLine(cmd.ErrOrStderr())
			l.limit(cmd.Flags())
			return l.run(cmd.Context())
		},
	}
	l.flags(cmd.Flags())
	return cmd
}

func (l *loading) flags(f *pflag.FlagSet) {
	c := &l.cfg
	f.SortFlags = false
	f.StringVar(&c.Endpoint, "endpoint", "", "send to HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:`PATH` (default 127.0.0.1:4317, with HTTP 4318)")
	f.StringVar(&l.protocol, "protocol", string(c.Protocol), "`NAME` is grpc, http/protobuf or http/json")
	f.StringVar(&c.Compression, "compression", c.Compression, "`NAME` is none, gzip or zstd")
	f.StringArrayVar(&l.headers, "header", nil, "send `NAME=VALUE` with each request; repeatable")
	f.StringVar(&l.ca, "ca", "", "for https: trust the PEM certificates in `FILE`")
	f.BoolVar(&l.insecure, "insecure-skip-verify", false, "for https: take any certificate")

	f.Float64Var(&c.Rate, "rate", c.Rate, "`N` spans a second, all connections together; 0: as fast as it goes")
	f.DurationVar(&c.Duration, "duration", c.Duration, "send for `TIME`; 0, and the default with --spans: no limit")
	f.Uint64Var(&c.Spans, "spans", c.Spans, "stop after `N` spans; 0: no limit")
	f.IntVar(&c.Connections, "connections", c.Connections, "`N` connections")
	f.IntVar(&c.InFlight, "in-flight", c.InFlight, "`N` requests under way on each; with HTTP each has a connection of its own")

	f.IntVar(&c.Request, "request-spans", c.Request, "`N` spans a request; by default fewer at a low rate, for ten requests a second")
	f.IntVar(&c.Attributes, "attributes", c.Attributes, "`N` attributes a span")
	f.IntVar(&c.AttributeBytes, "attribute-bytes", c.AttributeBytes, "`N` bytes a string value; three of four attributes are strings")
	f.IntVar(&c.Services, "services", c.Services, "`N` services; request after request comes from the next")
	f.IntVar(&c.Operations, "operations", c.Operations, "`N` span names")
	f.StringVar(&l.traces, "traces", "whole", "`HOW` is whole, a trace in one request, or scattered, each of its spans in another")
	f.IntVar(&c.TraceSpans, "trace-spans", c.TraceSpans, "`N` spans a trace")

	f.BoolVar(&c.NoRetry, "no-retry", false, "count what is refused, instead of sending it again")
	f.DurationVar(&c.Timeout, "timeout", c.Timeout, "wait `TIME` for an answer")
	f.DurationVar(&c.GiveUp, "give-up", c.GiveUp, "send a request again for at most `TIME`; 0: for ever")
	f.DurationVar(&c.ConnectTimeout, "connect-timeout", c.ConnectTimeout, "wait `TIME` for the receiver to be there")
	f.DurationVar(&c.Grace, "shutdown-timeout", c.Grace, "wait at most `TIME` for answers at the end")

	f.StringVar(&l.acked, "acked", "", "append the ranges of acknowledged numbers to `FILE`")
	f.StringVar(&l.runID, "run", "", "the run id, up to eight hexadecimal digits (default a random one)")
	f.BoolVar(&l.json, "json", false, "print the report as JSON")
}

// limit fills in what depends on which flags were given: a number of spans that was asked for takes the
// time that it takes, and a low rate is even too.
func (l *loading) limit(f *pflag.FlagSet) {
	if l.cfg.Spans > 0 && !f.Changed("duration") {
		l.cfg.Duration = 0
	}
	if l.cfg.Rate > 0 && !f.Changed("request-spans") {
		l.cfg.Request = int(min(max(math.Round(l.cfg.Rate/10), 1), float64(l.cfg.Request)))
	}
}

// configure reads the flags that need reading.
func (l *loading) configure() error {
	c := &l.cfg
	c.Protocol = load.Protocol(l.protocol)
	switch l.traces {
	case "whole", "scattered":
		c.Scattered = l.traces == "scattered"
	default:
		return usagef("--traces is %q: want whole or scattered", l.traces)
	}
	headers, err := (&exportFlags{headers: l.headers}).headerMap()
	if err != nil {
		return err
	}
	c.Headers = headers
	if l.runID != "" {
		if c.Run, err = numbers.ParseRun(l.runID); err != nil || c.Run == 0 {
			return usagef("--run is %q: want up to eight hexadecimal digits, not zero", l.runID)
		}
	}
	return l.configureTLS()
}

func (l *loading) configureTLS() error {
	l.cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: l.insecure} // asked for by a flag that says so
	if l.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(l.ca)
	if err != nil {
		return usagef("--ca: cannot read the certificates to trust: %w", err)
	}
	l.cfg.TLS.RootCAs = x509.NewCertPool()
	if !l.cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return usagef("--ca %s: has no PEM certificate", l.ca)
	}
	return nil
}

// A loadReport is the engine's and what only the process knows.
type loadReport struct {
	load.Report
	Rate       float64 `json:"spans_per_second"` // acknowledged
	CPUSeconds float64 `json:"cpu_seconds"`      // of this process, user and system
	CPUPerM    float64 `json:"cpu_seconds_per_million_spans"`
}

func (l *loading) run(ctx context.Context) error {
	if err := l.configure(); err != nil {
		return err
	}
	if l.acked != "" {
		file, err := os.OpenFile(l.acked, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("--acked: %w", err)
		}
		defer file.Close()
		l.cfg.Acked = file
	}
	polite, force, stop := interrupted(ctx)
	defer stop()
	l.cfg.Cut = force.Done()
	l.cfg.Progress = l.progress()
	before := cpuTime()
	report, err := load.Run(polite, l.cfg)
	cpu := cpuTime() - before
	l.live.clear()
	var usage load.Usage
	if errors.As(err, &usage) {
		return usageError{err}
	}
	if err != nil && report.Run == "" {
		return fmt.Errorf("%w\nIs it running there? 'ringtail sink' and 'ringtail serve' are receivers; choose another with --endpoint", err)
	}
	r := &loadReport{report, report.Rate(), cpu.Seconds(), cpu.Seconds() / (float64(max(report.Sent, 1)) / 1e6)}
	if l.json {
		encoder := json.NewEncoder(l.out)
		encoder.SetIndent("", "  ")
		err = errors.Join(err, encoder.Encode(r))
	} else {
		l.print(r)
	}
	return errors.Join(err, l.verdict(r))
}

// verdict is nil if every span was acknowledged.
func (l *loading) verdict(r *loadReport) error {
	missed := r.Sent - r.Acknowledged
	if l.cfg.NoRetry && r.Acknowledged > 0 {
		missed -= r.RefusedRetryable
	}
	if missed == 0 {
		return nil
	}
	why := ""
	if r.LastError != "" {
		why = "; the last trouble was: " + r.LastError
	}
	return fmt.Errorf("%s not acknowledged%s", plural(missed, "span"), why)
}

// progress returns what shows the live line.
func (l *loading) progress() func(load.Report) {
	var before load.Report
	return func(r load.Report) {
		if !l.live.due(time.Now()) {
			return
		}
		rate := float64(r.Acknowledged-before.Acknowledged) / max(r.Seconds-before.Seconds, 1e-9)
		before = r
		line := fmt.Sprintf("%5.1fs  %s spans/s  acknowledged %s  under way %s  p99 %s", r.Seconds, brief(rate), brief(float64(r.Acknowledged)),
			brief(float64(r.Sent-r.Acknowledged-r.Rejected-r.Refused-r.GivenUp)), millis(r.Latency.P99))
		for _, c := range []struct {
			n    uint64
			what string
		}{{r.Retries, "retries"}, {r.Refused, "refused"}, {r.Rejected, "rejected"}, {r.GivenUp, "given up"}} {
			if c.n > 0 {
				line += fmt.Sprintf("  %s %s", c.what, brief(float64(c.n)))
			}
		}
		l.live.show(line)
	}
}

func millis(ms float64) string { return roundTime(time.Duration(ms * 1e6)).String() }

// print prints the summary.
func (l *loading) print(r *loadReport) {
	p, c := l.out, &l.cfg
	row := func(name, value string) { fmt.Fprintf(p, "  %-12s %s\n", name, value) }
	title := "Load"
	if r.Cut {
		title += ", ended by Ctrl-C"
	}
	fmt.Fprintln(p, p.bold(title))
	compression := "no compression"
	if r.Compression != "none" {
		compression = r.Compression
	}
	row("to", fmt.Sprintf("%s, %s, %s; %s × %d in flight", r.Endpoint, r.Protocol, compression, plural(c.Connections, "connection"), c.InFlight))
	row("spans", fmt.Sprintf("%.1f bytes each, %s, %d a trace, %s", r.SpanBytes, plural(c.Attributes, "attribute"), c.TraceSpans, l.traces))
	row("requests", fmt.Sprintf("%d spans, %.0f bytes; %.0f bytes as sent", c.Request, r.RequestBytes, float64(r.SentBytes)/float64(max(r.Attempts, 1))))
	row("run", r.Run)
	row("rate", fmt.Sprintf("%s spans/s acknowledged, for %v%s", brief(r.Rate), roundTime(time.Duration(r.Seconds*1e9)), l.behind(r)))
	row("latency", fmt.Sprintf("p50 %s · p90 %s · p99 %s · max %s", millis(r.Latency.P50), millis(r.Latency.P90), millis(r.Latency.P99), millis(r.Latency.Max)))
	row("CPU", fmt.Sprintf("%.2f s for a million spans, this process", r.CPUPerM))
	fmt.Fprintln(p)
	l.printLedger(r)
}

// behind says that the rate could not be held.
func (l *loading) behind(r *loadReport) string {
	if l.cfg.Rate == 0 || r.Rate > 0.98*l.cfg.Rate || r.Seconds < 1 {
		return ""
	}
	return fmt.Sprintf(", of %s asked for", brief(l.cfg.Rate))
}

func (l *loading) printLedger(r *loadReport) {
	p := l.out
	width := len(count(r.Sent))
	entry := func(name string, n uint64, note string, always bool) {
		if n == 0 && !always {
			return
		}
		line := fmt.Sprintf("  %-12s %*s", name, width, count(n))
		if !always && n > 0 {
			line = p.red(line)
		}
		if note != "" {
			line += "  " + p.dim(note)
		}
		fmt.Fprintln(p, line)
	}
	fmt.Fprintln(p, p.bold("Ledger"))
	entry("sent", r.Sent, fmt.Sprintf("in %s, and %s", plural(r.Attempts-r.Retries, "request"), plurals(r.Retries, "retry", "retries")), true)
	entry("acknowledged", r.Acknowledged, "", true)
	entry("rejected", r.Rejected, "by partial success", false)
	refused := "for good"
	if r.RefusedRetryable > 0 {
		refused = count(r.RefusedRetryable) + " for the moment (--no-retry)"
	}
	entry("refused", r.Refused, refused, false)
	entry("given up", r.GivenUp, "never answered, or no time left; some may have arrived", false)
	if r.Resent > 0 {
		p.wrap("  ", plural(r.Resent, "span")+" were sent again because there was no answer: as many may have arrived twice.")
	}
	if len(r.Errors) > 0 {
		fmt.Fprintln(p, p.bold("Trouble"))
		for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
			fmt.Fprintf(p, "  %s × %s\n", count(r.Errors[code]), code)
		}
		p.wrap("  ", "The last: "+r.LastError)
	}
	if r.Sent == r.Acknowledged {
		fmt.Fprintln(p, "  "+p.green("✓ every span was acknowledged"))
	} else {
		fmt.Fprintln(p, "  "+p.red("✗ "+plural(r.Sent-r.Acknowledged, "span")+" not acknowledged"))
	}
}

// plurals is plural for nouns that do not end in s.
func plurals(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
