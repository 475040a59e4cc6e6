package otlpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Setting is one setting of the environment. The zero Setting is one that is not set.
type Setting struct {
	Variable string // the one that was read
	Value    string // without white space around it
	Signal   bool   // the variable is for traces alone
}

// Given reports whether the setting is set.
func (s Setting) Given() bool { return s.Value != "" }

// Unusable says of a setting that nothing can be sent with it.
func (s Setting) Unusable(err error) error { return fmt.Errorf("cannot use %s: %w", s.Variable, err) }

// Lookup reads OTEL_EXPORTER_OTLP_TRACES_name, and if that is not set,
// OTEL_EXPORTER_OTLP_name. An empty value counts as unset. (Specification:
// Environment Variables, "Parsing empty value"; OTLP Exporter, "Configuration Options".)
func Lookup(name string) Setting {
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"} {
		if value := strings.TrimSpace(os.Getenv(prefix + name)); value != "" {
			return Setting{prefix + name, value, prefix == "OTEL_EXPORTER_OTLP_TRACES_"}
		}
	}
	return Setting{}
}

// Env turns settings of the environment into configuration. What cannot be used is
// logged, and left as it is. (Specification: Environment Variables, "Type-specific
// guidance".)
type Env struct{ Logger *slog.Logger }

// NewEnv returns an Env that tells the logger, or slog.Default() if that is nil.
func NewEnv(l *slog.Logger) Env { return Env{cmp.Or(l, slog.Default())} }

// Ignore says that a setting is not used, and what is wanted instead.
func (e Env) Ignore(s Setting, want string) {
	e.ignore(s, slog.String("value", s.Value), slog.String("want", want))
}

func (e Env) ignore(s Setting, attrs ...slog.Attr) {
	e.Logger.LogAttrs(context.Background(), slog.LevelWarn, "ringtail: ignoring "+s.Variable, attrs...)
}

// Apply changes what the environment says of the headers, the compression and the
// timeout. check says what is wrong with a header, without its value.
func (e Env) Apply(c *Config, check func(name, value string) error) {
	if s := Lookup("TIMEOUT"); s.Given() {
		if d, ok := milliseconds(s.Value); ok {
			c.Timeout = d
		} else {
			e.Ignore(s, "milliseconds, from 0 to 2147483647")
		}
	}
	if s := Lookup("COMPRESSION"); s.Given() {
		switch name := strings.ToLower(s.Value); name {
		case "none", "gzip", "zstd":
			c.Compression = name
		default:
			e.Ignore(s, "none, gzip or zstd")
		}
	}
	if s := Lookup("HEADERS"); s.Given() {
		c.Headers = e.headers(s, check)
	}
}

// milliseconds reads a timeout. 0 means no limit, for which the specification allows
// the longest that can be written. (Environment Variables, "Timeout".)
func milliseconds(text string) (time.Duration, bool) {
	const longest = 1<<31 - 1
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > longest {
		return 0, false
	}
	if n == 0 {
		n = longest
	}
	return time.Duration(n) * time.Millisecond, true
}

// headers reads name=value pairs, separated by commas, the values percent-encoded. A
// pair that cannot be used does not spoil the others. Values may be secrets, and so may
// a pair without a name: the log says which one it is. (OTLP Exporter, "Specifying
// headers via environment variables".)
func (e Env) headers(s Setting, check func(name, value string) error) map[string]string {
	headers := make(map[string]string)
	place := 0
	bad := func(what, text string) { e.ignore(s, slog.Int("pair", place), slog.String(what, text)) }
	for pair := range strings.SplitSeq(s.Value, ",") {
		place++
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !found || !httpguts.ValidHeaderFieldName(name) {
			bad("want", "name=value")
			continue
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil { // and shows a part of the value
			bad("want", name+"= and a percent-encoded value")
			continue
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			bad("want", name+"= and a value without control characters")
			continue
		}
		if err := check(name, value); err != nil {
			bad("problem", err.Error())
			continue
		}
		headers[name] = value
	}
	return headers
}

// Insecure reads whether endpoints that do not say are meant without TLS.
func (e Env) Insecure() bool {
	s := Lookup("INSECURE")
	switch strings.ToLower(s.Value) {
	case "true":
		return true
	case "", "false":
	default:
		e.Ignore(s, "true or false")
	}
	return false
}

// TLS reads the certificates that the environment names; nil if it names none. Without
// them no connection would come about, so what is wrong with them is an error. Where
// the endpoint is one without TLS they are ignored.
func (e Env) TLS(secure bool) (*tls.Config, error) {
	ca, cert, key := Lookup("CERTIFICATE"), Lookup("CLIENT_CERTIFICATE"), Lookup("CLIENT_KEY")
	if !secure {
		for _, s := range []Setting{ca, cert, key} {
			if s.Given() {
				e.Ignore(s, "an endpoint with TLS, such as https://host:port")
			}
		}
		return nil, nil
	}
	if !ca.Given() && !cert.Given() && !key.Given() {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca.Given() {
		pem, err := os.ReadFile(ca.Value)
		if err != nil {
			return nil, ca.Unusable(err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, ca.Unusable(fmt.Errorf("%s has no PEM certificate", ca.Value))
		}
	}
	switch {
	case cert.Given() && !key.Given():
		return nil, cert.Unusable(errors.New("the key is missing: set OTEL_EXPORTER_OTLP_CLIENT_KEY as well"))
	case key.Given() && !cert.Given():
		return nil, key.Unusable(errors.New("the certificate is missing: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE as well"))
	case cert.Given():
		pair, err := tls.LoadX509KeyPair(cert.Value, key.Value)
		if err != nil {
			return nil, cert.Unusable(fmt.Errorf("with the key of %s: %w", key.Variable, err))
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
