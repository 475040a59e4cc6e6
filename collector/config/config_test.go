package config

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/collector"
	"github.com/ringtail-otel/ringtail/seglog"
)

const complete = `
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 0.0.0.0:4317
        max_recv_msg_size_mib: 16
        tls: {cert_file: a.pem, key_file: b.pem}
      http:
        endpoint: ${env:RINGTAIL_TEST_HTTP:-127.0.0.1:14318}
        tls: {cert_file: a.pem, key_file: b.pem}
        cors: {allowed_origins: ["https://*.example.com"], max_age: 7200}
  otlp/socket:
    protocols:
      grpc: {endpoint: /run/ringtail.sock, transport: unix}
processors:
  batch:
  memory_limiter: {check_interval: 1s, limit_mib: 400}
exporters:
  otlp_grpc/backend:
    endpoint: backend:4317
    compression: none
    timeout: 3s
    tls: {insecure: true}
    headers: {authorization: "Bearer ${env:RINGTAIL_TEST_TOKEN}"}
    sending_queue:
      storage: file_storage/log
      num_consumers: 7
      sizer: bytes
      queue_size: 5368709120
      batch: {flush_timeout: 50ms, max_size: 1000}
    retry_on_failure: {initial_interval: 1s, max_interval: 9s, max_elapsed_time: 5m}
    dead_letter: {path: DIR/letters.jsonl}
  otlphttp:
    endpoint: https://backend/otlp/
    encoding: json
  file: {path: DIR/spans.jsonl, rotation: {max_megabytes: 10, max_days: 3}}
  debug:
extensions:
  file_storage/log: {directory: DIR/log, fsync: false}
  health_check:
service:
  extensions: [file_storage/log, health_check]
  telemetry: {logs: {level: info}}
  pipelines:
    traces:
      receivers: [otlp, otlp/socket]
      processors: [memory_limiter, batch]
      exporters: [otlp_grpc/backend, otlphttp, file, debug]
`

func TestCompleteFile(t *testing.T) {
	t.Setenv("RINGTAIL_TEST_TOKEN", "secret")
	dir := t.TempDir()
	path := filepath.Join(dir, "ringtail.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(complete, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Pipelines) != 1 {
		t.Fatalf("%d pipelines", len(c.Pipelines))
	}
	p := c.Pipelines[0]
	if p.ID != "traces" || len(p.Receivers) != 2 {
		t.Fatalf("pipeline %q with %d receivers", p.ID, len(p.Receivers))
	}
	if r := p.Receivers[0].Config; r.GRPCAddr != "0.0.0.0:4317" || r.HTTPAddr != "127.0.0.1:14318" || r.MaxRequestBytes != 16<<20 {
		t.Errorf("receiver otlp: %+v", r)
	}
	if r := p.Receivers[0].Config; r.TLS != (collector.TLS{CertFile: "a.pem", KeyFile: "b.pem"}) || len(r.CORS.AllowedOrigins) != 1 || r.CORS.MaxAge != 2*time.Hour {
		t.Errorf("receiver otlp: %+v", r)
	}
	if r := p.Receivers[1].Config; r.TLS != (collector.TLS{}) || r.GRPCAddr != "unix:/run/ringtail.sock" || r.HTTPAddr != "" {
		t.Errorf("receiver otlp/socket: %+v", r)
	}
	if p.LogDir != filepath.Join(dir, "log", "traces") || p.Log.Sync != seglog.SyncNever || p.Log.MaxBytes != 5<<30 || p.Log.WhenFull != seglog.Refuse {
		t.Errorf("log in %s: %+v", p.LogDir, p.Log)
	}
	var names, to []string
	for _, e := range p.Exporters {
		x, err := e.Open(Environment{Logger: slog.New(slog.DiscardHandler), Out: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Exporter.Shutdown(t.Context())
		names, to = append(names, x.Name), append(to, e.To)
		if x.Name != "otlp_grpc/backend" {
			continue
		}
		if x.Concurrency != 7 || x.Linger != 50*time.Millisecond || x.Timeout != 3*time.Second || x.MaxBatchSpans != 1000 || x.MaxBatchBytes != 4<<20-64<<10 || x.DeadLetter == nil {
			t.Errorf("otlp_grpc/backend: %+v", x)
		}
		defer x.DeadLetter.Shutdown(t.Context())
		if r := x.Retry; r.InitialInterval != time.Second || r.MaxInterval != 9*time.Second || r.MaxElapsed != 5*time.Minute {
			t.Errorf("otlp_grpc/backend: retries %+v", r)
		}
	}
	if got := strings.Join(names, " "); got != "otlp_grpc/backend otlphttp file debug" {
		t.Errorf("exporters %s", got)
	}
	if to[1] != "https://backend/otlp/v1/traces" {
		t.Errorf("otlphttp goes to %s", to[1])
	}
	for _, want := range []string{"memory_limiter", "batch", "health_check", "service::telemetry"} {
		if !strings.Contains(strings.Join(c.Notices, "\n"), want) {
			t.Errorf("no notice of %s in %q", want, c.Notices)
		}
	}
}

// The files that the documentation shows are good ones.
func TestExamplesInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("no examples")
	}
	for _, b := range blocks {
		if c, err := Parse([]byte(strings.SplitN(b, "```", 2)[0])); err != nil || len(c.Pipelines) == 0 {
			t.Errorf("%v in\n%s", err, b)
		}
	}
}

// minimal has gaps, for tests to fill.
func minimal(receiver, exporter, queue string) string {
	return `
receivers:
  otlp: ` + receiver + `
exporters:
  ` + exporter + `
extensions:
  file_storage: {directory: /tmp/x}
  file_storage/2: {directory: /tmp/y}
service:
  extensions: [file_storage, file_storage/2]
  pipelines:
    traces: {receivers: [otlp], exporters: [` + strings.SplitN(exporter, ":", 2)[0] + queue + `]}
`
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	const both = "{protocols: {grpc: , http: }}"
	for name, c := range map[string]struct{ text, want string }{
		"no yaml":               {"receivers: [", "line 2: while parsing a flow node: "},
		"nothing":               {" \n", "is empty"},
		"no pipelines":          {"receivers:", "service::pipelines is empty"},
		"unknown section":       {"recievers: {}", "line 1: there is no key recievers here"},
		"unknown key":           {minimal("{protocols: {grpc: {endpont: x}}}", "nop:", ""), "receivers::otlp: "},
		"unknown receiver":      {strings.ReplaceAll(minimal(both, "nop:", ""), "[otlp]", "[jaeger]"), "receiver jaeger is not under receivers; there are otlp"},
		"no protocol":           {minimal("{protocols: {}}", "nop:", ""), "receivers::otlp::protocols: want grpc, http, or both"},
		"a scheme":              {minimal("{protocols: {grpc: {endpoint: 'http://x:1'}}}", "nop:", ""), "want HOST:PORT, without a scheme"},
		"tls of one":            {minimal("{protocols: {grpc: {tls: {cert_file: a, key_file: b}}, http: }}", "nop:", ""), "make two receivers"},
		"large bodies":          {minimal("{protocols: {http: {max_request_body_size: 2000000000}}}", "nop:", ""), "max_request_body_size is 2000000000"},
		"other path":            {minimal("{protocols: {http: {traces_url_path: /x}}}", "nop:", ""), "only /v1/traces"},
		"unknown exporter":      {minimal(both, "kafka: {}", ""), `there is no exporter "kafka"`},
		"no endpoint":           {minimal(both, "otlp_grpc: {}", ""), "exporters::otlp_grpc: endpoint is missing"},
		"no URL":                {minimal(both, "otlp_http: {endpoint: 'x:4318'}", ""), "want a URL"},
		"compression":           {minimal(both, "otlp: {endpoint: x, compression: lz4}", ""), `compression is "lz4": want none, gzip or zstd`},
		"duration":              {minimal(both, "otlp: {endpoint: x, timeout: 5}", ""), `line 5: "5" is no time`},
		"exporter twice":        {minimal(both, "nop:", ", nop"), "exporter nop is given twice"},
		"unknown storage":       {minimal(both, "nop: {sending_queue: {storage: redis}}", ""), "redis is not a file_storage"},
		"small queue":           {minimal(both, "nop: {sending_queue: {sizer: bytes, queue_size: 5}}", ""), "at least 1048576"},
		"sizer":                 {minimal(both, "nop: {sending_queue: {sizer: cows}}", ""), `sizer is "cows"`},
		"policy":                {minimal(both, "nop: {sending_queue: {when_full: explode}}", ""), `when_full is "explode": want refuse or drop_oldest`},
		"consumers":             {minimal(both, "nop: {sending_queue: {num_consumers: -1}}", ""), "num_consumers is -1"},
		"retry":                 {minimal(both, "nop: {retry_on_failure: {multiplier: 0.5}}", ""), "retry_on_failure: "},
		"dead letter":           {minimal(both, "nop: {dead_letter: {}}", ""), "dead_letter::path is missing"},
		"file":                  {minimal(both, "file: {}", ""), "exporters::file: path is missing"},
		"verbosity":             {minimal(both, "debug: {verbosity: loud}", ""), `verbosity is "loud"`},
		"wait for result":       {minimal(both, "nop: {sending_queue: {wait_for_result: true}}", ""), "wait_for_result"},
		"other signals":         {strings.ReplaceAll(minimal(both, "nop:", ""), "traces:", "metrics:"), "not of metrics"},
		"no exporters":          {strings.ReplaceAll(minimal(both, "nop:", ""), "exporters: [nop]", "exporters: []"), "at least one receiver and one exporter"},
		"unknown processor":     {strings.ReplaceAll(minimal(both, "nop:", ""), "receivers: [otlp]", "processors: [x], receivers: [otlp]"), "processor x is not under processors"},
		"unsupported processor": {strings.ReplaceAll(minimal(both, "nop:", "")+"processors: {transform: }\n", "receivers: [otlp]", "processors: [transform], receivers: [otlp]"), `there is no processor "transform"`},
		"receiver in two":       {minimal(both, "nop:", "") + "    traces/2: {receivers: [otlp], exporters: [nop]}\n", "feeds both"},
		"unknown extension":     {strings.ReplaceAll(minimal(both, "nop:", ""), "[file_storage, ", "[oidc, "), "oidc is not under extensions"},
		"unclosed variable":     {minimal("{protocols: {grpc: {endpoint: '${env:X'}}}", "nop:", ""), "closing }"},
		"other source":          {minimal("{protocols: {grpc: {endpoint: '${file:X}'}}}", "nop:", ""), "only env"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestUnknownKeysAreErrorsWithALine(t *testing.T) {
	_, err := Parse([]byte(minimal("{protocols: {grpc: {endpont: x}}}", "nop:", "")))
	if err == nil || !strings.Contains(err.Error(), "endpont") || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%v: want the key and its line", err)
	}
}

func TestOneLogForAPipeline(t *testing.T) {
	const two = `
receivers: {otlp: {protocols: {grpc: }}}
exporters:
  nop/1: {sending_queue: {storage: A, sizer: bytes, queue_size: 2000000}}
  nop/2: {sending_queue: {storage: B, sizer: bytes, queue_size: 3000000, when_full: drop_oldest, max_age: 1h}}
extensions:
  file_storage: {directory: /x, fsync_interval: 50ms}
  file_storage/2: {directory: /y}
service:
  extensions: [file_storage, file_storage/2]
  pipelines: {traces/a: {receivers: [otlp], exporters: [nop/1, nop/2]}}
`
	same := strings.NewReplacer("A", "file_storage", "B", "file_storage").Replace(two)
	// What one can do without is not dropped for the other.
	if _, err := Parse([]byte(same)); err == nil || !strings.Contains(err.Error(), "when_full and max_age must be the same for all exporters of a pipeline") {
		t.Errorf("two policies: %v", err)
	}
	agreed := strings.ReplaceAll(two, "2000000}", "2000000, when_full: drop_oldest, max_age: 1h}")
	same = strings.NewReplacer("A", "file_storage", "B", "file_storage").Replace(agreed)
	c, err := Parse([]byte(same))
	if err != nil {
		t.Fatal(err)
	}
	p := c.Pipelines[0]
	if want := (seglog.Options{MaxBytes: 3000000, MaxAge: time.Hour, WhenFull: seglog.DropOldest, Sync: seglog.SyncInterval, SyncEvery: 50 * time.Millisecond}); p.Log != want {
		t.Errorf("log %+v, want %+v", p.Log, want)
	}
	if p.LogDir != "/x/traces%2Fa" {
		t.Errorf("log in %s", p.LogDir)
	}
	if _, err := Parse([]byte(strings.NewReplacer("A", "file_storage", "B", "file_storage/2").Replace(agreed))); err == nil || !strings.Contains(err.Error(), "a pipeline has one log") {
		t.Errorf("two storages: %v", err)
	}
}

func TestEnvironmentVariables(t *testing.T) {
	t.Setenv("RT_A", "one")
	t.Setenv("RT_EMPTY", "")
	for text, want := range map[string]string{
		"${env:RT_A}":                "one",
		"${RT_A}":                    "one",
		"x${env:RT_A}y${env:RT_A}":   "xoneyone",
		"${env:RT_NONE}":             "",
		"${env:RT_NONE:-else}":       "else",
		"${env:RT_EMPTY:-else}":      "else",
		"${env:RT_A:-else}":          "one",
		"$$":                         "$",
		"$${env:RT_A}":               "${env:RT_A}",
		"$RT_A and 5$":               "$RT_A and 5$",
		"${env:RT_NONE:-http://a:1}": "http://a:1",
	} {
		got, err := expandString(text)
		if err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"${env:RT-A}", "${}", "${env:", "${http:x}"} {
		if got, err := expandString(text); err == nil {
			t.Errorf("%q: %q, want an error", text, got)
		}
	}
}

func TestVariablesMayBeNumbers(t *testing.T) {
	t.Setenv("RT_N", "5")
	c, err := Parse([]byte(minimal("{protocols: {grpc: {max_recv_msg_size_mib: '${env:RT_N}'}}}", "nop: {sending_queue: {num_consumers: 3}}", "")))
	if err == nil {
		t.Errorf("a quoted variable became a number: %+v", c)
	}
	c, err = Parse([]byte(strings.ReplaceAll(minimal("\n    protocols:\n      grpc:\n        max_recv_msg_size_mib: ${env:RT_N}", "nop:", ""), "otlp: \n", "otlp:\n")))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Pipelines[0].Receivers[0].Config.MaxRequestBytes; got != 5<<20 {
		t.Errorf("max_recv_msg_size_mib is %d bytes", got)
	}
}

// Whoever allows large requests has the memory for one as it came and as it is unpacked.
func TestLargeRequestsHaveTheirMemory(t *testing.T) {
	for mib, want := range map[int]int64{5: 256 << 20, 200: 400 << 20, 1024: 2048 << 20} {
		c, err := Parse([]byte(minimal(fmt.Sprintf("{protocols: {grpc: {max_recv_msg_size_mib: %d}}}", mib), "nop:", "")))
		if err != nil {
			t.Fatal(err)
		}
		if r := c.Pipelines[0].Receivers[0].Config; r.MaxRequestBytes != mib<<20 || r.MemoryLimit != want {
			t.Errorf("%d MiB a request: %d bytes, and %d of memory, want %d", mib, r.MaxRequestBytes, r.MemoryLimit, want)
		}
	}
}
