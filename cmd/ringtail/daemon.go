package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/collector"
	"github.com/ringtail-otel/ringtail/collector/config"
	"github.com/ringtail-otel/ringtail/seglog"
)

// daemon is what serve runs: pipelines, and the receivers that feed them.
type daemon struct {
	parts  []*part
	logger *slog.Logger
	failed chan error // what a receiver could not go on for
}

// part is one pipeline of a daemon.
type part struct {
	plan     config.Pipeline
	pipeline *collector.Pipeline
	servers  []*collector.Server
	before   uint64 // spans in the ledger when it was started
	logErr   error  // the log could not be closed
}

// startDaemon opens logs and exporters, listens, and serves. When it fails it leaves
// nothing open.
func startDaemon(plan *config.Config, env config.Environment) (_ *daemon, err error) {
	d := &daemon{logger: env.Logger, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithCancel(context.Background())
			cancel() // there is nothing to wait for
			d.shutdown(ctx)
		}
	}()
	for _, p := range plan.Pipelines {
		if err := d.add(p, env); err != nil {
			return nil, err
		}
	}
	for _, p := range d.parts {
		for _, s := range p.servers {
			go func() {
				if err := s.Serve(); err != nil {
					select {
					case d.failed <- err:
					default: // one is enough to stop for
					}
				}
			}()
		}
	}
	return d, nil
}

func (d *daemon) add(plan config.Pipeline, env config.Environment) error {
	log, err := openLog(plan, env.Logger)
	if err != nil {
		return err
	}
	var exporters []collector.ExporterConfig
	for _, e := range plan.Exporters {
		c, err := e.Open(env)
		if err != nil {
			for _, o := range exporters {
				o.Exporter.Shutdown(context.Background())
			}
			return errors.Join(err, log.Close())
		}
		exporters = append(exporters, c)
	}
	pipeline, err := collector.NewPipeline(collector.PipelineConfig{Log: log, Exporters: exporters, Logger: env.Logger})
	if err != nil {
		return err
	}
	p := &part{plan: plan, pipeline: pipeline}
	d.parts = append(d.parts, p)
	d.forget(p, log)
	p.before = pipeline.Stats().Received
	for _, r := range plan.Receivers {
		s, err := collector.New(r.Config, pipeline)
		if err != nil {
			if errors.Is(err, syscall.EADDRINUSE) {
				err = fmt.Errorf("%w\nIs another collector running there? Choose another address, or off", err)
			}
			return err
		}
		p.servers = append(p.servers, s)
	}
	return nil
}

func openLog(plan config.Pipeline, logger *slog.Logger) (*seglog.Log, error) {
	plan.Log.Logger = logger
	if plan.LogDir == "" {
		return seglog.NewMemory(plan.Log)
	}
	log, err := seglog.Open(plan.LogDir, plan.Log)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log in %s: %w", plan.LogDir, err)
	}
	return log, nil
}

// forget deletes cursors of exporters that are not there any more, if nothing waits for
// them. Spans that do are kept, since they were acknowledged, and it says so.
func (d *daemon) forget(p *part, log *seglog.Log) {
	for _, c := range log.Cursors() {
		if c.Held {
			continue
		}
		if c.LagCount == 0 || c.Name == arrivalsCursor {
			if err := log.DeleteCursor(c.Name); err != nil {
				d.logger.Warn("ringtail: cannot delete a cursor", "cursor", c.Name, "error", err)
			}
			continue
		}
		d.logger.Warn("ringtail: an exporter of an earlier run is not configured any more, and spans wait for it; configure it again, or let them go",
			"exporter", c.Name, "spans", c.LagCount, "let_go_by", fmt.Sprintf("ringtail log forget --data-dir %s '%s'", p.plan.LogDir, c.Name))
	}
}

// greet says where to send spans, and where they go.
func (d *daemon) greet(p page) {
	for _, part := range d.parts {
		title := "receives spans"
		if len(d.parts) > 1 {
			title = "receives spans for " + part.plan.ID
		}
		fmt.Fprintln(p, p.bold("ringtail "+ringtail.Version+" "+title))
		for _, s := range part.servers {
			if a := s.GRPCAddr(); a != nil {
				fmt.Fprintf(p, "  OTLP/gRPC   %s\n", a)
			}
			if a := s.HTTPAddr(); a != nil {
				scheme := "http"
				if s.TLS() {
					scheme = "https"
				}
				fmt.Fprintf(p, "  OTLP/HTTP   %s://%s/v1/traces\n", scheme, a)
			}
		}
		if part.plan.LogDir == "" {
			fmt.Fprintln(p, "keeps them in memory")
		} else {
			fmt.Fprintf(p, "keeps them in\n  %s\n", part.plan.LogDir)
		}
		part.greetExporters(p)
		if n := part.waiting(); n > 0 {
			fmt.Fprintf(p, "%s of an earlier run wait in the log.\n", plural(n, "span"))
		}
	}
	fmt.Fprintln(p, p.dim("Ctrl-C ends it."))
}

func (p *part) greetExporters(out page) {
	if p.plan.Exporters[0].ID == arrivalsCursor {
		fmt.Fprintln(out, "and shows what arrives, until --export says where to deliver it.")
		if len(p.servers) > 0 && p.servers[0].GRPCAddr() != nil {
			fmt.Fprintf(out, "Try it from another terminal:\n  ringtail demo --export otlp-grpc=%s\n", p.servers[0].GRPCAddr())
		}
		return
	}
	fmt.Fprintln(out, "and delivers them to")
	for _, e := range p.plan.Exporters {
		if e.ID == e.To {
			fmt.Fprintf(out, "  %s\n", e.ID)
		} else {
			fmt.Fprintf(out, "  %-11s %s\n", e.ID, e.To)
		}
	}
}

// waiting is how many spans the exporter has to deliver that is furthest behind.
func (p *part) waiting() (n uint64) {
	for _, e := range p.pipeline.Stats().Exporters {
		n = max(n, e.InLog)
	}
	return n
}

func (d *daemon) printsSpans() bool {
	for _, p := range d.parts {
		for _, e := range p.plan.Exporters {
			if e.ID == "stdout" || e.ID == "json=-" || strings.HasPrefix(e.ID, "debug") {
				return true
			}
		}
	}
	return false
}

// daemonStats is the ledger of all pipelines.
type daemonStats []partStats

type partStats struct {
	collector.PipelineStats
	plan     *config.Pipeline
	before   uint64
	logErr   error
	requests collector.Stats // of all its servers
}

func (d *daemon) stats() daemonStats {
	var all daemonStats
	for _, p := range d.parts {
		s := partStats{PipelineStats: p.pipeline.Stats(), plan: &p.plan, before: p.before, logErr: p.logErr}
		for _, server := range p.servers {
			add(&s.requests, server.Stats())
		}
		all = append(all, s)
	}
	return all
}

func add(sum *collector.Stats, s collector.Stats) {
	sum.Accepted += s.Accepted
	sum.Bad += s.Bad
	sum.TooLarge += s.TooLarge
	sum.Overloaded += s.Overloaded
	sum.TimedOut += s.TimedOut
	sum.Failed += s.Failed
	sum.RefusedConnections += s.RefusedConnections
}

func (d *daemon) received() uint64 { return d.stats().received() }

// received is what came since the start.
func (s daemonStats) received() (n uint64) {
	for _, p := range s {
		n += p.Received - p.before
	}
	return n
}

// line is the ledger in a line.
func (s daemonStats) line(rate float64) string {
	line := fmt.Sprintf("%s spans/s  received %s", brief(rate), brief(float64(s.received())))
	for _, p := range s {
		for _, e := range p.Exporters {
			if e.Name != arrivalsCursor {
				line += fmt.Sprintf("  %s:", e.Name)
			}
			if e.InLog > 0 {
				line += fmt.Sprintf(" %s in log", brief(float64(e.InLog)))
			}
			if n := e.Dropped.Total() + e.SkippedTotal(); n > 0 {
				line += fmt.Sprintf(" %s lost", brief(float64(n)))
			}
			if !e.FailingSince.IsZero() {
				line += fmt.Sprintf(" failing for %v", time.Since(e.FailingSince).Round(time.Second))
			}
		}
		if n := p.requests.Overloaded; n > 0 {
			line += fmt.Sprintf("  turned away %s", brief(float64(n)))
		}
	}
	return line
}

// shutdown ends receivers and pipelines within ctx.
func (d *daemon) shutdown(ctx context.Context) {
	for _, p := range d.parts {
		for _, s := range p.servers {
			if err := s.Shutdown(ctx); err != nil && ctx.Err() == nil {
				d.logger.Warn("ringtail: cannot stop a receiver", "error", err)
			} else if err != nil {
				d.logger.Warn("requests were cut off; their clients have no answer and will send again", "error", err)
			}
		}
	}
	for _, p := range d.parts {
		if err := p.pipeline.Shutdown(ctx); err != nil {
			d.logger.Warn(err.Error())
			var log *collector.LogError
			if errors.As(err, &log) {
				p.logErr = log
			}
		}
	}
}

// printLedger prints what became of every span, and returns how many that were
// acknowledged are lost, without those that an earlier run has told of when it ended.
func (d *daemon) printLedger(p page) (lost uint64) {
	for _, s := range d.stats() {
		fmt.Fprintf(p, "%s accepted%s\n", plural(s.requests.Accepted, "request"), refusals(s.requests))
		title := "Ledger"
		if len(d.parts) > 1 {
			title += " of " + s.plan.ID
		}
		fmt.Fprintln(p, p.bold(title))
		note := ""
		if s.before > 0 {
			note = p.dim(fmt.Sprintf("  %s of them in this run", count(s.Received-s.before)))
		}
		fmt.Fprintf(p, "  received %s%s\n", count(s.Received), note)
		for _, e := range s.Exporters {
			lost += s.printExporter(p, &e)
		}
	}
	return lost
}

func (s *partStats) printExporter(p page, e *collector.ExporterStats) (lost uint64) {
	lost = e.Dropped.Total() + e.SkippedTotal() - e.Told
	name, rest := e.Name, ""
	if name == arrivalsCursor {
		name = "shown"
	}
	if e.InLog > 0 {
		switch {
		case s.plan.LogDir == "":
			lost += e.InLog
			rest = ", " + count(e.InLog) + " not delivered before the end"
		case s.logErr != nil:
			lost += e.InLog
			rest = ", " + count(e.InLog) + " not delivered, and perhaps not in the log any more"
		default:
			rest = ", " + count(e.InLog) + " stay in the log for the next start"
		}
	}
	line := fmt.Sprintf("  %s: %s delivered, %s lost%s", name, count(e.Delivered), count(e.Dropped.Total()+e.SkippedTotal()), rest)
	if lost > 0 {
		line = p.red(line)
	}
	fmt.Fprintln(p, line)
	printDrops(p, "    ", &e.Dropped)
	for r, n := range e.Skipped {
		if n > 0 {
			fmt.Fprintf(p, "    %s %s  %s\n", count(n), seglog.Skipped(r), p.dim(skippedWords[seglog.Skipped(r)]))
		}
	}
	if e.Before > 0 {
		fmt.Fprintf(p, "    %s\n", p.dim(count(e.Before)+" were received before it was there"))
	}
	if s.Received != e.Before+e.Delivered+e.Dropped.Total()+e.SkippedTotal()+e.InLog {
		fmt.Fprintln(p, p.red("    ✗ the ledger does not balance: this is a bug in ringtail, please report it"))
	}
	if e.LastError != "" {
		p.wrap("    ", "last error: "+e.LastError)
	}
	return lost
}

var skippedWords = map[seglog.Skipped]string{
	seglog.SkippedLimit:  "forced out of the log by its size",
	seglog.SkippedAge:    "older than the log keeps spans",
	seglog.SkippedDamage: "damaged on the disk",
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
	if n := r.RefusedConnections; n > 0 {
		fmt.Fprintf(&b, ", %s beyond the limit refused", plural(n, "connection"))
	}
	return b.String()
}
