package interop

import (
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
}

var (
	grpcListening = regexp.MustCompile(`OTLP/gRPC\s+(\S+)\n`)
	httpListening = regexp.MustCompile(`OTLP/HTTP\s+http://([^/\s]+)/v1/traces\n`)
)

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{
		file:   filepath.Join(t.TempDir(), "spans.json"),
		byGRPC: startCollector(t, ""),
		byHTTP: startCollector(t, ""),
	}
	d.process = startProcess(t, "ringtail", "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--compression", "zstd",
		"--export", "json="+d.file, "--export", "otlp-grpc="+d.byGRPC.grpc, "--export", "otlp-http=http://"+d.byHTTP.http)
	find := func(address *regexp.Regexp) string {
		found, ok := d.await(t, func(log []byte) []byte {
			if m := address.FindSubmatch(log); m != nil {
				return m[1]
			}
			return nil
		})
		if !ok {
			t.Fatalf("ringtail serve: %v", d.err)
		}
		return string(found)
	}
	d.grpc, d.http = find(grpcListening), find(httpListening)
	return d
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
