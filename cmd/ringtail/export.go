package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/otlpgrpc"
	"github.com/ringtail-otel/ringtail/export/otlphttp"
)

// exportFlags say where spans go.
type exportFlags struct {
	to          []string
	compression string
	headers     []string
	once        bool // of the daemon: its pipeline tries again, and what a file has is to be on disk
}

const exportHelp = `Where spans go (--export), once or several times:
  stdout                  trace trees, for people
  json=FILE               OTLP JSON, a line a batch; json=- writes to stdout
  otlp-grpc=HOST:PORT     an OTLP/gRPC backend; https://HOST:PORT for TLS
  otlp-http=URL           an OTLP/HTTP backend; http://HOST:PORT/v1/traces
  null                    nowhere, only counted
Several exporters are independent: one that is slow or down does not hold up the
others.`

func (f *exportFlags) add(cmd *cobra.Command, to ...string) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.to, "export", to, "send spans to this `TARGET`, see above; repeatable")
	flags.StringVar(&f.compression, "compression", "none", "for otlp-grpc and otlp-http: `NAME` is none, gzip or zstd")
	flags.StringArrayVar(&f.headers, "header", nil, "for otlp-grpc and otlp-http: send `NAME=VALUE`; repeatable")
}

// A target is one --export, taken apart.
type target struct {
	kind string // "stdout", "json", …
	at   string // the file, or the endpoint
	flag string // as it was given
}

// targets reads the flags.
func (f *exportFlags) targets() ([]target, error) {
	if !slices.Contains([]string{"none", "gzip", "zstd"}, f.compression) {
		return nil, usagef("--compression is %q: want none, gzip or zstd", f.compression)
	}
	if _, err := f.headerMap(); err != nil {
		return nil, err
	}
	var targets []target
	for _, s := range f.to {
		kind, at, given := strings.Cut(s, "=")
		switch {
		case slices.ContainsFunc(targets, func(t target) bool { return t.flag == s }):
			return nil, usagef("--export %s is given twice: leave one out", s)
		case kind == "stdout" || kind == "null":
			if given {
				return nil, usagef("--export %s: %s takes no value; write --export %s", s, kind, kind)
			}
		case kind == "json" || kind == "otlp-grpc" || kind == "otlp-http":
			if at == "" {
				return nil, usagef("--export %s: says not where to; write --export %s=%s", s, kind, map[string]string{
					"json": "spans.jsonl", "otlp-grpc": "127.0.0.1:4317", "otlp-http": "http://127.0.0.1:4318"}[kind])
			}
		default:
			return nil, usagef("--export %s: there is no exporter %q; want stdout, json=FILE, otlp-grpc=HOST:PORT, otlp-http=URL or null", s, kind)
		}
		targets = append(targets, target{kind, at, s})
	}
	onStdout := func(t target) bool { return t.kind == "stdout" || t.flag == "json=-" }
	if i := slices.IndexFunc(targets, onStdout); i >= 0 && slices.ContainsFunc(targets[i+1:], onStdout) {
		return nil, usagef("--export stdout and --export json=- would both write to standard output: leave one out")
	}
	return targets, nil
}

func (f *exportFlags) headerMap() (map[string]string, error) {
	m := make(map[string]string, len(f.headers))
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, usagef("--header: want NAME=VALUE, as in --header 'authorization=Bearer …'") // it may be a secret
		}
		m[name] = value
	}
	return m, nil
}

// outlet is where spans go, as one exporter.
type outlet struct {
	ringtail.Exporter
	fanout *export.FanoutExporter // nil when there is one target
	names  []string               // what was given to --export
}

// open makes the exporters. stdout makes the one for people, which the commands
// differ in.
func (f *exportFlags) open(targets []target, out io.Writer, log *slog.Logger, stdout func() ringtail.Exporter) (*outlet, error) {
	o := &outlet{}
	var branches []export.Branch
	for _, t := range targets {
		e, err := f.openOne(t, out, log, stdout)
		if err != nil {
			err = fmt.Errorf("--export %s: %w", t.flag, err)
			if t.kind == "json" { // the command line is right, the disk is not
				return nil, err
			}
			return nil, usageError{err}
		}
		o.names = append(o.names, t.flag)
		branches = append(branches, export.Branch{Name: t.flag, Exporter: e, Logger: log, Concurrency: concurrency(t)})
	}
	if len(branches) == 1 {
		o.Exporter = branches[0].Exporter
		return o, nil
	}
	var err error
	o.fanout, err = export.Fanout(branches...)
	o.Exporter = o.fanout
	return o, err
}

// concurrency is how many exports at a time make sense for a target.
func concurrency(t target) int {
	if strings.HasPrefix(t.kind, "otlp") {
		return 4
	}
	return 1
}

func (f *exportFlags) openOne(t target, out io.Writer, log *slog.Logger, stdout func() ringtail.Exporter) (ringtail.Exporter, error) {
	headers, err := f.headerMap()
	if err != nil {
		return nil, err
	}
	switch t.kind {
	case "stdout":
		return stdout(), nil
	case "null":
		return export.Null(), nil
	case "json":
		if t.at == "-" {
			return export.NewWriter(out, export.AsJSON()), nil
		}
		return export.NewFile(t.at, export.FileConfig{Logger: log, Sync: f.once})
	case "otlp-grpc":
		opts := []otlpgrpc.Option{otlpgrpc.WithHeaders(headers), otlpgrpc.WithCompressor(f.compression), otlpgrpc.WithLogger(log)}
		if !strings.Contains(t.at, "://") {
			opts = append(opts, otlpgrpc.WithInsecure())
		}
		if f.once {
			opts = append(opts, otlpgrpc.WithRetry(export.RetryConfig{MaxAttempts: 1}))
		}
		return otlpgrpc.New(t.at, opts...)
	case "otlp-http":
		if !strings.Contains(t.at, "://") {
			return nil, fmt.Errorf("%q is no URL: write otlp-http=http://%s, or https for TLS", t.at, t.at)
		}
		opts := []otlphttp.Option{otlphttp.WithHeaders(headers), otlphttp.WithCompression(f.compression), otlphttp.WithLogger(log)}
		if f.once {
			opts = append(opts, otlphttp.WithRetry(export.RetryConfig{MaxAttempts: 1}))
		}
		return otlphttp.New(t.at, opts...)
	}
	return nil, errors.New("unknown kind") // targets admits no other
}

// branches returns the ledgers of several exporters. What the collector calls exported
// has then been handed to these.
func (o *outlet) branches() []export.BranchStats {
	if o.fanout == nil {
		return nil
	}
	return o.fanout.Stats()
}

// settle waits until the ledgers of several exporters are closed. A collector's Shutdown
// whose time is over returns at once, while they are still being closed.
func (o *outlet) settle() {
	if o.fanout == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	o.fanout.Shutdown(ctx) // waits for the first one, whose error has been seen
}

// dropped returns how many spans will not arrive where they should, one for each
// exporter that misses it.
func (o *outlet) dropped(s ringtail.Stats) uint64 {
	n := s.Dropped.Total()
	for _, b := range o.branches() {
		n += b.Dropped.Total()
	}
	return n
}

// inFlight returns how many spans are on their way: in the collector, and in the queues of
// several exporters.
func (o *outlet) inFlight(s ringtail.Stats) uint64 {
	n := s.InFlight
	for _, b := range o.branches() {
		n += b.InFlight
	}
	return n
}

// lost returns how many spans did not arrive where they should have, one for each
// exporter that misses it.
func (o *outlet) lost(s ringtail.Stats) uint64 {
	return o.dropped(s) + o.inFlight(s)
}
