package otlpgrpc

import (
	"context"
	"crypto/tls"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
	"github.com/ringtail-otel/ringtail/otlp"
)

func TestEndpointForms(t *testing.T) {
	otlptest.NoLeaks(t)
	r := new(receiver).start(t)
	socket := (&receiver{addr: filepath.Join(t.TempDir(), "otlp.sock")}).start(t)
	for i, e := range []*Exporter{
		newTestExporter(t, r.addr, WithInsecure()),
		newTestExporter(t, "http://"+r.addr),
		newTestExporter(t, "http://"+r.addr+"/", WithInsecure()),
		newTestExporter(t, "unix:"+socket.addr),
		newTestExporter(t, "unix://"+socket.addr, WithInsecure()),
	} {
		if err := e.Export(t.Context(), otlptest.Batch(t, i+1, 1, 0)); err != nil {
			t.Error(err)
		}
	}
	r.wantTaken(1, 3)
	socket.wantTaken(4, 5)
}

func TestParseEndpoint(t *testing.T) {
	for endpoint, want := range map[string]target{
		"backend":               {"dns:///backend:4317", true},
		"backend:1":             {"dns:///backend:1", true},
		"https://backend":       {"dns:///backend:4317", true},
		"http://backend:4000":   {"dns:///backend:4000", false},
		"http://[::1]":          {"dns:///[::1]:4317", false},
		"[::1]:99":              {"dns:///[::1]:99", true},
		"unix:relative/of.sock": {"unix:relative/of.sock", false},
	} {
		if got, err := parseEndpoint(endpoint, &config{}); err != nil || got != want {
			t.Errorf("%s: %v, %v", endpoint, got, err)
		}
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	authority := otlptest.NewAuthority(t)
	_, cert, _ := authority.Issue(t)
	for _, c := range []struct {
		endpoint string
		opt      Option
		want     string
	}{
		{"", nil, `endpoint ""`},
		{"ftp://x:1", nil, `endpoint "ftp://x:1": has the scheme "ftp"`},
		{"http://x:1/v1/traces", nil, "has a path"},
		{"http://x:0", nil, `port "0"`},
		{"x:70000", nil, `port "70000"`},
		{"x:http", nil, `port "http"`},
		{"::1", nil, `endpoint "::1"`},
		{"http://u:secret@x:1", nil, "user name"},
		{"http://x:1%zz", nil, "endpoint"},
		{"http://u:secret@x\x7f", nil, "endpoint"},
		{"unix:", nil, "has no path"},
		{"https://x:1", WithInsecure(), "WithInsecure"},
		{"http://x:1", WithCAFile(authority.File), "options for TLS"},
		{"x:1", WithTimeout(0), "WithTimeout(0s)"},
		{"x:1", WithMaxRequestBytes(-1), "WithMaxRequestBytes(-1)"},
		{"x:1", WithCompressor("lz4"), `WithCompressor: is "lz4"`},
		{"x:1", WithRetry(export.RetryConfig{Jitter: 2}), "WithRetry: RetryConfig.Jitter is 2"},
		{"x:1", WithHeaders(map[string]string{"a b": ""}), `"a b"`},
		{"x:1", WithHeaders(map[string]string{"a": "secret\n"}), `the value of "a"`},
		{"x:1", WithHeaders(map[string]string{"a": "ü"}), `the value of "a"`},
		{"x:1", WithHeaders(map[string]string{"grpc-timeout": "1S"}), `"grpc-timeout"`},
		{"x:1", WithUserAgent("a\nb"), "WithUserAgent"},
		{"x:1", WithCAFile("/nowhere"), "WithCAFile"},
		{"x:1", WithClientCertificateFiles(cert, ""), "WithClientCertificateFiles"},
		{"x:1", WithClientCertificateFiles(cert, cert), "WithClientCertificateFiles"},
	} {
		if c.opt == nil {
			c.opt = func(*config) {}
		}
		_, err := New(c.endpoint, c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q): %v, want %s", c.endpoint, err, c.want)
		}
	}
}

func TestTLS(t *testing.T) {
	otlptest.NoLeaks(t)
	authority, other := otlptest.NewAuthority(t), otlptest.NewAuthority(t)
	serverCert, _, _ := authority.Issue(t)
	clientCert, certFile, keyFile := authority.Issue(t)
	_, strangerCert, strangerKey := other.Issue(t)
	open := new(receiver).start(t, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{serverCert}})))
	mutual := new(receiver).start(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{serverCert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool,
	})))
	for _, c := range []struct {
		name string
		to   *receiver
		opts []Option
		ok   bool
	}{
		{"CA file", open, []Option{WithCAFile(authority.File)}, true},
		{"CA pool", open, []Option{WithTLSClientConfig(&tls.Config{RootCAs: authority.Pool})}, true},
		{"unknown CA", open, []Option{WithCAFile(other.File)}, false},
		{"the system's CAs", open, nil, false},
		{"without TLS", open, []Option{WithInsecure()}, false},
		{"mutual, files", mutual, []Option{WithCAFile(authority.File), WithClientCertificateFiles(certFile, keyFile)}, true},
		{"mutual, configuration", mutual, []Option{WithTLSClientConfig(&tls.Config{RootCAs: authority.Pool, Certificates: []tls.Certificate{clientCert}})}, true},
		{"mutual, without a certificate", mutual, []Option{WithCAFile(authority.File)}, false},
		{"mutual, a stranger's certificate", mutual, []Option{WithCAFile(authority.File), WithClientCertificateFiles(strangerCert, strangerKey)}, false},
	} {
		c.to.reset()
		e := newTestExporter(t, c.to.addr, append(c.opts, WithRetry(export.RetryConfig{MaxAttempts: 1}))...)
		err := e.Export(t.Context(), otlptest.Batch(t, 1, 1, 0))
		if (err == nil) != c.ok || (c.to.count() == 1) != c.ok {
			t.Errorf("%s: %v, %d calls", c.name, err, c.to.count())
		}
	}
}

func TestCompression(t *testing.T) {
	otlptest.NoLeaks(t)
	for _, name := range []string{"gzip", "zstd"} {
		z, err := otlpclient.NewCompressor(name)
		if err != nil {
			t.Fatal(err)
		}
		answer := otlp.AppendTraceResponse(nil, 3, "three are odd")
		r := (&receiver{answer: func(context.Context, []int) ([]byte, error) { return answer, nil }}).start(t,
			//lint:ignore SA1019 for the same reason as in the exporter
			grpc.RPCDecompressor(decompressor{z}),
			//lint:ignore SA1019 for the same reason as in the exporter
			grpc.RPCCompressor(serverCompressor{z}), grpc.MaxRecvMsgSize(1<<30))
		e := newTestExporter(t, r.addr, WithInsecure(), WithCompressor(name), WithMaxRequestBytes(1<<30))
		for _, bytes := range []int{0, 10, 1000} {
			r.reset()
			b := otlptest.Batch(t, 1, 2000, bytes)
			if bytes == 10 {
				b = ringtail.JoinBatch(otlptest.Pieces(t, b, 10), b.Len())
			}
			err := e.Export(t.Context(), b)
			if losses := ringtail.Losses(err, 2000); losses[ringtail.ReasonRejected] != 3 || losses.Total() != 3 {
				t.Errorf("%s: %v", name, err)
			}
			r.wantTaken(1, 2000)
		}
		// A small answer that becomes a large one.
		answer = make([]byte, 16<<20)
		err = e.Export(t.Context(), otlptest.Batch(t, 1, 1, 0))
		if losses := ringtail.Losses(err, 1); losses[ringtail.ReasonRejected] != 1 {
			t.Errorf("%s: a bomb: %v", name, err)
		}
	}
	if encoding.GetCompressor("zstd") != nil || encoding.GetCompressor("gzip") != nil {
		t.Error("a compressor has been registered for the whole process")
	}
}

type serverCompressor struct{ c *otlpclient.Compressor }

func (s serverCompressor) Type() string { return s.c.Name }
func (s serverCompressor) Do(w io.Writer, p []byte) error {
	z, err := s.c.Append(nil, p)
	if err != nil {
		return err
	}
	_, err = w.Write(z)
	return err
}
