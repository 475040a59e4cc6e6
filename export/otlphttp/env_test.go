package otlphttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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

func TestEndpointFromEnv(t *testing.T) {
	for _, c := range []struct{ name, generic, signal, want string }{
		{"nothing", "", "", "http://localhost:4318/v1/traces"},
		{"base", "http://h:1", "", "http://h:1/v1/traces"},
		{"base with a slash", "http://h:1/", "", "http://h:1/v1/traces"},
		{"base with a path", "https://h/otlp", "", "https://h/otlp/v1/traces"},
		{"base with a path and a slash", "https://h/otlp/", "", "https://h/otlp/v1/traces"},
		{"base that is nearly it", "http://h/v1/traces", "", "http://h/v1/traces/v1/traces"},
		{"escapes", "http://h/a%2Fb/", "", "http://h/a%2Fb/v1/traces"},
		{"query", "http://h/a?token=1", "", "http://h/a/v1/traces?token=1"},
		{"no port", "http://h", "", "http://h/v1/traces"},
		{"IPv6", "http://[::1]:4318", "", "http://[::1]:4318/v1/traces"},
		{"signal", "", "http://h:1/my/path", "http://h:1/my/path"},
		{"signal with a slash at its end", "", "http://h:1/my/path/", "http://h:1/my/path/"},
		{"signal without a path", "", "http://h:1", "http://h:1/"},
		{"signal without a path, with a query", "", "http://h:1?a=b", "http://h:1/?a=b"},
		{"the signal's wins", "http://generic", "http://h:1/x", "http://h:1/x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, log, err := fromEnv(t, map[string]string{"ENDPOINT": c.generic, "TRACES_ENDPOINT": c.signal})
			if err != nil || e.url.String() != c.want || log != "" {
				t.Errorf("%v, %v, want %s; log: %s", e, err, c.want, log)
			}
		})
	}
}

func TestEndpointFromEnvThatCannotBe(t *testing.T) {
	for _, c := range []struct{ variable, value, err string }{
		{"ENDPOINT", "localhost:4318", "otlphttp: cannot use OTEL_EXPORTER_OTLP_ENDPOINT: URL \"localhost:4318\": must begin with http:// or https://"},
		{"TRACES_ENDPOINT", "ftp://h", "cannot use OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: URL"},
		{"ENDPOINT", "http://", "has no host"},
		{"ENDPOINT", "http://user:pass@h:99999", "has the port"},
		{"ENDPOINT", "http://user:pass@h:x", "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"CERTIFICATE", "/no/such/file", "otlphttp: cannot use OTEL_EXPORTER_OTLP_CERTIFICATE: open /no/such/file"},
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

func TestProtocolFromEnv(t *testing.T) {
	for _, c := range []struct {
		value string
		json  bool
		log   string
	}{
		{"", false, ""}, {"http/protobuf", false, ""}, {"http/json", true, ""}, {"HTTP/JSON", true, ""}, {"grpc", false, ""},
		{"thrift", false, "ignoring OTEL_EXPORTER_OTLP_PROTOCOL"},
	} {
		e, log, err := fromEnv(t, map[string]string{"PROTOCOL": c.value})
		if err != nil || e.json != c.json || !strings.Contains(log, c.log) || (log == "") != (c.log == "") {
			t.Errorf("%q: JSON %v, %v; log: %s", c.value, e.json, err, log)
		}
	}
}

// TestFromEnvDelivers goes to a receiver with everything that a variable can say.
func TestFromEnvDelivers(t *testing.T) {
	otlptest.NoLeaks(t)
	authority := otlptest.NewAuthority(t)
	serverCert, _, _ := authority.Issue(t)
	_, cert, key := authority.Issue(t)
	r := new(receiver).start(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{serverCert}, ClientCAs: authority.Pool, ClientAuth: tls.RequireAndVerifyClientCert}
	})
	e, log, err := fromEnv(t, map[string]string{
		"ENDPOINT": r.server.URL + "/tenant", "HEADERS": "api-key=a%20key,content-type=text/plain", "COMPRESSION": "gzip",
		"TIMEOUT": "60000", "PROTOCOL": "http/json", "CERTIFICATE": authority.File, "CLIENT_CERTIFICATE": cert, "CLIENT_KEY": key,
	})
	if err != nil || strings.Count(log, "\n") != 1 || !strings.Contains(log, "set by the exporter") {
		t.Fatalf("%v; log: %s", err, log)
	}
	if err := e.Export(t.Context(), otlptest.Batch(t, 1, 10, 100)); err != nil {
		t.Fatal(err)
	}
	r.wantTaken(1, 10)
	h := r.last.Header
	if h.Get("Api-Key") != "a key" || h.Get("Content-Encoding") != "gzip" || h.Get("Content-Type") != "application/json" || r.last.URL.Path != "/tenant/v1/traces" {
		t.Errorf("%s, %v", r.last.URL, h)
	}
}

func TestOptionsWinOverEnv(t *testing.T) {
	given := &tls.Config{RootCAs: x509.NewCertPool()}
	e, log, err := fromEnv(t, map[string]string{
		"ENDPOINT": "https://h", "HEADERS": "a=env", "COMPRESSION": "gzip", "TIMEOUT": "1", "CERTIFICATE": "/not/read",
	}, WithHeaders(map[string]string{"b": "option"}), WithCompression("none"), WithTLSClientConfig(given))
	if err != nil || log != "" {
		t.Fatalf("%v; log: %s", err, log)
	}
	if e.header.Get("b") != "option" || e.header.Get("a") != "" || e.header.Get("Content-Encoding") != "" {
		t.Errorf("%v", e.header)
	}
	if e.http.Transport.(*http.Transport).TLSClientConfig.RootCAs != given.RootCAs {
		t.Error("another TLS configuration")
	}
}
