package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// Both ends of a run are ringtail's own: load sends spans with running numbers, and sink tells which of
// them came.

// loadReport is what is read of the report of `ringtail load`.
type loadReport struct {
	Seconds    float64 `json:"seconds"`
	SpanBytes  float64 `json:"span_bytes"`
	Sent       uint64  `json:"spans_sent"`
	Acked      uint64  `json:"spans_acknowledged"`
	Rejected   uint64  `json:"spans_rejected"`
	Refused    uint64  `json:"spans_refused"`
	GivenUp    uint64  `json:"spans_given_up"`
	Retryable  uint64  `json:"spans_refused_retryable"`
	Retries    uint64  `json:"retries"`
	Final      uint64  `json:"final_refusals"`
	Unanswered uint64  `json:"unanswered"`
	Turned     uint64  `json:"retryable_refusals"`
	LastError  string  `json:"last_error"`
	CPUPerM    float64 `json:"cpu_seconds_per_million_spans"`
	Latency    struct {
		P99 float64 `json:"p99_ms"`
	} `json:"latency"`
}

// clean returns an error if something was not taken and cannot be sent again.
func (r *loadReport) clean() error {
	if r.Rejected+r.Final+r.GivenUp+r.Unanswered > 0 || r.Retryable != r.Refused {
		return fmt.Errorf("of %d spans, %d were rejected, %d refused (%d for now), %d given up, and %d requests not answered; the last error: %s",
			r.Sent, r.Rejected, r.Refused, r.Retryable, r.GivenUp, r.Unanswered, r.LastError)
	}
	return nil
}

// load is a running load generator.
type load struct{ *process }

// startLoad sends spans to the target, as fast as it goes with eight requests in flight
// unless flags say otherwise.
func (s *stage) startLoad(t *target, w work, flags ...string) (load, error) {
	compression := "none"
	if w.gzipIn {
		compression = "gzip"
	}
	args := []string{"load", "--json", "--endpoint", t.endpoint(w), "--protocol", w.protocol, "--request-spans", strconv.Itoa(w.request),
		"--compression", compression, "--connections", "2", "--in-flight", "4", "--give-up", patience.String(), "--acked", s.path("acked")}
	if w.spans > 0 {
		args = append(args, "--spans", strconv.FormatUint(w.spans, 10))
	}
	p, err := s.start(s.ringtail, append(args, flags...)...)
	return load{p}, err
}

// report waits until everything is sent.
func (l load) report(s *stage) (*loadReport, error) {
	l.stopped = true // it ends by itself
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for !l.ended() {
		select {
		case <-l.exited:
		case <-look.C:
			if err := s.dead(); err != nil {
				return nil, err
			}
		}
	}
	failed := l.err // not alone for trouble: what that means, the report tells
	out, _ := l.stdout.read()
	r := new(loadReport)
	if err := json.Unmarshal([]byte(out), r); err != nil {
		return nil, fmt.Errorf("ringtail load: %w\n%s", orEnded(failed), l.stderr.tail())
	}
	return r, nil
}

// sinkReport is what is read of the report of `ringtail sink`.
type sinkReport struct {
	Spans   uint64  `json:"spans"`
	Seconds float64 `json:"seconds"`
	Exact   bool    `json:"exact"`
	Lost    uint64  `json:"spans_lost"`
	CPUPerM float64 `json:"cpu_seconds_per_million_spans"`
	Runs    []struct {
		Seen       uint64 `json:"spans_seen"`
		Duplicates uint64 `json:"spans_duplicated"`
	} `json:"runs"`
}

func (r *sinkReport) seen() (n uint64) {
	for _, run := range r.Runs {
		n += run.Seen
	}
	return n
}

func (r *sinkReport) duplicates() (n uint64) {
	for _, run := range r.Runs {
		n += run.Duplicates
	}
	return n
}

// sink is a running sink.
type sink struct {
	*process
	grpc, http string
}

var sinkReady = regexp.MustCompile(`OTLP/gRPC\s+(\S+)\n\s*OTLP/HTTP\s+http://([^/\s]+)/`)

// startSink starts a sink at an address, which may end in :0.
func (s *stage) startSink(address string, flags ...string) (*sink, error) {
	args := append([]string{"sink", "--json", "--grpc", address, "--http", "127.0.0.1:0", "--acked", s.path("acked")}, flags...)
	p, err := s.start(s.ringtail, args...)
	if err != nil {
		return nil, err
	}
	m, err := p.await(sinkReady)
	if err != nil {
		return nil, err
	}
	return &sink{p, m[1], m[2]}, nil
}

// soFar asks the sink what has come.
func (k *sink) soFar() (*sinkReport, error) {
	client := http.Client{Timeout: patience}
	resp, err := client.Get("http://" + k.http + "/report")
	if err != nil {
		return nil, fmt.Errorf("cannot ask the sink: %w", err)
	}
	defer resp.Body.Close()
	r := new(sinkReport)
	if err := json.NewDecoder(resp.Body).Decode(r); err != nil {
		return nil, fmt.Errorf("cannot read the sink's report: %w", err)
	}
	return r, nil
}

// await waits until so many different spans have come. It gives up when none has come for a
// minute.
func (k *sink) await(s *stage, spans uint64) error {
	var before uint64
	since := time.Now()
	for {
		r, err := k.soFar()
		if err != nil {
			return errors.Join(s.dead(), err)
		}
		n := r.seen()
		if n >= spans {
			return nil
		}
		if n > before {
			before, since = n, time.Now()
		}
		if time.Since(since) > patience {
			return fmt.Errorf("%d spans were acknowledged, and only %d have come, the last %v ago", spans, n, patience)
		}
		if err := errors.Join(s.ctx.Err(), s.dead()); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond) // there is nothing to wait on but its answer
	}
}

// settle ends the sink. Its report has been compared with what was acknowledged: a span that
// was, and did not come, is an error.
func (k *sink) settle() (*sinkReport, error) {
	failed := k.stop()
	out, _ := k.stdout.read()
	r := new(sinkReport)
	if err := json.Unmarshal([]byte(out), r); err != nil {
		return nil, errors.Join(failed, fmt.Errorf("cannot read the sink's report: %w", err))
	}
	if r.Lost > 0 {
		return r, fmt.Errorf("%d spans that had been acknowledged did not arrive", r.Lost)
	}
	if !r.Exact {
		return r, errors.New("the sink had no room to note which spans came")
	}
	return r, failed
}
