package interop

import (
	"maps"
	"path/filepath"
	"regexp"
	"testing"
)

// daemon is a running `ringtail serve`, with one exporter of each kind that there is
// software to read: a file of OTLP JSON, and Collectors by gRPC and by HTTP.
type daemon struct {
	*process
	grpc, http string // where it receives: host:port
	file       string
	byGRPC     *otelcol
	byHTTP     *otelcol
	args       []string // of the process
}

var (
	grpcListening = regexp.MustCompile(`OTLP/gRPC\s+(\S+)\n`)
	httpListening = regexp.MustCompile(`OTLP/HTTP\s+http://([^/\s]+)/v1/traces\n`)
)

// startDaemon starts one with a log on disk of its own, and with more flags.
func startDaemon(t *testing.T, flags ...string) *daemon {
	t.Helper()
	d := &daemon{
		file:   filepath.Join(t.TempDir(), "spans.json"),
		byGRPC: startCollector(t, ""),
		byHTTP: startCollector(t, ""),
	}
	d.args = append([]string{"serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--data-dir", t.TempDir(), "--compression", "zstd",
		"--export", "json=" + d.file, "--export", "otlp-grpc=" + d.byGRPC.grpc, "--export", "otlp-http=http://" + d.byHTTP.http}, flags...)
	d.start(t)
	return d
}

// start starts the daemon, or starts it again where its log is.
func (d *daemon) start(t *testing.T) {
	t.Helper()
	d.process = startProcess(t, "ringtail", d.args...)
	d.grpc, d.http = awaitAddresses(t, d.process)
}

// awaitAddresses returns where a `ringtail serve` receives, when it does.
func awaitAddresses(t *testing.T, p *process) (grpc, http string) {
	t.Helper()
	find := func(address *regexp.Regexp) string {
		found, ok := p.await(t, func(log []byte) []byte {
			if m := address.FindSubmatch(log); m != nil {
				return m[1]
			}
			return nil
		})
		if !ok {
			t.Fatalf("ringtail serve: %v", p.err)
		}
		return string(found)
	}
	return find(grpcListening), find(httpListening)
}

// address returns where the daemon receives OTLP by that protocol.
func (d *daemon) address(over string) string {
	if over == overGRPC {
		return d.grpc
	}
	return d.http
}

// destinations is what rows about the daemon say of where spans went.
const destinations = "ringtail serve → file, Collector by gRPC, by HTTP"

// spans stops the daemon and its backends, and returns what arrived at each.
func (d *daemon) spans(t *testing.T) map[string]spans {
	t.Helper()
	d.stop(t)
	return map[string]spans{
		"JSON file":         readSpans(t, d.file),
		"Collector by gRPC": d.byGRPC.spans(t),
		"Collector by HTTP": d.byHTTP.spans(t),
	}
}

// mustHave stops the daemon and compares what arrived everywhere with want.
func (d *daemon) mustHave(t *testing.T, want spans) {
	t.Helper()
	for where, got := range d.spans(t) {
		if err := compare(want, got, nil); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
}

// testRoutes sends spans to one daemon by all these ways, one after the other, and
// compares what has arrived everywhere.
func testRoutes(t *testing.T, from string, protocols, compressions []string, send func(t *testing.T, d *daemon, over, compression string) spans) {
	d := startDaemon(t)
	var routes []route
	sent := map[route]spans{}
	all := spans{}
	for _, over := range protocols {
		for _, compression := range compressions {
			r := route{from, over, compression, destinations}
			routes = append(routes, r)
			t.Run("send "+over+" "+compression, func(t *testing.T) {
				sent[r] = send(t, d, over, compression)
				maps.Copy(all, sent[r])
			})
		}
	}
	arrived := d.spans(t)
	for _, r := range routes {
		r.run(t, func(t *testing.T) string {
			if len(sent[r]) == 0 {
				t.Fatal("nothing was sent")
			}
			for where, got := range arrived {
				if err := compare(sent[r], got.of(sent[r]), nil); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
			return exact(sent[r].len())
		})
	}
	if t.Failed() {
		return // it may not be known what was sent
	}
	for where, got := range arrived {
		if got.len() != all.len() {
			t.Errorf("%s: %d spans, and %d were sent", where, got.len(), all.len())
		}
	}
}
