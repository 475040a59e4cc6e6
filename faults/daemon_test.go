//go:build linux

package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/seglog"
)

// A plan is what a daemon is told by its file.
type plan struct {
	dir       string // of the log; empty: a new one
	grpc      string // address; empty: a free port of an own host. The same for http
	http      string
	logBytes  int    // default 64 MiB
	whenFull  string // default refuse
	maxAge    time.Duration
	exporters map[string]exporter
	grace     time.Duration // --shutdown-timeout; default the patience of a test
	watch     *watch        // default none
}

// An exporter is its part of the file.
type exporter map[string]any

func toGRPC(addr string) exporter {
	return exporter{"endpoint": addr, "tls": exporter{"insecure": true}, "compression": "none", "timeout": "20s"}
}

func toHTTP(addr string) exporter {
	return exporter{"endpoint": "http://" + addr, "compression": "none", "timeout": "20s"}
}

// with returns the exporter with one key more.
func (e exporter) with(key string, value any) exporter {
	e = maps.Clone(e)
	e[key] = value
	return e
}

// What exporters of tests have in common: batches are small, so that there are many.
const (
	consumers  = 4
	batchSpans = 200
)

// A daemon is 'ringtail serve' with a log on disk.
type daemon struct {
	*process
	plan plan
}

// serve starts a daemon and waits until it listens. The plan that it returns has all
// addresses and directories, so that it may be used again.
func serve(t *testing.T, p plan) *daemon {
	t.Helper()
	d := &daemon{plan: p}
	if d.plan.dir == "" {
		d.plan.dir = t.TempDir()
	}
	d.process = d.plan.launch(t)
	d.plan.grpc = d.await(`OTLP/gRPC +(\S+)`)
	d.plan.http = d.await(`OTLP/HTTP +http://([^/\s]+)`)
	d.await("Ctrl-C ends it")
	return d
}

// again starts the daemon again, on the same directory and ports.
func (d *daemon) again() *daemon {
	d.t.Helper()
	return serve(d.t, d.plan)
}

// launch starts the daemon, and does not wait until it listens.
func (p *plan) launch(t *testing.T) *process {
	t.Helper()
	if p.watch != nil {
		return p.watch.launch(t, p.args(t)...)
	}
	return launch(t, p.args(t)...)
}

// args writes the file and returns the arguments that name it.
func (p *plan) args(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ringtail.yaml")
	if err := os.WriteFile(path, p.file(), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"serve", "--config", path, "--shutdown-timeout", cmp.Or(p.grace, patience).String()}
}

// file is JSON, which is YAML too.
func (p *plan) file() []byte {
	type object = map[string]any
	free := ownHost() + ":0"
	size := cmp.Or(p.logBytes, 64<<20)
	grpc, http := cmp.Or(p.grpc, free), cmp.Or(p.http, free)
	exporters := object{}
	for name, e := range p.exporters {
		all := object{
			"sending_queue": object{
				"storage": "file_storage", "sizer": "bytes", "queue_size": size, "num_consumers": consumers,
				"when_full": cmp.Or(p.whenFull, "refuse"), "max_age": p.maxAge.String(),
				"batch": object{"max_size": batchSpans, "sizer": "items", "flush_timeout": "10ms"},
			},
			"retry_on_failure": object{"initial_interval": "20ms", "max_interval": "100ms"},
		}
		maps.Copy(all, e)
		exporters[name] = all
	}
	b, err := json.Marshal(object{
		"receivers":  object{"otlp": object{"protocols": object{"grpc": object{"endpoint": grpc}, "http": object{"endpoint": http}}}},
		"exporters":  exporters,
		"extensions": object{"file_storage": object{"directory": p.dir}},
		"service": object{
			"extensions": []string{"file_storage"},
			"pipelines":  object{"traces": object{"receivers": []string{"otlp"}, "exporters": slices.Sorted(maps.Keys(exporters))}},
		},
	})
	if err != nil {
		panic(err) // strings and numbers
	}
	return b
}

var hosts atomic.Uint32

// ownHost returns a loopback address that nobody else uses: a daemon that is started again finds its
// ports as it left them.
func ownHost() string {
	n := hosts.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, n>>8&0xff, n&0xff)
}

// logDir is where the log of the plan's pipeline is.
func (p *plan) logDir() string { return filepath.Join(p.dir, "traces") }

// lag returns the spans behind each durable cursor: no others can come twice because the
// daemon was killed now.
func (d *daemon) lag() map[string]uint64 {
	d.t.Helper()
	i, err := seglog.Inspect(d.plan.logDir())
	if err != nil {
		d.t.Fatal(err)
	}
	lag := map[string]uint64{}
	for _, c := range i.Cursors {
		lag[c.Name] = c.LagCount
	}
	return lag
}

// A ledger is what a daemon has printed at its end.
type ledger struct {
	received  uint64
	exporters map[string]entry
}

type entry struct {
	delivered, lost, inLog, before uint64
	reasons                        map[string]uint64 // of those lost
}

// finish stops the daemon, and returns its ledger, which balances, and the exit code.
func (d *daemon) finish() (ledger, int) {
	d.t.Helper()
	code := d.stop()
	return d.ledger(), code
}

var (
	receivedLine = lineLike(`^  received NUMBER`)
	exporterLine = lineLike(`^  (\S+): NUMBER delivered, NUMBER lost(?:, NUMBER (?:stay in the log|not delivered))?`)
	beforeLine   = lineLike(`^    NUMBER were received before`)
	reasonLine   = lineLike(`^    NUMBER (\w+)  `)
)

// lineLike matches numbers as they are printed, 12 345.
func lineLike(pattern string) *regexp.Regexp {
	return regexp.MustCompile(strings.ReplaceAll(pattern, "NUMBER", `(\d{1,3}(?: \d{3})*)`))
}

func (d *daemon) ledger() ledger {
	d.t.Helper()
	l := ledger{exporters: map[string]entry{}}
	last := ""
	_, text, _ := strings.Cut(d.stderr.String(), "\nLedger\n")
	for line := range strings.Lines(text) {
		if m := receivedLine.FindStringSubmatch(line); m != nil {
			l.received = d.number(m[1])
		} else if m := exporterLine.FindStringSubmatch(line); m != nil {
			last = m[1]
			l.exporters[last] = entry{delivered: d.number(m[2]), lost: d.number(m[3]), inLog: d.number(m[4]), reasons: map[string]uint64{}}
		} else if m := beforeLine.FindStringSubmatch(line); m != nil {
			e := l.exporters[last]
			e.before = d.number(m[1])
			l.exporters[last] = e
		} else if m := reasonLine.FindStringSubmatch(line); m != nil {
			l.exporters[last].reasons[m[2]] = d.number(m[1])
		}
	}
	if len(l.exporters) == 0 {
		d.t.Fatalf("there is no ledger:\n%s", tail(d.stderr.String()))
	}
	for name, e := range l.exporters {
		sum := uint64(0)
		for _, n := range e.reasons {
			sum += n
		}
		if e.before+e.delivered+e.lost+e.inLog != l.received || sum != e.lost {
			d.t.Errorf("the ledger of %s does not balance: %+v of %d received", name, e, l.received)
		}
	}
	return l
}

// number reads a number as it is printed: 12 345. Nothing is zero.
func (d *daemon) number(s string) uint64 {
	if s = strings.ReplaceAll(s, " ", ""); s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}
