package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
)

// work is what a contender is to do.
type work struct {
	spans     uint64
	protocol  string // of what comes in: grpc or http/protobuf
	request   int    // spans in each request
	gzipIn    bool
	gzipOut   bool
	exporters int    // 0: one
	storage   string // of what was acknowledged: "" in memory, "synced", "unsynced"

	// What only Ringtail has, or needs, a word for.
	logBytes   int64 // how large its log may grow; 0: the default
	batchBytes int   // how large its batches may grow; 0: the default
}

// target is a contender's process, and where it receives.
type target struct {
	*process
	grpc, http string // host:port
	ringtail   bool
}

func (t *target) endpoint(w work) string {
	if w.protocol == "grpc" {
		return t.grpc
	}
	return t.http
}

// starter starts a contender that sends to these backends.
type starter func(s *stage, w work, backends []string) (*target, error)

var (
	ringtailReady  = regexp.MustCompile(`Ctrl-C ends it`)
	collectorReady = regexp.MustCompile(`Everything is ready`)
)

func startRingtail(s *stage, w work, backends []string) (*target, error) {
	t, err := s.startConfigured(s.ringtail, []string{"serve"}, w, backends, ringtailReady, true)
	if t != nil {
		t.ringtail = true
	}
	return t, err
}

func startCollector(s *stage, w work, backends []string) (*target, error) {
	return s.startConfigured(s.otelcol, nil, w, backends, collectorReady, false)
}

// startConfigured starts a program with a configuration file. A port that was free a moment
// ago may be another program's by now, so that it tries more than once.
func (s *stage) startConfigured(program string, args []string, w work, backends []string, ready *regexp.Regexp, ours bool) (*target, error) {
	var err error
	for range 3 {
		t := &target{}
		if t.grpc, err = freeAddress(); err != nil {
			return nil, err
		}
		if t.http, err = freeAddress(); err != nil {
			return nil, err
		}
		file := s.path("config.yaml")
		if err := os.WriteFile(file, []byte(configuration(t, w, backends, s.path("log"), ours)), 0o600); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(s.path("log"), 0o755); err != nil {
			return nil, err
		}
		if t.process, err = s.start(program, append(args, "--config", file)...); err != nil {
			return nil, err
		}
		if _, err = t.await(ready); err == nil {
			return t, nil
		}
		t.kill()
		if !strings.Contains(err.Error(), "address already in use") {
			return nil, err
		}
	}
	return nil, err
}

// configuration is the file that both daemons are configured with. They read the same
// layout; what differs is what only one of them knows.
func configuration(t *target, w work, backends []string, dir string, ours bool) string {
	compression := "none"
	if w.gzipOut {
		compression = "gzip"
	}
	var queue []string
	extensions := ""
	if w.storage != "" {
		queue = append(queue, "storage: file_storage")
		extensions = fmt.Sprintf("extensions:\n  file_storage: {directory: %q, fsync: %v}\n", dir, w.storage == "synced")
	}
	// As many requests to the backend at a time as Ringtail has by default, with both.
	queue = append(queue, "num_consumers: 4")
	if ours && w.logBytes > 0 {
		queue = append(queue, fmt.Sprintf("sizer: bytes, queue_size: %d", w.logBytes))
	}
	if ours && w.batchBytes > 0 {
		queue = append(queue, fmt.Sprintf("batch: {sizer: bytes, max_size: %d}", w.batchBytes))
	}
	var exporters strings.Builder
	var names []string
	for i, backend := range backends {
		name := fmt.Sprintf("otlp_grpc/%d", i+1)
		names = append(names, name)
		fmt.Fprintf(&exporters, "  %s:\n    endpoint: %q\n    tls: {insecure: true}\n    compression: %s\n    sending_queue: {%s}\n"+
			"    retry_on_failure: {initial_interval: 100ms, max_interval: 1s}\n", name, backend, compression, strings.Join(queue, ", "))
	}
	service := ""
	if extensions != "" {
		service = "  extensions: [file_storage]\n"
	}
	return fmt.Sprintf(`receivers:
  otlp:
    protocols:
      grpc: {endpoint: %q}
      http: {endpoint: %q}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 4000}
  batch: {}
exporters:
%s%sservice:
%s  pipelines:
    traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [%s]}
`, t.grpc, t.http, &exporters, extensions, service, strings.Join(names, ", "))
}

// freeAddress returns an address of this machine that nobody listens on. Its port is below
// those that systems give to connections, so that none of these takes it.
func freeAddress() (string, error) {
	var err error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", fmt.Errorf("a hundred ports, and none is free: %w", err)
}
