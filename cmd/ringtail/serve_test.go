package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ringtail-otel/ringtail"
)

// serving starts the daemon on free ports.
func serving(t *testing.T, args ...string) (p *process, grpcAddr, httpURL string) {
	t.Helper()
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
	if n := spansInFile(t, path); n != 300 || ledgerEntry(t, p.errors(), "exported") != 300 || !strings.Contains(p.errors(), "60 requests accepted\n") {
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
	p, grpcAddr, _ := serving(t)
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

// What was acknowledged and cannot be delivered is said, and is a failure, also when
// another exporter has it.
func TestServeSaysWhatItCouldNotDeliver(t *testing.T) {
	for _, also := range [][]string{nil, {"--export", "null"}} {
		addr, connected := hungBackend(t)
		p, grpcAddr, _ := serving(t, append([]string{"--export", "otlp-grpc=" + addr, "--shutdown-timeout", "300ms"}, also...)...)
		if err := sendGRPC(grpcAddr, 4); err != nil {
			t.Fatal(err)
		}
		<-connected
		p.signal(os.Interrupt)
		if code := p.end(); code != exitLost {
			t.Errorf("exit code %d", code)
		}
		want := "4 spans that clients were told had been taken did not arrive: is the backend up, and is this its address? otlp-grpc=" + addr + "\n"
		if got := p.errors(); !strings.Contains(got, want) || !strings.Contains(got, "    4 shutdown  ") {
			t.Errorf("%s", got)
		}
	}
}

// --export-timeout ends an export, of one exporter and of several.
func TestServeGivesAnExportUp(t *testing.T) {
	for _, also := range [][]string{nil, {"--export", "null"}} {
		addr, _ := hungBackend(t)
		p, grpcAddr, _ := serving(t, append([]string{"--export", "otlp-grpc=" + addr, "--export-timeout", "200ms", "--shutdown-timeout", "8s"}, also...)...)
		if err := sendGRPC(grpcAddr, 4); err != nil {
			t.Fatal(err)
		}
		p.signal(os.Interrupt)
		if code := p.end(); code != exitLost {
			t.Errorf("exit code %d", code)
		}
		if got := p.errors(); !strings.Contains(got, "    4 timeout  ") {
			t.Errorf("%s", got)
		}
	}
}

// hanging is an exporter that exports nothing until it is told to stop.
type hanging struct{}

func (hanging) Export(ctx context.Context, _ *ringtail.Batch) error { <-ctx.Done(); return ctx.Err() }
func (hanging) Shutdown(context.Context) error                      { return nil }

// Each of several exporters has a queue of the size that was asked for.
func TestQueueBytesOfSeveralExporters(t *testing.T) {
	f := exportFlags{to: []string{"stdout", "null"}, compression: "none", bounds: bounds{queueBytes: 1}}
	targets, err := f.targets()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	out, err := f.open(targets, io.Discard, log, func() ringtail.Exporter { return hanging{} })
	if err != nil {
		t.Fatal(err)
	}
	c, err := ringtail.New(out, ringtail.LowLatency(), ringtail.WithLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing will be exported
		c.Shutdown(ctx)
		out.settle()
	}()
	request, err := proto.Marshal(official(2))
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		if _, err := c.TrySubmitRequest(request); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patience); out.branches()[0].Received < 2*(i+1); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%+v", out.branches())
			}
		}
	}
	// The first batch is taken even so, since there is nothing else.
	if b := out.branches()[0]; b.InFlight != 2 || b.Dropped.Of(ringtail.ReasonFull) != 4 {
		t.Errorf("%+v", b)
	}
	if b := out.branches()[1]; b.Dropped.Total() != 0 {
		t.Errorf("the other one: %+v", b)
	}
}

func TestServeOnAnAddressThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, stderr, code := execute(t, "serve", "--grpc", l.Addr().String())
	if code != exitLost || !strings.Contains(stderr, "cannot listen for OTLP/gRPC on "+l.Addr().String()) || !strings.Contains(stderr, "--grpc") {
		t.Errorf("%d, %s", code, stderr)
	}
}
