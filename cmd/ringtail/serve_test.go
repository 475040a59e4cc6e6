package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// serving starts the daemon on free ports, with a log of its own unless args say where.
func serving(t *testing.T, args ...string) (p *process, grpcAddr, httpURL string) {
	t.Helper()
	given := strings.Join(args, " ")
	if !strings.Contains(given, "--data-dir") && !strings.Contains(given, "--in-memory") {
		args = append(args, "--data-dir", t.TempDir())
	}
	p = launch(t, append([]string{"serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...)...)
	grpcAddr = p.await(`OTLP/gRPC +(\S+)`)
	httpURL = p.await(`OTLP/HTTP +(\S+)`)
	p.await("Ctrl-C ends it")
	return p, grpcAddr, httpURL
}

// official makes a request of so many spans, with the official types: TracesData is the
// same on the wire.
func official(spans int) *tracepb.TracesData {
	scope := &tracepb.ScopeSpans{}
	for i := range spans {
		scope.Spans = append(scope.Spans, &tracepb.Span{TraceId: bytes.Repeat([]byte{7}, 16), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, byte(i)}, Name: "work"})
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{scope}}}}
}

func sendGRPC(addr string, spans int, opts ...grpc.CallOption) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Invoke(context.Background(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", official(spans), &emptypb.Empty{}, opts...)
}

func sendHTTP(url string, spans int) error {
	body, err := proto.Marshal(official(spans))
	if err != nil {
		return err
	}
	resp, err := http.Post(url, "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// Clients of both kinds at once; then a stop, and every span is in the file.
func TestServeDeliversEverySpan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	p, grpcAddr, httpURL := serving(t, "--export", "json="+path)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for range 10 {
				var err error
				switch i % 3 {
				case 0:
					err = sendHTTP(httpURL, 5)
				case 1:
					err = sendGRPC(grpcAddr, 5)
				case 2:
					err = sendGRPC(grpcAddr, 5, grpc.UseCompressor("gzip"))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.errors())
	}
	if n := spansInFile(t, path); n != 300 || ledgerEntry(t, p.errors(), "received") != 300 || !strings.Contains(p.errors(), "60 requests accepted\n") {
		t.Errorf("%d spans in the file:\n%s", n, p.errors())
	}
}

// A request that is half sent when the daemon is told to stop is finished and counted.
func TestServeFinishesWhatIsUnderWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	p, _, httpURL := serving(t, "--export", "json="+path)
	body, err := proto.Marshal(official(9))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.Split(httpURL, "/")[2])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The interim answer says that the request is being read.
	fmt.Fprintf(conn, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	answers.ReadString('\n')
	conn.Write(body[:10])
	p.signal(syscall.SIGTERM)
	p.await("^Stopping")
	conn.Write(body[10:])
	resp, err := http.ReadResponse(answers, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if n := spansInFile(t, path); n != 9 {
		t.Errorf("%d spans in the file", n)
	}
}

// The demo, through one daemon and then another one, with every compression.
func TestServeChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	last, _, lastURL := serving(t, "--export", "json="+path)
	first, firstAddr, _ := serving(t, "--export", "otlp-http="+lastURL, "--compression", "gzip")
	for _, compression := range []string{"none", "gzip", "zstd"} {
		if _, stderr, code := execute(t, "demo", "--export", "otlp-grpc="+firstAddr, "--compression", compression); code != exitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
	}
	for _, p := range []*process{first, last} {
		p.signal(os.Interrupt)
		if code := p.end(); code != exitOK {
			t.Errorf("exit code %d: %s", code, p.errors())
		}
	}
	if n := spansInFile(t, path); n != 1200 {
		t.Errorf("%d spans arrived, want 1200", n)
	}
}

func TestServePrintsTraces(t *testing.T) {
	p, grpcAddr, _ := serving(t, "--export", "stdout")
	if err := sendGRPC(grpcAddr, 2); err != nil {
		t.Fatal(err)
	}
	p.signal(os.Interrupt)
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if out := p.stdout.String(); !strings.Contains(out, "2 spans") || !strings.Contains(out, "work") || strings.Contains(out, "Ledger") {
		t.Errorf("standard output:\n%s", out)
	}
}

// Without an exporter the daemon shows what arrives, by service and operation.
func TestServeShowsWhatArrives(t *testing.T) {
	p, grpcAddr, _ := serving(t)
	if _, stderr, code := execute(t, "demo", "--export", "otlp-grpc="+grpcAddr); code != exitOK {
		t.Fatalf("demo: exit code %d: %s", code, stderr)
	}
	p.signal(os.Interrupt)
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"service +operation +spans +errors +p50 +p99", "shown: 400 delivered, 0 lost"} {
		if !regexp.MustCompile(want).MatchString(p.errors()) {
			t.Errorf("no %q in\n%s", want, p.errors())
		}
	}
}

// What was acknowledged and cannot be delivered stays on disk, and is delivered after the
// next start.
func TestServeKeepsWhatItCouldNotDeliver(t *testing.T) {
	dir := t.TempDir()
	addr, connected := hungBackend(t)
	p, grpcAddr, _ := serving(t, "--export", "otlp-grpc="+addr, "--shutdown-timeout", "300ms", "--data-dir", dir)
	if err := sendGRPC(grpcAddr, 4); err != nil {
		t.Fatal(err)
	}
	<-connected
	p.signal(os.Interrupt)
	if code := p.end(); code != exitOK || !strings.Contains(p.errors(), "0 delivered, 0 lost, 4 stay in the log for the next start") {
		t.Errorf("exit code %d:\n%s", code, p.errors())
	}
	// The exporter of the first run is not there any more: nothing is thrown away.
	path := filepath.Join(t.TempDir(), "spans")
	p, _, _ = serving(t, "--export", "json="+path, "--data-dir", dir)
	if !strings.Contains(p.errors(), "ringtail log forget") {
		t.Errorf("nothing is said of the cursor that was left:\n%s", p.errors())
	}
	p.signal(os.Interrupt)
	if code := p.end(); code != exitOK || spansInFile(t, path) != 4 {
		t.Errorf("exit code %d, %d spans delivered:\n%s", code, spansInFile(t, path), p.errors())
	}
}

// A log that is gone from under the daemon keeps nothing for the next start.
func TestServeWithoutItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	addr, connected := hungBackend(t)
	p, grpcAddr, _ := serving(t, "--export", "otlp-grpc="+addr, "--shutdown-timeout", "300ms", "--data-dir", dir)
	if err := sendGRPC(grpcAddr, 4); err != nil {
		t.Fatal(err)
	}
	<-connected
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	p.signal(os.Interrupt)
	if code := p.end(); code != exitLost || !strings.Contains(p.errors(), "4 not delivered, and perhaps not in the log any more") {
		t.Errorf("exit code %d:\n%s", code, p.errors())
	}
}

// From memory it is lost, which is said and is a failure, also when another exporter has it.
func TestServeSaysWhatItLost(t *testing.T) {
	for _, also := range [][]string{nil, {"--export", "null"}} {
		addr, connected := hungBackend(t)
		p, grpcAddr, _ := serving(t, append([]string{"--in-memory", "--export", "otlp-grpc=" + addr, "--shutdown-timeout", "300ms"}, also...)...)
		if err := sendGRPC(grpcAddr, 4); err != nil {
			t.Fatal(err)
		}
		<-connected
		p.signal(os.Interrupt)
		if code := p.end(); code != exitLost {
			t.Errorf("exit code %d", code)
		}
		if got := p.errors(); !strings.Contains(got, "4 spans that clients were told had been taken did not arrive\n") || !strings.Contains(got, "0 delivered, 0 lost, 4 not delivered before the end") {
			t.Errorf("%s", got)
		}
	}
}

// The ledger goes on over restarts.
func TestServeGoesOnWithItsLedger(t *testing.T) {
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "spans")
	for i := range 3 {
		p, grpcAddr, _ := serving(t, "--export", "json="+path, "--data-dir", dir)
		if err := sendGRPC(grpcAddr, 4); err != nil {
			t.Fatal(err)
		}
		p.signal(os.Interrupt)
		if code := p.end(); code != exitOK || ledgerEntry(t, p.errors(), "received") != 4*(i+1) || !strings.Contains(p.errors(), fmt.Sprintf("%d delivered, 0 lost", 4*(i+1))) {
			t.Errorf("exit code %d in run %d:\n%s", code, i, p.errors())
		}
	}
	if n := spansInFile(t, path); n != 12 {
		t.Errorf("%d spans in the file", n)
	}
}

func TestTwoDaemonsOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	p, _, _ := serving(t, "--data-dir", dir)
	_, stderr, code := execute(t, "serve", "--grpc", "127.0.0.1:0", "--http", "off", "--data-dir", dir)
	if code != exitLost || !strings.Contains(stderr, dir) || !strings.Contains(stderr, fmt.Sprint(p.cmd.Process.Pid)) || !strings.Contains(stderr, "--data-dir") {
		t.Errorf("%d, %s", code, stderr)
	}
}

func TestServeByFile(t *testing.T) {
	dir := t.TempDir()
	file, path := filepath.Join(dir, "ringtail.yaml"), filepath.Join(dir, "spans")
	text := fmt.Sprintf(`
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "127.0.0.1:0"}}}}
exporters: {file: {path: %q, sending_queue: {storage: file_storage}}}
extensions: {file_storage: {directory: %q}}
service:
  extensions: [file_storage]
  pipelines: {traces: {receivers: [otlp], exporters: [file]}}
`, path, filepath.Join(dir, "log"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, "serve", "--config", file)
	addr := p.await(`OTLP/gRPC +(\S+)`)
	p.await("Ctrl-C ends it")
	if err := sendGRPC(addr, 3); err != nil {
		t.Fatal(err)
	}
	p.signal(os.Interrupt)
	if code := p.end(); code != exitOK || spansInFile(t, path) != 3 {
		t.Errorf("exit code %d, %d spans delivered:\n%s", code, spansInFile(t, path), p.errors())
	}
	if _, stderr, code := execute(t, "serve", "--config", file, "--in-memory"); code != exitUsage || !strings.Contains(stderr, "--in-memory and --config are both given") {
		t.Errorf("%d, %s", code, stderr)
	}
}

func TestServeOnAnAddressThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, stderr, code := execute(t, "serve", "--grpc", l.Addr().String(), "--data-dir", t.TempDir())
	if code != exitLost || !strings.Contains(stderr, "cannot listen for OTLP/gRPC on "+l.Addr().String()) || !strings.Contains(stderr, "Choose another address") {
		t.Errorf("%d, %s", code, stderr)
	}
}
