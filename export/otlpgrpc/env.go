package otlpgrpc

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
)

const defaultEndpoint = "http://localhost:4317"

// NewFromEnv returns an exporter as the environment asks for it, by the variables
//
//	OTEL_EXPORTER_OTLP_ENDPOINT            in one of the forms of New
//	OTEL_EXPORTER_OTLP_INSECURE            true: no TLS to an endpoint that does not say
//	OTEL_EXPORTER_OTLP_HEADERS             name=value,… the values percent-encoded
//	OTEL_EXPORTER_OTLP_COMPRESSION         none, gzip or zstd
//	OTEL_EXPORTER_OTLP_TIMEOUT             of an attempt, in milliseconds; 0 for none
//	OTEL_EXPORTER_OTLP_CERTIFICATE         a PEM file of certificates to trust
//	OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE  and
//	OTEL_EXPORTER_OTLP_CLIENT_KEY          PEM files for mutual TLS
//
// and the same with TRACES_ behind OTLP_, which win. Without an endpoint it is
// http://localhost:4317. The scheme of an endpoint wins over INSECURE; a path, which
// gRPC has no use for, is ignored. Options given here win over the environment.
//
// Values that make no sense are logged and ignored, never with the value of a header.
// An endpoint or a certificate that cannot be used is an error, which names the
// variable. (OTLP Exporter specification, "Configuration Options".)
func NewFromEnv(opts ...Option) (*Exporter, error) {
	var explicit config
	for _, o := range opts {
		o(&explicit)
	}
	env := otlpclient.NewEnv(explicit.Logger)
	endpoint, scheme, err := endpointFromEnv(env)
	if err != nil {
		return nil, fmt.Errorf("otlpgrpc: %w", err)
	}
	fromEnv := config{Config: otlpclient.NewConfig()}
	env.Apply(&fromEnv.Config, checkHeader)
	insecure := env.Insecure()
	secure := scheme == "https" || scheme != "http" && !insecure
	if explicit.TLS.Config == nil && !explicit.insecure {
		if fromEnv.TLS.Config, err = env.TLS(secure); err != nil {
			return nil, fmt.Errorf("otlpgrpc: %w", err)
		}
	}
	fromEnv.insecure = scheme == "" && insecure && !explicit.TLS.Given()
	apply := func(c *config) { c.Config, c.insecure = fromEnv.Config, fromEnv.insecure }
	return New(endpoint, append([]Option{apply}, opts...)...)
}

// endpointFromEnv returns the endpoint, and its scheme, "" if it has none.
func endpointFromEnv(env otlpclient.Env) (endpoint, scheme string, err error) {
	s := otlpclient.Lookup("ENDPOINT")
	if !s.Given() {
		return defaultEndpoint, "http", nil
	}
	endpoint = s.Value
	if strings.HasPrefix(endpoint, "unix:") {
		scheme = "unix"
	} else if u, err := url.Parse(endpoint); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		scheme = u.Scheme
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" {
			env.Logger.Warn("ringtail: gRPC has no use for the path in "+s.Variable, "value", u.Redacted())
		}
		u.Path, u.RawPath, u.RawQuery = "", "", ""
		endpoint = u.String()
	}
	if _, err := parseEndpoint(endpoint, &config{}); err != nil {
		return "", "", s.Unusable(err)
	}
	return endpoint, scheme, nil
}
