package interop

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// otelcol is a running OpenTelemetry Collector. It writes what it receives to a
// file, which is complete when it has stopped.
type otelcol struct {
	*process
	grpc, http string // where it receives: host:port
	out        string // the file
}

// startCollector starts a Collector. Forward is empty, or the YAML of one more
// exporter, which gets the spans that the file gets, in batches.
func startCollector(t *testing.T, forward string) *otelcol {
	t.Helper()
	for range 5 {
		if c := tryCollector(t, freeAddress(t), freeAddress(t), forward); c != nil {
			return c
		}
	}
	t.Fatal("otelcol has not found a free port five times")
	return nil
}

// tryCollector starts a Collector at these addresses, and returns nil when another
// program has taken one of them.
func tryCollector(t *testing.T, grpc, http, forward string) *otelcol {
	t.Helper()
	dir := t.TempDir()
	c := &otelcol{grpc: grpc, http: http, out: filepath.Join(dir, "spans.json")}
	processors, exporters := "", "file"
	if forward != "" {
		name, _, _ := strings.Cut(forward, ":")
		processors, exporters = "memory_limiter, batch", "file, "+name
	}
	config := filepath.Join(dir, "config.yaml")
	err := os.WriteFile(config, fmt.Appendf(nil, `receivers:
  otlp:
    protocols:
      grpc: {endpoint: %q}
      http: {endpoint: %q}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 1024}
  batch: {send_batch_size: 100, timeout: 50ms}
exporters:
  file: {path: %q}
  %s
service:
  pipelines:
    traces: {receivers: [otlp], processors: [%s], exporters: [%s]}
`, grpc, http, c.out, forward, processors, exporters), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	c.process = startProcess(t, "otelcol", "--config", config)
	if _, ready := c.await(t, contains("Everything is ready.")); ready {
		return c
	}
	if strings.Contains(c.log.String(), "address already in use") {
		return nil
	}
	t.Fatalf("otelcol: %v\n%s", c.err, c.log)
	return nil
}

// address returns where the Collector receives OTLP by that protocol.
func (c *otelcol) address(over string) string {
	if over == overGRPC {
		return c.grpc
	}
	return c.http
}

// spans stops the Collector and returns what it has received.
func (c *otelcol) spans(t *testing.T) spans {
	t.Helper()
	c.stop(t)
	return readSpans(t, c.out)
}

func contains(text string) func([]byte) []byte {
	return func(log []byte) []byte {
		if !bytes.Contains(log, []byte(text)) {
			return nil
		}
		return []byte(text)
	}
}
