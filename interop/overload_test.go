package interop

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// refusedSender is a client of the daemon that has sent, and is expected to be turned
// away at first.
type refusedSender struct {
	route
	refused func(t *testing.T)       // waits until it was
	sent    func(t *testing.T) spans // waits until everything was taken
}

// TestOverload fills the daemon's log while a backend hangs, and lets every client try
// to send then: each is turned away and has to come back by itself. When the backend
// goes on, it has to get all that was acknowledged before and all that was refused.
func TestOverload(t *testing.T) {
	skipIfShort(t)
	// The JavaScript SDK tries six times: the delay is long enough for all clients to
	// have been turned away meanwhile.
	d := startDaemon(t, "--log-bytes", "8MiB", "--retry-delay", "3s")
	hang(t, d.byGRPC)
	want := fill(t, d)
	t.Logf("%d spans fill the log", want.len())

	var senders []refusedSender
	for _, over := range []string{overGRPC, overHTTP} {
		senders = append(senders, refusedSDK(t, d, over), refusedCollector(t, d, over))
	}
	for _, s := range []script{javaScript, python} {
		if _, err := s.installed(); err != nil && os.Getenv("RINGTAIL_REQUIRE_SDKS") != "1" {
			t.Logf("%s: %v; scripts/install-sdks installs it", s.name, err)
			continue
		}
		for _, over := range s.retries {
			senders = append(senders, refusedScript(t, d, s, over))
		}
	}
	for _, s := range senders {
		s.refused(t)
	}
	goOn(t, d.byGRPC)
	sent := make([]spans, len(senders))
	for i, s := range senders {
		sent[i] = s.sent(t)
		maps.Copy(want, sent[i])
	}
	arrived := d.spans(t)
	if !regexp.MustCompile(`requests accepted, [0-9 ]+ turned away for now`).MatchString(d.log.String()) {
		t.Error("the daemon does not say that it has turned requests away")
	}
	for i, s := range senders {
		s.run(t, func(t *testing.T) string {
			twice := 0
			for where, got := range arrived {
				if err := compare(sent[i], got.of(sent[i]), &twice); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
			return fmt.Sprintf("%d spans, refused at first, none lost, %d sent again", sent[i].len(), twice)
		})
	}
	for where, got := range arrived {
		twice := 0
		if err := compare(want, got, &twice); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
}

const destinationsHang = destinations + ", which hung"

func refusedSDK(t *testing.T, d *daemon, over string) refusedSender {
	seen := make(chan struct{}, 1)
	run := startSDK(t, over, "gzip", d.address(over), 10, func() {
		select {
		case seen <- struct{}{}:
		default:
		}
	})
	return refusedSender{
		route{"Go SDK", over, "gzip", destinationsHang},
		func(t *testing.T) {
			select {
			case <-seen:
			case <-time.After(patience):
				t.Fatalf("the Go SDK was not refused over %s", over)
			}
		},
		run.sent,
	}
}

func refusedCollector(t *testing.T, d *daemon, over string) refusedSender {
	forward := strings.TrimSuffix(forward(d, over, "gzip"), "}") + ", retry_on_failure: {initial_interval: 100ms}}"
	client := startCollector(t, forward)
	sent := startSDK(t, overGRPC, "none", client.grpc, 10, nil).sent(t)
	return refusedSender{
		route{"Collector", over, "gzip", destinationsHang},
		func(t *testing.T) { mustSay(t, client.process, "Will retry the request after interval") },
		func(t *testing.T) spans {
			// A Collector that is stopped does not try again.
			awaitSpans(t, d.file, sent)
			client.stop(t)
			return sent
		},
	}
}

func refusedScript(t *testing.T, d *daemon, s script, over string) refusedSender {
	run := s.start(t, over, "gzip", d.address(over), 20)
	return refusedSender{
		route{s.name, over, "gzip", destinationsHang},
		func(t *testing.T) { mustSay(t, run.process, s.retrying) },
		run.sent,
	}
}

// mustSay waits until the process has printed text.
func mustSay(t *testing.T, p *process, text string) {
	t.Helper()
	if _, ok := p.await(t, contains(text)); !ok {
		t.Fatalf("%s has ended and not said %q", p.name, text)
	}
}

// hang stops the Collector as a process: connections to it are opened, and nothing is
// answered, until goOn.
func hang(t *testing.T, c *otelcol) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

func goOn(t *testing.T, c *otelcol) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// fill sends requests to the daemon until it refuses one, and returns the spans of
// those that it has acknowledged. They are smaller than those of the other clients.
func fill(t *testing.T, d *daemon) spans {
	t.Helper()
	taken := spans{}
	for range 1000 {
		request := ptrace.NewTraces()
		out := request.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
		for range 8 {
			span := out.AppendEmpty()
			span.SetTraceID(pcommon.TraceID(random(16)))
			span.SetSpanID(pcommon.SpanID(random(8)))
			span.SetName("fill")
			span.Attributes().PutStr("text", strings.Repeat("x", 16<<10))
		}
		body, err := ptraceotlp.NewExportRequestFromTraces(request).MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post("http://"+d.http+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusOK:
			taken.add(t, request)
		case http.StatusServiceUnavailable:
			if got := resp.Header.Get("Retry-After"); got != "3" {
				t.Fatalf("Retry-After is %q, want 3", got)
			}
			return taken
		default:
			t.Fatalf("the daemon answers %s", resp.Status)
		}
	}
	t.Fatal("the log does not get full")
	return nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// awaitSpans waits until the file has the ids of all these spans. There is no event
// for that.
func awaitSpans(t *testing.T, path string, want spans) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(path)
		missing := 0
		for id := range want {
			_, span, _ := strings.Cut(id, "/")
			if !bytes.Contains(text, []byte(span)) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
		if time.Since(start) > patience {
			t.Fatalf("%s has not got %d of %d spans in %v (%v)", path, missing, len(want), patience, err)
		}
	}
}
