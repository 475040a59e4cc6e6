package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/collector"
	"github.com/ringtail-otel/ringtail/collector/config"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/seglog"
)

// serve is the daemon's command line.
type serve struct {
	exportFlags
	configFile string
	cfg        collector.Config
	dataDir    string
	inMemory   bool
	logBytes   byteSize
	whenFull   string
	sync       string
	maxRequest byteSize
	memory     byteSize
	grace      time.Duration

	out      page
	live     *liveLine // on standard error
	log      *slog.Logger
	arrivals *arrivals // nil when spans go somewhere
}

func newServe() *cobra.Command {
	s := serve{cfg: collector.DefaultConfig()}
	s.maxRequest, s.memory = byteSize(s.cfg.MaxRequestBytes), byteSize(s.cfg.MemoryLimit)
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Receive OTLP from other programs, keep it safe, and deliver it",
		Long: `Serve receives spans by OTLP, over gRPC and over HTTP (POST /v1/traces, protobuf
or JSON; gzip and zstd), and delivers them to any number of backends. Any
OpenTelemetry SDK can send to it, with nothing but its default endpoint.

A request is acknowledged when it is in the log: on disk, synced, so that a crash
does not lose it. From there each exporter gets it at its own pace, again and
again until it is delivered, also after a restart. When the log is full, clients
are told to come back (UNAVAILABLE, 503). Without an exporter, it shows what
arrives.

SIGTERM or Ctrl-C stops it: requests under way are answered, what is in the log
is delivered for at most --shutdown-timeout, and the ledger is printed. What is
left stays on disk for the next start. A second Ctrl-C leaves at once.

With --config it is told what to do by a file in the layout of the OpenTelemetry
Collector (receivers, exporters, service), in place of the flags for that.

` + exportHelp + `

Exit codes: 0 no acknowledged span was lost since the log was last closed in
order, 1 some were, or something failed, 2 wrong usage.`,
		Example: `  ringtail serve
  ringtail serve --export otlp-grpc=https://backend:4317 --export json=spans.jsonl
  ringtail serve --grpc 0.0.0.0:4317 --http off --export otlp-http=http://backend:4318
  ringtail serve --config /etc/ringtail.yaml
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 your-program`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.out, s.live = newPage(cmd.OutOrStdout()), newLiveLine(cmd.ErrOrStderr())
			s.log = slog.New(slog.NewTextHandler(s.live, nil))
			return s.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.configFile, "config", "", "read `FILE`, see above")
	s.add(cmd)
	s.once = true
	flags.StringVar(&s.cfg.GRPCAddr, "grpc", s.cfg.GRPCAddr, "receive OTLP/gRPC at `ADDRESS`: HOST:PORT, unix:PATH, or off")
	flags.StringVar(&s.cfg.HTTPAddr, "http", s.cfg.HTTPAddr, "receive OTLP/HTTP at `ADDRESS`, likewise")
	flags.StringVar(&s.dataDir, "data-dir", defaultDataDir(), "keep the log in `DIR`")
	flags.BoolVar(&s.inMemory, "in-memory", false, "keep the log in memory: faster, and gone with the process")
	flags.Var(&s.logBytes, "log-bytes", "let the log take at most `SIZE`; default 1GiB, in memory 64MiB")
	flags.StringVar(&s.whenFull, "when-full", "refuse", "then `DO` what: refuse what comes, or drop_oldest")
	flags.StringVar(&s.sync, "sync", "group", "sync the log `WHEN`: group (before each acknowledgement), never, or a time as 100ms")
	flags.Var(&s.maxRequest, "max-request-bytes", "refuse requests above this `SIZE`, before or after decompression")
	flags.Var(&s.memory, "memory-limit", "receive at most `SIZE` of requests at a time, at least twice --max-request-bytes; beyond it clients are told to come back")
	flags.DurationVar(&s.cfg.HeaderTimeout, "header-timeout", s.cfg.HeaderTimeout, "a client may take `TIME` to connect and send a header")
	flags.DurationVar(&s.cfg.BodyTimeout, "body-timeout", s.cfg.BodyTimeout, "a client may take `TIME` to send the rest of a request")
	flags.DurationVar(&s.cfg.RetryDelay, "retry-delay", s.cfg.RetryDelay, "clients that are turned away may come back after this `TIME`")
	flags.DurationVar(&s.grace, "shutdown-timeout", 30*time.Second, "take at most `TIME` to finish requests and deliver")
	return cmd
}

// defaultDataDir is where a program keeps what is to outlive it. (XDG Base Directory
// Specification.)
func defaultDataDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ringtail")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "ringtail")
	}
	return filepath.Join(os.TempDir(), "ringtail")
}

// plan returns what to run, by the file or by the flags.
func (s *serve) plan(cmd *cobra.Command) (*config.Config, error) {
	if s.grace <= 0 {
		return nil, usagef("--shutdown-timeout is %v: want more than 0", s.grace)
	}
	if s.configFile != "" {
		for _, f := range []string{"export", "compression", "header", "grpc", "http", "data-dir", "in-memory", "log-bytes", "when-full", "sync", "max-request-bytes", "memory-limit", "header-timeout", "body-timeout", "retry-delay"} {
			if cmd.Flags().Changed(f) {
				return nil, usagef("--%s and --config are both given: the file says it all", f)
			}
		}
		c, err := config.Load(s.configFile)
		if err != nil {
			return nil, usageError{err}
		}
		return c, nil
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	p := config.Pipeline{ID: "traces", Receivers: []config.Receiver{{ID: "otlp", Config: s.cfg}}, LogDir: s.dataDir}
	if s.inMemory {
		p.LogDir = ""
	}
	var err error
	if p.Log, err = s.logOptions(); err != nil {
		return nil, err
	}
	if p.Exporters, err = s.exporters(); err != nil {
		return nil, err
	}
	return &config.Config{Pipelines: []config.Pipeline{p}}, nil
}

// exporters makes a pipeline's exporters of the flags.
func (s *serve) exporters() ([]config.Exporter, error) {
	targets, err := s.targets()
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		s.arrivals = newArrivals()
		return []config.Exporter{config.NewExporter(arrivalsCursor, "this summary", func(config.Environment) (collector.ExporterConfig, error) {
			return collector.ExporterConfig{Exporter: s.arrivals, Linger: liveEvery}, nil
		})}, nil
	}
	var exporters []config.Exporter
	for _, t := range targets {
		exporters = append(exporters, config.NewExporter(t.flag, t.flag, func(env config.Environment) (collector.ExporterConfig, error) {
			e, err := s.openOne(t, env.Out, env.Logger, func() ringtail.Exporter { return export.NewWriter(env.Out) })
			if err != nil {
				err = fmt.Errorf("--export %s: %w", t.flag, err)
			}
			c := collector.ExporterConfig{Exporter: e}
			if concurrency(t) == 1 {
				c.Concurrency = 1
			}
			return c, err
		}))
	}
	return exporters, nil
}

// arrivalsCursor is the cursor of the summary: nothing is kept for it when it is gone.
const arrivalsCursor = "summary"

func (s *serve) logOptions() (seglog.Options, error) {
	o := seglog.Options{MaxBytes: int64(s.logBytes), Logger: s.log}
	if s.logBytes != 0 && s.logBytes < 1<<20 {
		return o, usagef("--log-bytes is %v: want at least 1MiB", &s.logBytes)
	}
	switch s.whenFull {
	case "refuse":
	case "drop_oldest":
		o.WhenFull = seglog.DropOldest
	default:
		return o, usagef("--when-full is %q: want refuse or drop_oldest", s.whenFull)
	}
	switch s.sync {
	case "group":
	case "never":
		o.Sync = seglog.SyncNever
	default:
		every, err := time.ParseDuration(s.sync)
		if err != nil || every < time.Millisecond || every > time.Hour {
			return o, usagef("--sync is %q: want group, never, or a time from 1ms to 1h", s.sync)
		}
		o.Sync, o.SyncEvery = seglog.SyncInterval, every
	}
	return o, nil
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
		if strings.HasPrefix(*a.addr, "unix:") {
			continue
		}
		_, port, err := net.SplitHostPort(*a.addr)
		if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 0 || n > 65535 {
			return usagef("%s is %q: want HOST:PORT, as in 127.0.0.1:4317, unix:PATH, or off", a.flag, *a.addr)
		}
	}
	switch {
	case s.cfg.GRPCAddr == "" && s.cfg.HTTPAddr == "":
		return usagef("--grpc and --http are both off: there is nothing to receive")
	case s.maxRequest < 1<<10 || s.maxRequest > 1<<30:
		return usagef("--max-request-bytes is %v: want 1KiB to 1GiB", &s.maxRequest)
	case s.memory < 2*s.maxRequest: // as it came, and unpacked
		return usagef("--memory-limit is %v: want at least twice --max-request-bytes, which is %v", &s.memory, &s.maxRequest)
	case !s.inMemory && s.dataDir == "":
		return usagef("--data-dir is empty: want a directory, or --in-memory")
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"--header-timeout", s.cfg.HeaderTimeout}, {"--body-timeout", s.cfg.BodyTimeout}, {"--retry-delay", s.cfg.RetryDelay}} {
		if d.value < time.Millisecond || d.value > time.Hour {
			return usagef("%s is %v: want 1ms to 1h", d.flag, d.value)
		}
	}
	s.cfg.MaxRequestBytes, s.cfg.MemoryLimit = int(s.maxRequest), int64(s.memory)
	return nil
}

func (s *serve) run(cmd *cobra.Command) error {
	plan, err := s.plan(cmd)
	if err != nil {
		return err
	}
	for _, n := range plan.Notices {
		s.log.Info(n)
	}
	d, err := startDaemon(plan, config.Environment{Logger: s.log, Out: s.out.Writer})
	if err != nil {
		if errors.Is(err, seglog.ErrLocked) {
			err = fmt.Errorf("%w\nChoose another directory with --data-dir, or --in-memory", err)
		}
		return err
	}
	polite, force, stop := interrupted(cmd.Context())
	defer stop()
	d.greet(s.live.page)
	failure := s.watch(polite, d)
	return s.end(force, d, failure)
}

// watch shows what happens until it is time to stop, and returns what the receivers
// failed with.
func (s *serve) watch(polite context.Context, d *daemon) error {
	var ticks <-chan time.Time
	// A line that is rewritten would tear the traces that are printed on the same screen.
	if s.arrivals != nil || s.live.page.terminal && !(s.out.terminal && d.printsSpans()) {
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		ticks = tick.C
	}
	defer s.live.clear()
	rate := rateOf{last: time.Now(), before: d.received()}
	shown := d.received()
	for {
		select {
		case <-polite.Done():
			return nil
		case err := <-d.failed:
			return err
		case now := <-ticks:
			st := d.stats()
			perSecond := rate.at(now, st.received())
			if !s.live.due(now) || !s.live.page.terminal && st.received() == shown {
				continue
			}
			shown = st.received()
			lines := []string{st.line(perSecond)}
			if s.arrivals != nil {
				lines = append(lines, s.arrivals.table(s.live.page, 12)...)
			}
			s.live.show(lines...)
		}
	}
}

// rateOf is a number's growth a second.
type rateOf struct {
	last   time.Time
	before uint64
	rate   float64
}

func (r *rateOf) at(now time.Time, n uint64) float64 {
	if took := now.Sub(r.last); took >= time.Second {
		r.rate = float64(n-r.before) / took.Seconds()
		r.before, r.last = n, now
	}
	return r.rate
}

// end stops the receivers, delivers what there is, and prints the ledger.
func (s *serve) end(force context.Context, d *daemon, failure error) error {
	p := s.live.page
	fmt.Fprintf(p, "Stopping: finishing requests and delivering what is in the log, for at most %v.\n", s.grace)
	ctx, cancel := context.WithTimeout(force, s.grace)
	defer cancel()
	d.shutdown(ctx)
	fmt.Fprintln(p)
	if s.arrivals != nil {
		for _, line := range s.arrivals.table(p, 20) {
			fmt.Fprintln(p, line)
		}
	}
	lost := d.printLedger(p)
	if failure != nil {
		return failure
	}
	if lost > 0 {
		return fmt.Errorf("%s that clients were told had been taken did not arrive", plural(lost, "span"))
	}
	return nil
}

// byteSize is a flag for a number of bytes: 4194304, 512KiB, 64MiB, 1GiB.
type byteSize int64

func (b *byteSize) String() string {
	for _, u := range byteUnits {
		if n := int64(*b); n != 0 && n >= u.n && n%u.n == 0 {
			return strconv.FormatInt(n/u.n, 10) + u.name
		}
	}
	if *b == 0 {
		return ""
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
