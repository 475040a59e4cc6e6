// Package load sends OTLP traces to a receiver, at a chosen rate or as fast as it goes, and tells
// exactly what was acknowledged. It shares its processors with what it measures, so that it must
// cost little: a request is encoded once, as a template, and then only ids and times are written
// into it.
//
//	schedule ──▶ worker ──▶ template.patch ──▶ sender (gRPC, HTTP) ──▶ receiver
//	(pace)       (retry)    (ids, times)         raw bytes
//
// Spans carry running numbers; package numbers says how, and internal/sink finds what is missing.
//
// Files: config.go, what may be asked for; template.go and bodies.go, requests; schedule.go, when they
// are sent; sender.go, retries; grpc.go, http.go and compress.go, how they are sent; report.go and
// histogram.go, what is counted.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
)

// run is one run.
type run struct {
	cfg       *Config
	endpoint  *endpoint
	templates *templates
	schedule  *schedule
	acked     *numbers.Writer // nil: nobody wants to know
	tallies   []*tally
}

// Usage marks an error that is a mistake in a Config.
type Usage struct{ error }

// Run sends what cfg says and returns what became of it, exactly. When ctx ends, nothing new is sent,
// and requests under way have cfg.Grace to be answered. An error is a wrong Config (a [Usage]), a
// receiver that cannot be reached at the beginning, or a failure to write Acked; that spans
// were not taken is no error.
func Run(ctx context.Context, cfg Config) (Report, error) {
	endpoint, err := cfg.check()
	if err != nil {
		return Report{}, Usage{err}
	}
	id := cfg.Run
	for id == 0 {
		id = numbers.Run(rand.Uint32())
	}
	cfg.Run = id
	r := &run{cfg: &cfg, endpoint: endpoint}
	r.templates = newTemplates(&cfg)
	if n := max(len(r.templates.first.body), len(r.templates.rest.body)); n > maxBody {
		return Report{}, Usage{fmt.Errorf("a request of %d spans has %d bytes: OTLP allows %d; use smaller --request-spans", cfg.Request, n, maxBody)}
	}
	if cfg.Acked != nil {
		r.acked = numbers.NewWriter(cfg.Acked, id)
	}
	if err := r.reach(ctx); err != nil {
		return Report{}, err
	}
	return r.send(ctx)
}

// reach waits until the receiver can be connected to.
func (r *run) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ConnectTimeout)
	defer cancel()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, r.endpoint.network, r.endpoint.address)
		if err == nil {
			conn.Close()
			return nil
		}
		if wait(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("cannot reach a receiver: %w", err)
		}
	}
}

func (r *run) send(ctx context.Context) (Report, error) {
	senders, err := r.senders()
	if err != nil {
		return Report{}, err
	}
	defer func() {
		for _, s := range senders {
			s.close()
		}
	}()
	sending := ctx
	if r.cfg.Duration > 0 {
		var cancel context.CancelFunc
		sending, cancel = context.WithTimeout(ctx, r.cfg.Duration)
		defer cancel()
	}
	alive, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()

	began := time.Now()
	r.schedule = newSchedule(r.cfg)
	var workers sync.WaitGroup
	for range r.cfg.InFlight {
		for _, s := range senders {
			w := &worker{run: r, sender: s, tally: newTally()}
			r.tallies = append(r.tallies, w.tally)
			workers.Go(func() { w.work(sending, alive) })
		}
	}
	ended := make(chan struct{})
	go func() {
		workers.Wait()
		close(ended)
	}()
	stopped := r.watch(sending, ended, began, cut)
	report := r.report(stopped.Sub(began))
	report.Cut = ctx.Err() != nil
	if r.acked != nil {
		if err := r.acked.Flush(); err != nil {
			return report, fmt.Errorf("cannot write the acknowledged numbers: %w", err)
		}
	}
	return report, nil
}

// How often what is acknowledged is written, and Progress called.
const tickEvery = 100 * time.Millisecond

// watch returns when all workers have ended, which it sees to once their time is over.
func (r *run) watch(sending context.Context, ended <-chan struct{}, began time.Time, cut func()) time.Time {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	stop, grace := sending.Done(), (<-chan time.Time)(nil)
	for n := 1; ; n++ {
		select {
		case <-ended:
			return time.Now()
		case <-stop:
			stop = nil
			timer := time.NewTimer(r.cfg.Grace)
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			cut()
		case <-r.cfg.Cut:
			r.cfg.Cut = nil
			cut()
		case now := <-tick.C:
			if r.acked != nil {
				r.acked.Flush() // the error is kept, for the end
			}
			if r.cfg.Progress != nil && n%2 == 0 {
				r.cfg.Progress(r.report(now.Sub(began)))
			}
		}
	}
}

func (r *run) report(elapsed time.Duration) Report {
	c := r.cfg
	out := Report{
		Run: c.Run.String(), Endpoint: r.endpoint.String(), Protocol: string(c.Protocol), Compression: c.Compression,
		Seconds: elapsed.Seconds(), Errors: map[string]uint64{},
	}
	out.SpanBytes, out.RequestBytes = r.templates.means()
	var latency histogram
	for _, t := range r.tallies {
		t.addTo(&out, &latency)
	}
	// After the counts, so that what is sent is never less than what was answered.
	out.Sent = r.schedule.taken()
	ms := func(q float64) float64 { return float64(latency.quantile(q)) / 1e6 }
	out.Latency = Latency{ms(0.5), ms(0.9), ms(0.99), ms(1)}
	return out
}

func (r *run) senders() ([]sender, error) {
	senders := make([]sender, 0, r.cfg.Connections)
	open := r.openHTTP
	if r.cfg.Protocol == GRPC {
		open = r.openGRPC
	}
	for range r.cfg.Connections {
		s, err := open()
		if err != nil {
			for _, s := range senders {
				s.close()
			}
			return nil, fmt.Errorf("cannot use endpoint %s: %w", r.endpoint, err)
		}
		senders = append(senders, s)
	}
	return senders, nil
}

// templates has the templates of a run.
type templates struct {
	shape       shape
	request     int
	first, rest *template // scattered traces: first has their roots; whole ones: they are the same

	mu    sync.Mutex
	short *template // of the last request, which has fewer spans
}

func newTemplates(c *Config) *templates {
	t := &templates{request: c.Request, shape: shape{
		traces: numbers.Traces{Request: c.Request, Spans: c.TraceSpans, Scattered: c.Scattered}, run: c.Run,
		attributes: c.Attributes, attributeBytes: c.AttributeBytes, operations: c.Operations, json: c.Protocol == HTTPJSON,
	}}
	t.first = t.shape.template(c.Request, 0)
	t.rest = t.first
	if c.Scattered && c.TraceSpans > 1 {
		t.rest = t.shape.template(c.Request, 1)
	}
	return t
}

// of returns the template of a request. Only the last of a run has fewer spans than the others.
func (t *templates) of(index, spans uint64) *template {
	row := t.row(index)
	switch {
	case spans < uint64(t.request):
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.short == nil {
			t.short = t.shape.template(int(spans), row)
		}
		return t.short
	case row == 0:
		return t.first
	}
	return t.rest
}

func (t *templates) row(index uint64) int {
	if !t.shape.traces.Scattered {
		return 0
	}
	return int(index % uint64(t.shape.traces.Spans))
}

// means returns the mean sizes of a span and of a full request, over the requests of a trace.
func (t *templates) means() (span, request float64) {
	rows := 1.0
	if t.shape.traces.Scattered {
		rows = float64(t.shape.traces.Spans)
	}
	mean := func(first, rest int) float64 { return (float64(first) + (rows-1)*float64(rest)) / rows }
	return mean(t.first.spanBytes, t.rest.spanBytes) / float64(t.request), mean(len(t.first.body), len(t.rest.body))
}

// numbers returns the numbers of a request's spans.
func (r *request) numbers() numbers.Range {
	return numbers.Range{First: r.first, Last: r.first + r.spans() - 1}
}
