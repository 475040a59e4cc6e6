package interop

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A file for the Collector, as somebody has it who comes from there. All of it is
// understood by both programs.
const sharedConfig = `receivers:
  otlp:
    protocols:
      grpc:
        endpoint: %[1]s
        max_recv_msg_size_mib: 16
      http:
        endpoint: %[2]s
        cors:
          allowed_origins: ["https://*.example.com"]
          allowed_headers: ["Content-Type", "X-Tenant"]
          max_age: 7200
processors:
  memory_limiter:
    check_interval: 1s
    limit_mib: 512
  batch:
    send_batch_size: 100
    timeout: 50ms
exporters:
  otlp_grpc/first:
    endpoint: %[3]s
    tls:
      insecure: true
    sending_queue:
      storage: file_storage
      sizer: bytes
      queue_size: 67108864
      num_consumers: 2
    retry_on_failure:
      initial_interval: 100ms
  otlp_http/second:
    endpoint: http://%[4]s
    compression: zstd
    encoding: json
    timeout: 10s
    headers:
      x-tenant: interop
  file:
    path: %[5]q
extensions:
  file_storage:
    directory: %[6]q
service:
  extensions: [file_storage]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter, batch]
      exporters: [otlp_grpc/first, otlp_http/second, file]
`

// TestSameConfiguration runs the Collector and then the daemon with the same file, one
// in the other's place: on its ports, with its directory, to its backends.
func TestSameConfiguration(t *testing.T) {
	skipIfShort(t)
	dir := t.TempDir()
	storage := filepath.Join(dir, "storage")
	if err := os.Mkdir(storage, 0o700); err != nil {
		t.Fatal(err)
	}
	grpc, http, out, config := freeAddress(t), freeAddress(t), filepath.Join(dir, "spans.json"), filepath.Join(dir, "config.yaml")
	first, second := startCollector(t, ""), startCollector(t, "")
	text := fmt.Sprintf(sharedConfig, grpc, http, first.grpc, second.http, out, storage)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var answers []string // to browsers
	run := func(name, ready string, args ...string) spans {
		p := startProcess(t, name, append(args, "--config", config)...)
		mustSay(t, p, ready)
		sent := startSDK(t, overGRPC, "gzip", grpc, 20, nil).sent(t)
		maps.Copy(sent, startSDK(t, overHTTP, "gzip", http, 20, nil).sent(t))
		answers = append(answers, askAsBrowser(t, http))
		// A Collector that is stopped leaves in its queue what waits there.
		for _, file := range []string{out, first.out, second.out} {
			awaitSpans(t, file, sent)
		}
		p.stop(t)
		if err := compare(sent, readSpans(t, out), nil); err != nil {
			t.Errorf("%s: file: %v", name, err)
		}
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
		return sent
	}
	byCollector := run("otelcol", "Everything is ready.")
	byDaemon := run("ringtail", "Ctrl-C ends it.", "serve")

	arrived := map[string]spans{"first backend": first.spans(t), "second backend": second.spans(t)}
	for _, r := range []struct {
		route
		sent spans
	}{
		{route{"Go SDK", overGRPC + ", " + overHTTP, "gzip", "Collector with a file → file, Collector by gRPC, by HTTP JSON"}, byCollector},
		{route{"Go SDK", overGRPC + ", " + overHTTP, "gzip", "ringtail serve with the same → the same"}, byDaemon},
	} {
		r.run(t, func(t *testing.T) string {
			for where, got := range arrived {
				if err := compare(r.sent, got.of(r.sent), nil); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
			return exact(r.sent.len())
		})
	}
	for where, got := range arrived {
		if n := byCollector.len() + byDaemon.len(); got.len() != n {
			t.Errorf("%s: %d spans, and %d were sent", where, got.len(), n)
		}
	}
	if answers[0] != answers[1] {
		t.Errorf("browsers are told different things.\nby the Collector:\n%s\nby ringtail:\n%s", answers[0], answers[1])
	}
}

// askAsBrowser asks what a page may do, and sends, with the headers that browsers add.
// It returns what decides in browsers whether the page gets its way. (Fetch standard,
// "CORS protocol".)
func askAsBrowser(t *testing.T, address string) string {
	t.Helper()
	var text strings.Builder
	for _, origin := range []string{"https://shop.example.com", "https://example.org"} {
		for _, method := range []string{http.MethodOptions, http.MethodPost} {
			req, err := http.NewRequest(method, "http://"+address+"/v1/traces", strings.NewReader(`{"resourceSpans":[]}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", origin)
			if method == http.MethodOptions {
				req.Body, req.ContentLength = nil, 0
				req.Header.Set("Access-Control-Request-Method", http.MethodPost)
				req.Header.Set("Access-Control-Request-Headers", "content-type,x-tenant")
			} else {
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("X-Tenant", "interop")
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			h := resp.Header
			allowed := h.Get("Access-Control-Allow-Origin")
			fmt.Fprintf(&text, "%s from %s: origin %q", method, origin, allowed)
			if method == http.MethodOptions && allowed != "" {
				headers := comma.Split(strings.ToLower(h.Get("Access-Control-Allow-Headers")), -1)
				fmt.Fprintf(&text, ", done %t, POST %t, headers %t, for %s s", resp.StatusCode/100 == 2,
					slices.Contains(comma.Split(h.Get("Access-Control-Allow-Methods"), -1), http.MethodPost),
					slices.Contains(headers, "content-type") && slices.Contains(headers, "x-tenant"), h.Get("Access-Control-Max-Age"))
			} else if method == http.MethodPost {
				fmt.Fprintf(&text, ", taken %t", resp.StatusCode == http.StatusOK)
			}
			fmt.Fprintln(&text)
		}
	}
	const want = "OPTIONS from https://shop.example.com: origin \"https://shop.example.com\", done true, POST true, headers true, for 7200 s\n"
	if !strings.HasPrefix(text.String(), want) {
		t.Errorf("a page that may send is told\n%swant\n%s", text.String(), want)
	}
	return text.String()
}

var comma = regexp.MustCompile(`\s*,\s*`)
