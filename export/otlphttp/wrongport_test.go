package otlphttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// http2 is a server that knows nothing else, as those of gRPC do: it begins with its settings,
// does not understand what comes, and closes.
func http2(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			// Read first, so that no reset overtakes what is said.
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
			_, _ = conn.Write([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"))
			conn.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// Who sends to the port of OTLP/gRPC is told so.
func TestPortOfGRPC(t *testing.T) {
	otlptest.NoLeaks(t)
	once := WithRetry(export.RetryConfig{MaxAttempts: 1})
	plain := newTestExporter(t, "http://"+http2(t), once)
	// Behind TLS the two agree on HTTP/2, and then not on what it carries. Some of these answer
	// 200, and say in a trailer that they mean the opposite.
	grpc := func(status int) *Exporter {
		r := &receiver{answer: func(*http.Request, []int) answer {
			return answer{status: status, header: map[string]string{"Content-Type": "application/grpc", "Grpc-Status": "13"}}
		}}
		return newTestExporter(t, r.start(t).server.URL, once)
	}
	for _, c := range []struct {
		name string
		to   *Exporter
		lost ringtail.Reason
	}{{"plain", plain, ringtail.ReasonExport}, {"415", grpc(415), ringtail.ReasonRejected}, {"200", grpc(200), ringtail.ReasonRejected}} {
		err := c.to.Export(t.Context(), otlptest.Batch(t, 1, 3, 0))
		if err == nil || !strings.Contains(err.Error(), "OTLP/gRPC") || !strings.Contains(err.Error(), "4318") {
			t.Errorf("%s: %v", c.name, err)
		}
		if losses := ringtail.Losses(err, 3); losses[c.lost] != 3 {
			t.Errorf("%s: %v", c.name, losses)
		}
	}
}
