//go:build linux

package faults

import (
	"encoding/json"
	"os"
	"syscall"
	"testing"

	"github.com/ringtail-otel/ringtail/internal/load"
	"github.com/ringtail-otel/ringtail/internal/sink"
)

// sendTo starts 'ringtail load', which sends to an address again until it is taken.
func sendTo(t *testing.T, addr string, args ...string) *loading {
	t.Helper()
	return &loading{launch(t, append([]string{"load", "--endpoint", addr, "--give-up", "0", "--timeout", "20s", "--json"}, args...)...)}
}

type loading struct{ *process }

// report waits for the end, and returns what became of the spans.
func (l *loading) report() (r load.Report) {
	l.t.Helper()
	l.end()
	if err := json.Unmarshal([]byte(l.stdout.String()), &r); err != nil {
		l.t.Fatalf("cannot read the report of load: %v\n%s", err, tail(l.stderr.String()))
	}
	if r.Sent != r.Acknowledged+r.Rejected+r.Refused+r.GivenUp {
		l.t.Errorf("the ledger of load does not balance: %+v", r)
	}
	return r
}

// finish lets it send no more, and returns the report.
func (l *loading) finish() load.Report {
	l.t.Helper()
	l.signal(syscall.SIGINT)
	return l.report()
}

// send sends so many spans, all of which are to be acknowledged.
func send(t *testing.T, addr string, args ...string) load.Report {
	t.Helper()
	r := sendTo(t, addr, args...).report()
	if r.Acknowledged != r.Sent || r.Sent == 0 {
		t.Fatalf("%d of %d spans acknowledged: %+v", r.Acknowledged, r.Sent, r)
	}
	return r
}

// A receiver is 'ringtail sink'.
type receiver struct {
	*process
	grpc, http string
}

func receive(t *testing.T, args ...string) *receiver {
	t.Helper()
	s := &receiver{process: launch(t, append([]string{"sink", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--json"}, args...)...)}
	s.grpc = s.await(`OTLP/gRPC +(\S+)`)
	s.http = s.await(`OTLP/HTTP +http://([^/\s]+)`)
	return s
}

// finish ends it, and returns what has come.
func (s *receiver) finish() (r sink.Report) {
	s.t.Helper()
	s.stop()
	if err := json.Unmarshal([]byte(s.stdout.String()), &r); err != nil {
		s.t.Fatalf("cannot read the report of sink: %v\n%s", err, tail(s.stderr.String()))
	}
	if !r.Exact {
		s.t.Errorf("the report of sink is not exact: %d spans are not tracked", r.Untracked)
	}
	return r
}

// noted is how many bytes of acknowledged numbers there are in a file: it grows with them.
func noted(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// acknowledged waits until spans are acknowledged that were not before. Their numbers come to the file after a
// while: the first that appear may be older.
func acknowledged(t *testing.T, path string) {
	t.Helper()
	for range 2 {
		before := noted(path)
		eventually(t, "spans are acknowledged", func() bool { return noted(path) > before })
	}
}
