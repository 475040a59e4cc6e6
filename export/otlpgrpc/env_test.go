package otlpgrpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

func fromEnv(t *testing.T, env map[string]string, opts ...Option) (*Exporter, string, error) {
	t.Helper()
	for name, value := range env {
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
	}
	var log bytes.Buffer
	e, err := NewFromEnv(append([]Option{WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}, opts...)...)
	if err == nil {
		t.Cleanup(func() { _ = e.Shutdown(context.Background()) })
	}
	return e, log.String(), err
}

// TestFromEnvEndpoint looks at which address it is, and whether with TLS.
func TestFromEnvEndpoint(t *testing.T) {
	authority := otlptest.NewAuthority(t)
	type env = map[string]string
	for _, c := range []struct {
		name   string
		env    env
		target string
		tls    bool
		log    string
	}{
		{"nothing", env{}, "dns:///localhost:4317", false, ""},
		{"http", env{"ENDPOINT": "http://h:1"}, "dns:///h:1", false, ""},
		{"https", env{"ENDPOINT": "https://h:1"}, "dns:///h:1", true, ""},
		{"any case", env{"ENDPOINT": "HTTP://h:1"}, "dns:///h:1", false, ""},
		{"no port", env{"ENDPOINT": "http://h"}, "dns:///h:4317", false, ""},
		{"the scheme wins: http", env{"ENDPOINT": "http://h:1", "INSECURE": "false"}, "dns:///h:1", false, ""},
		{"the scheme wins: https", env{"ENDPOINT": "https://h:1", "INSECURE": "true"}, "dns:///h:1", true, ""},
		{"no scheme", env{"ENDPOINT": "h:1"}, "dns:///h:1", true, ""},
		{"no scheme, insecure", env{"ENDPOINT": "h:1", "INSECURE": "true"}, "dns:///h:1", false, ""},
		{"no scheme, insecure for traces", env{"ENDPOINT": "h:1", "INSECURE": "false", "TRACES_INSECURE": "true"}, "dns:///h:1", false, ""},
		{"signal", env{"ENDPOINT": "https://h:1", "TRACES_ENDPOINT": "http://other:2"}, "dns:///other:2", false, ""},
		{"a path", env{"ENDPOINT": "https://h:1/otlp?a=b"}, "dns:///h:1", true, "no use for the path in OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"a slash", env{"ENDPOINT": "https://h:1/"}, "dns:///h:1", true, ""},
		{"socket", env{"ENDPOINT": "unix:///run/otel.sock"}, "unix:///run/otel.sock", false, ""},
		{"socket with TLS", env{"ENDPOINT": "unix:///run/otel.sock", "CERTIFICATE": authority.File}, "unix:///run/otel.sock", true, ""},
		{"socket, insecure", env{"ENDPOINT": "unix:///run/otel.sock", "CERTIFICATE": authority.File, "INSECURE": "true"}, "unix:///run/otel.sock", false, "ignoring OTEL_EXPORTER_OTLP_CERTIFICATE"},
		{"a certificate without TLS", env{"ENDPOINT": "http://h:1", "CERTIFICATE": "/not/read"}, "dns:///h:1", false, "ignoring OTEL_EXPORTER_OTLP_CERTIFICATE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got config
			e, log, err := fromEnv(t, c.env, func(c *config) { got = *c })
			if err != nil {
				t.Fatal(err)
			}
			text, _, err := endpointFromEnv(otlpclient.NewEnv(slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Fatal(err)
			}
			endpoint, err := parseEndpoint(text, &got)
			if err != nil || e.conn.Target() != c.target || endpoint.tls != c.tls {
				t.Errorf("%s, TLS %v, %v; want %s, %v", e.conn.Target(), endpoint.tls, err, c.target, c.tls)
			}
			if !strings.Contains(log, c.log) || (log == "") != (c.log == "") {
				t.Errorf("log %q, want %q", log, c.log)
			}
		})
	}
}

func TestFromEnvNamesWhatCannotBe(t *testing.T) {
	for _, c := range []struct{ variable, value, err string }{
		{"ENDPOINT", "ftp://h", "otlpgrpc: cannot use OTEL_EXPORTER_OTLP_ENDPOINT: endpoint \"ftp://h\": has the scheme"},
		{"TRACES_ENDPOINT", "h:0", "cannot use OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint \"h:0\": has the port \"0\""},
		{"ENDPOINT", "https://user:pass@h", "has a user name"},
		{"CERTIFICATE", "/no/such/file", "otlpgrpc: cannot use OTEL_EXPORTER_OTLP_CERTIFICATE: open /no/such/file"},
	} {
		t.Run(c.value, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h")
			_, _, err := fromEnv(t, map[string]string{c.variable: c.value})
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "pass@") {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// TestFromEnvDelivers goes to a receiver with everything that a variable can say.
func TestFromEnvDelivers(t *testing.T) {
	otlptest.NoLeaks(t)
	authority := otlptest.NewAuthority(t)
	serverCert, _, _ := authority.Issue(t)
	_, cert, key := authority.Issue(t)
	gzip, err := otlpclient.NewCompressor("gzip")
	if err != nil {
		t.Fatal(err)
	}
	r := new(receiver).start(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{serverCert}, ClientCAs: authority.Pool, ClientAuth: tls.RequireAndVerifyClientCert})),
		//lint:ignore SA1019 for the same reason as in the exporter
		grpc.RPCDecompressor(decompressor{gzip}))
	e, log, err := fromEnv(t, map[string]string{
		"ENDPOINT": "https://" + r.addr, "HEADERS": "Api-Key=a%20key,user-agent=mine,umlaut=%C3%A4", "COMPRESSION": "gzip",
		"TIMEOUT": "60000", "CERTIFICATE": authority.File, "CLIENT_CERTIFICATE": cert, "CLIENT_KEY": key,
	})
	if err != nil || strings.Count(log, "\n") != 2 || !strings.Contains(log, "set by gRPC itself") || !strings.Contains(log, "a gRPC header cannot have") {
		t.Fatalf("%v; log: %s", err, log)
	}
	if err := e.Export(t.Context(), otlptest.Batch(t, 1, 10, 100)); err != nil {
		t.Fatal(err)
	}
	r.wantTaken(1, 10)
	if got := r.headers.Get("api-key"); len(got) != 1 || got[0] != "a key" {
		t.Errorf("%v", r.headers)
	}
}

func TestOptionsWinOverEnv(t *testing.T) {
	var got config
	spy := func(c *config) { got = *c }
	e, log, err := fromEnv(t, map[string]string{
		"ENDPOINT": "h:1", "INSECURE": "true", "HEADERS": "a=env", "COMPRESSION": "gzip", "TIMEOUT": "1",
	}, WithHeaders(map[string]string{"b": "option"}), WithCompressor("none"), WithTimeout(time.Minute), WithTLSClientConfig(&tls.Config{}), spy)
	if err != nil || log != "" {
		t.Fatalf("%v; log: %s", err, log)
	}
	if got.insecure || len(e.header) != 1 || len(e.header.Get("b")) != 1 || got.Compression != "none" || got.Timeout != time.Minute {
		t.Errorf("%v, %+v", e.header, got)
	}
	// The other way round: without TLS, though the environment has a certificate.
	_, log, err = fromEnv(t, map[string]string{"INSECURE": "", "CERTIFICATE": "/not/read"}, WithInsecure(), spy)
	if err != nil || log != "" || !got.insecure || got.TLS.Given() {
		t.Errorf("%v, %+v; log: %s", err, got, log)
	}
}
