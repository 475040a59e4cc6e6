package otlpclient

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// testEnv is an Env whose log can be read.
func testEnv() (Env, *bytes.Buffer) {
	var log bytes.Buffer
	return NewEnv(slog.New(slog.NewTextHandler(&log, nil))), &log
}

func takesAll(string, string) error { return nil }

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		name, generic, signal string
		want                  Setting
	}{
		{"nothing", "", "", Setting{}},
		{"generic", "a", "", Setting{"OTEL_EXPORTER_OTLP_X", "a", false}},
		{"signal", "", "b", Setting{"OTEL_EXPORTER_OTLP_TRACES_X", "b", true}},
		{"the signal's wins", "a", "b", Setting{"OTEL_EXPORTER_OTLP_TRACES_X", "b", true}},
		{"blank is unset", "a", " \t", Setting{"OTEL_EXPORTER_OTLP_X", "a", false}},
		{"white space around", " a b ", "", Setting{"OTEL_EXPORTER_OTLP_X", "a b", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_X", c.generic)
			t.Setenv("OTEL_EXPORTER_OTLP_TRACES_X", c.signal)
			if got := Lookup("X"); got != c.want || got.Given() != (c.want.Value != "") {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestApply(t *testing.T) {
	const indefinite = (1<<31 - 1) * time.Millisecond
	for _, c := range []struct {
		name, variable, value string
		want                  Config // its zero fields are the defaults
		log                   string
	}{
		{"timeout", "TIMEOUT", "1500", Config{Timeout: 1500 * time.Millisecond}, ""},
		{"timeout without end", "TIMEOUT", "0", Config{Timeout: indefinite}, ""},
		{"longest timeout", "TIMEOUT", "2147483647", Config{Timeout: indefinite}, ""},
		{"negative timeout", "TIMEOUT", "-1", Config{}, "value=-1"},
		{"too long a timeout", "TIMEOUT", "2147483648", Config{}, "want=\"milliseconds"},
		{"timeout with a unit", "TIMEOUT", "10s", Config{}, "ignoring OTEL_EXPORTER_OTLP_TIMEOUT"},
		{"gzip", "COMPRESSION", "gzip", Config{Compression: "gzip"}, ""},
		{"any case", "COMPRESSION", "GZIP", Config{Compression: "gzip"}, ""},
		{"zstd", "COMPRESSION", "zstd", Config{Compression: "zstd"}, ""},
		{"none", "COMPRESSION", "none", Config{}, ""},
		{"unknown compression", "COMPRESSION", "snappy", Config{}, "value=snappy want=\"none, gzip or zstd\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_"+c.variable, c.value)
			env, log := testEnv()
			got := NewConfig()
			env.Apply(&got, takesAll)
			want := NewConfig()
			if c.want.Timeout != 0 {
				want.Timeout = c.want.Timeout
			}
			if c.want.Compression != "" {
				want.Compression = c.want.Compression
			}
			if got.Timeout != want.Timeout || got.Compression != want.Compression || got.Headers != nil {
				t.Errorf("%+v", got)
			}
			wantLog(t, log, c.log)
		})
	}
}

// wantLog checks that the log has one line with a text, or nothing.
func wantLog(t *testing.T, log *bytes.Buffer, text string) {
	t.Helper()
	lines := 0
	if text != "" {
		lines = 1
	}
	if got := log.String(); strings.Count(got, "\n") != lines || !strings.Contains(got, text) {
		t.Errorf("log %q, want %d line with %q", got, lines, text)
	}
}

func TestHeaders(t *testing.T) {
	type headers = map[string]string
	for _, c := range []struct {
		name, value string
		want        headers
		log         string
	}{
		{"one", "api-key=secret", headers{"api-key": "secret"}, ""},
		{"several, with spaces", " a = 1 , b=2", headers{"a": "1", "b": "2"}, ""},
		{"percent", "authorization=Basic%20dXNlcjpwYXNz%3D,b=x%2Cy%3B%25", headers{"authorization": "Basic dXNlcjpwYXNz=", "b": "x,y;%"}, ""},
		{"a plus is a plus", "a=1+1", headers{"a": "1+1"}, ""},
		{"equals signs in the value", "a=b=c==", headers{"a": "b=c=="}, ""},
		{"no metadata: all is value", "a=1;p=2", headers{"a": "1;p=2"}, ""},
		{"names have no case", "API-Key=1", headers{"api-key": "1"}, ""},
		{"the last wins", "a=1,A=2", headers{"a": "2"}, ""},
		{"empty value", "a=", headers{"a": ""}, ""},
		{"empty pairs", ",a=1,,", headers{"a": "1"}, ""},
		{"only the bad one goes", "a=1,secret,b=2", headers{"a": "1", "b": "2"}, "pair=2 want=\"name=value\""},
		{"no name", "=secret,b=2", headers{"b": "2"}, "pair=1"},
		{"a name with a space", "a secret=1,b=2", headers{"b": "2"}, "pair=1"},
		{"names are not decoded", "a%20b=1", headers{"a%20b": "1"}, ""},
		{"bad percent", "a=secret%zz,b=2", headers{"b": "2"}, "percent-encoded"},
		{"a line break", "a=secret%0d%0asecret", headers{}, "control characters"},
		{"one that is not allowed", "forbidden=secret,b=2", headers{"b": "2"}, "problem=\"not this one\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", c.value)
			env, log := testEnv()
			cfg := NewConfig()
			env.Apply(&cfg, func(name, _ string) error {
				if name == "forbidden" {
					return errors.New("not this one")
				}
				return nil
			})
			if !maps.Equal(cfg.Headers, c.want) {
				t.Errorf("%q, want %q", cfg.Headers, c.want)
			}
			wantLog(t, log, c.log)
			if strings.Contains(log.String(), "secret") {
				t.Errorf("the log has what may be secret: %s", log)
			}
			if err := cfg.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The signal's headers take the place of the general ones, and do not join them.
func TestHeadersOfTheSignal(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1,b=2")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=3")
	env, _ := testEnv()
	cfg := NewConfig()
	if env.Apply(&cfg, takesAll); !maps.Equal(cfg.Headers, map[string]string{"a": "3"}) {
		t.Errorf("%q", cfg.Headers)
	}
}

func TestInsecure(t *testing.T) {
	for value, want := range map[string]bool{"": false, "true": true, "TRUE": true, "false": false, "False": false, "1": false, "yes": false} {
		t.Setenv("OTEL_EXPORTER_OTLP_INSECURE", value)
		env, log := testEnv()
		if got := env.Insecure(); got != want || (log.Len() > 0) != (value == "1" || value == "yes") {
			t.Errorf("%q: %v; log: %s", value, got, log)
		}
	}
}

func TestTLSFromEnv(t *testing.T) {
	authority := otlptest.NewAuthority(t)
	_, cert, key := authority.Issue(t)
	other := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(other, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		ca, cert, key string
		trusts, shows bool
		err           string
	}{
		{"nothing", "", "", "", false, false, ""},
		{"authority", authority.File, "", "", true, false, ""},
		{"mutual", authority.File, cert, key, true, true, ""},
		{"only the client's", "", cert, key, false, true, ""},
		{"no such file", "/no/such/file", "", "", false, false, "cannot use OTEL_EXPORTER_OTLP_CERTIFICATE: open /no/such/file"},
		{"not PEM", other, "", "", false, false, "OTEL_EXPORTER_OTLP_CERTIFICATE: " + other + " has no PEM certificate"},
		{"no key", "", cert, "", false, false, "set OTEL_EXPORTER_OTLP_CLIENT_KEY as well"},
		{"no certificate", "", "", key, false, false, "set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE as well"},
		{"not a key", "", cert, other, false, false, "with the key of OTEL_EXPORTER_OTLP_CLIENT_KEY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", c.ca)
			t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", c.cert)
			t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", c.key)
			env, log := testEnv()
			cfg, err := env.TLS(true)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if cfg == nil {
				cfg = &tls.Config{}
			}
			if (cfg.RootCAs != nil) != c.trusts || (len(cfg.Certificates) > 0) != c.shows || log.Len() > 0 {
				t.Errorf("%+v; log: %s", cfg, log)
			}
			given := 0
			for _, value := range []string{c.ca, c.cert, c.key} {
				if value != "" {
					given++
				}
			}
			// Without TLS they are not even read.
			if cfg, err := env.TLS(false); cfg != nil || err != nil || strings.Count(log.String(), "\n") != given {
				t.Errorf("without TLS: %v, %v; log: %s", cfg, err, log)
			}
		})
	}
}
