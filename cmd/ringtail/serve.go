package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/collector"
	"github.com/ringtail-otel/ringtail/export"
)

// serve is one run of the daemon.
type serve struct {
	exportFlags
	cfg        collector.Config
	queueBytes byteSize
	maxRequest byteSize
	memory     byteSize
	timeout    time.Duration // of a single export
	grace      time.Duration

	out  page
	live *liveLine // on standard error
	log  *slog.Logger
}

// exportTimeout is the collector's default: the OTLP exporters give up before it.
const exportTimeout = 90 * time.Second

func newServe() *cobra.Command {
	s := serve{cfg: collector.DefaultConfig(), queueBytes: 64 << 20}
	s.maxRequest, s.memory = byteSize(s.cfg.MaxRequestBytes), byteSize(s.cfg.MemoryLimit)
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Receive OTLP from other programs and pass it on",
		Long: `Serve receives spans by OTLP, over gRPC and over HTTP (POST /v1/traces, protobuf
or JSON; gzip and zstd), and passes them on. Any OpenTelemetry SDK can send to
it, with nothing but its default endpoint.

A request is acknowledged once it is queued. When the exporters are slower than
what comes in, clients are told to come back (UNAVAILABLE, 503) and memory stays
bounded. With several exporters, one whose queue is full drops its own spans
instead, and clients are not turned away for it.

SIGTERM or Ctrl-C stops it: requests under way are answered, the queue is
delivered, and the ledger is printed. A second Ctrl-C leaves at once.

` + exportHelp + `

Exit codes: 0 all acknowledged spans arrived, 1 some did not, 2 wrong usage.`,
		Example: `  ringtail serve
  ringtail serve --export json=spans.jsonl
  ringtail serve --grpc 0.0.0.0:4317 --http off --export otlp-grpc=https://backend:4317
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 your-program`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.out, s.live = newPage(cmd.OutOrStdout()), newLiveLine(cmd.ErrOrStderr())
			s.log = slog.New(slog.NewTextHandler(s.live, nil))
			return s.run(cmd.Context())
		},
	}
	s.add(cmd, "stdout")
	flags := cmd.Flags()
	flags.StringVar(&s.cfg.GRPCAddr, "grpc", s.cfg.GRPCAddr, "receive OTLP/gRPC at `HOST:PORT`, or off")
	flags.StringVar(&s.cfg.HTTPAddr, "http", s.cfg.HTTPAddr, "receive OTLP/HTTP at `HOST:PORT`, or off")
	flags.Var(&s.maxRequest, "max-request-bytes", "refuse requests above this `SIZE`, before or after decompression")
	flags.Var(&s.memory, "memory-limit", "receive at most `SIZE` of requests at a time; beyond it clients are told to come back")
	flags.Var(&s.queueBytes, "queue-bytes", "hold at most `SIZE` of requests for the exporter; likewise. Several have SIZE each, see above")
	flags.DurationVar(&s.cfg.HeaderTimeout, "header-timeout", s.cfg.HeaderTimeout, "a client may take `TIME` to connect and send a header")
	flags.DurationVar(&s.cfg.BodyTimeout, "body-timeout", s.cfg.BodyTimeout, "a client may take `TIME` to send the rest of a request")
	flags.DurationVar(&s.cfg.RetryDelay, "retry-delay", s.cfg.RetryDelay, "clients that are turned away may come back after this `TIME`")
	flags.DurationVar(&s.timeout, "export-timeout", exportTimeout, "give an export up after `TIME`, with all its retries")
	flags.DurationVar(&s.grace, "shutdown-timeout", 30*time.Second, "take at most `TIME` to finish requests and deliver the queue")
	return cmd
}

func (s *serve) validate() error {
	for _, a := range []struct {
		flag string
		addr *string
	}{{"--grpc", &s.cfg.GRPCAddr}, {"--http", &s.cfg.HTTPAddr}} {
		if *a.addr == "off" {
			*a.addr = ""
			continue
		}
		_, port, err := net.SplitHostPort(*a.addr)
		if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 0 || n > 65535 {
			return usagef("%s is %q: want HOST:PORT, as in 127.0.0.1:4317, or off", a.flag, *a.addr)
		}
	}
	switch {
	case s.cfg.GRPCAddr == "" && s.cfg.HTTPAddr == "":
		return usagef("--grpc and --http are both off: there is nothing to receive")
	case s.maxRequest < 1<<10 || s.maxRequest > 1<<30:
		return usagef("--max-request-bytes is %v: want 1KiB to 1GiB", &s.maxRequest)
	case s.memory < s.maxRequest:
		return usagef("--memory-limit is %v: want at least --max-request-bytes, which is %v", &s.memory, &s.maxRequest)
	case s.queueBytes < 1<<20:
		return usagef("--queue-bytes is %v: want at least 1MiB", &s.queueBytes)
	case s.grace <= 0:
		return usagef("--shutdown-timeout is %v: want more than 0", s.grace)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"--header-timeout", s.cfg.HeaderTimeout}, {"--body-timeout", s.cfg.BodyTimeout}, {"--retry-delay", s.cfg.RetryDelay}, {"--export-timeout", s.timeout}} {
		if d.value < time.Millisecond || d.value > time.Hour {
			return usagef("%s is %v: want 1ms to 1h", d.flag, d.value)
		}
	}
	s.cfg.MaxRequestBytes, s.cfg.MemoryLimit = int(s.maxRequest), int64(s.memory)
	s.bounds = bounds{int(s.queueBytes), s.timeout}
	return nil
}

func (s *serve) run(ctx context.Context) error {
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
	spans, err := ringtail.New(out, ringtail.WithQueueBytes(int(s.queueBytes)), ringtail.WithBatchSpans(8192),
		ringtail.WithBatchBytes(1<<20), ringtail.WithInterval(50*time.Millisecond), ringtail.WithExportTimeout(s.timeout),
		ringtail.WithLogger(s.log))
	if err != nil {
		return err
	}
	polite, force, stop := interrupted(ctx)
	defer stop()
	server, err := collector.New(s.cfg, spans)
	if err != nil {
		spans.Shutdown(ctx)
		return fmt.Errorf("%w\nIs another collector running there? Choose another address with --grpc or --http, or off", err)
	}
	notes := s.live.page
	s.greet(notes, server, out)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	err = s.watch(polite, server, spans, out, served)
	return s.end(force, notes, server, spans, out, err)
}

// greet says where to send spans, and where they go.
func (s *serve) greet(p page, server *collector.Server, out *outlet) {
	fmt.Fprintln(p, p.bold("ringtail "+ringtail.Version)+" receives spans")
	if a := server.GRPCAddr(); a != nil {
		fmt.Fprintf(p, "  OTLP/gRPC   %s\n", a)
	}
	if a := server.HTTPAddr(); a != nil {
		fmt.Fprintf(p, "  OTLP/HTTP   http://%s/v1/traces\n", a)
	}
	fmt.Fprintf(p, "and sends them to\n")
	for _, name := range out.names {
		fmt.Fprintf(p, "  %s\n", name)
	}
	fmt.Fprintln(p, p.dim("Ctrl-C ends it, and delivers what is queued."))
}

// watch shows a summary until it is time to stop, and returns what the receivers
// failed with.
func (s *serve) watch(polite context.Context, server *collector.Server, spans *ringtail.Collector, out *outlet, served <-chan error) error {
	var ticks <-chan time.Time
	// A line that is rewritten would tear the traces that are printed on the same screen.
	if s.live.page.terminal && !(s.out.terminal && printsSpans(out)) {
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		ticks = tick.C
	}
	defer s.live.clear()
	var before uint64
	last := time.Now()
	rate := 0.0
	for {
		select {
		case <-polite.Done():
			return nil
		case err := <-served:
			return err
		case now := <-ticks:
			st := spans.Stats()
			if took := now.Sub(last); took >= time.Second {
				rate = float64(st.Submitted-before) / took.Seconds()
				before, last = st.Submitted, now
			}
			s.live.show(summary(st, rate, server.Stats(), out))
		}
	}
}

func printsSpans(out *outlet) bool {
	for _, name := range out.names {
		if name == "stdout" || name == "json=-" {
			return true
		}
	}
	return false
}

func summary(st ringtail.Stats, rate float64, server collector.Stats, out *outlet) string {
	line := fmt.Sprintf("%s spans/s  received %s  exported %s  dropped %s  in flight %s", brief(rate), brief(float64(st.Submitted)),
		brief(float64(st.Exported)), brief(float64(st.Dropped.Total())), brief(float64(st.InFlight)))
	if server.Overloaded > 0 {
		line += fmt.Sprintf("  turned away %s", brief(float64(server.Overloaded)))
	}
	for _, b := range out.branches() {
		if n := b.Dropped.Total(); n > 0 {
			line += fmt.Sprintf("  %s lost %s", b.Name, brief(float64(n)))
		}
	}
	return line
}

// end stops the receivers, delivers what is queued, and prints the ledger.
func (s *serve) end(force context.Context, p page, server *collector.Server, spans *ringtail.Collector, out *outlet, failure error) error {
	fmt.Fprintf(p, "Stopping: finishing requests and delivering what is queued, for at most %v.\n", s.grace)
	ctx, cancel := context.WithTimeout(force, s.grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		s.log.Warn("requests were cut off; their clients have no answer and will send again", "error", err)
	}
	if err := spans.Shutdown(ctx); err != nil {
		s.log.Warn(err.Error())
	}
	out.settle()
	st := spans.Stats()
	requests := server.Stats()
	fmt.Fprintln(p)
	fmt.Fprintf(p, "%s accepted%s\n", plural(requests.Accepted, "request"), refusals(requests))
	printReceived(p, st, out)
	if failure != nil {
		return failure
	}
	if lost := undelivered(st, out); lost > 0 {
		return fmt.Errorf("%s that clients were told had been taken did not arrive%s", plural(lost, "span"), remedy(st, out))
	}
	return nil
}

// refused is what clients were told was not taken: they have the spans still.
func refused(st ringtail.Stats) uint64 {
	return st.Dropped.Of(ringtail.ReasonFull) + st.Dropped.Of(ringtail.ReasonClosed)
}

func undelivered(st ringtail.Stats, out *outlet) uint64 { return out.lost(st) - refused(st) }

// printReceived prints the ledger of spans that came over the network.
func printReceived(p page, st ringtail.Stats, out *outlet) {
	printLedger(p, st, out, "received, in requests that could be read", refused(st))
	if n := refused(st); n > 0 {
		p.wrap("  ", plural(n, "span")+" (queue_full, already_shutdown) were refused, and their clients told so: they have them still, "+
			"and sent again they count again.")
	}
}

func refusals(r collector.Stats) string {
	var b strings.Builder
	for _, c := range []struct {
		n    uint64
		what string
	}{{r.Overloaded, "turned away for now"}, {r.Bad, "malformed"}, {r.TooLarge, "too large"}, {r.TimedOut, "too slow or gone"}, {r.Failed, "failed"}} {
		if c.n > 0 {
			fmt.Fprintf(&b, ", %s %s", count(c.n), c.what)
		}
	}
	return b.String()
}

// byteSize is a flag for a number of bytes: 4194304, 512KiB, 64MiB, 1GiB.
type byteSize int64

func (b *byteSize) String() string {
	for _, u := range byteUnits {
		if n := int64(*b); n >= u.n && n%u.n == 0 {
			return strconv.FormatInt(n/u.n, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

var byteUnits = []struct {
	name string
	n    int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// Set reads a number of bytes.
func (b *byteSize) Set(s string) error {
	number, unit := s, int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = rest, u.n
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is no size", s)
	}
	*b = byteSize(n * unit)
	return nil
}

// Type is what help calls the value.
func (*byteSize) Type() string { return "bytes" }
