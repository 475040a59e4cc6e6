package otlphttp

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
)

const (
	defaultEndpoint = "http://localhost:4318"
	tracesPath      = "/v1/traces"
)

// NewFromEnv returns an exporter as the environment asks for it, by the variables
//
//	OTEL_EXPORTER_OTLP_ENDPOINT            a base URL; /v1/traces is appended
//	OTEL_EXPORTER_OTLP_HEADERS             name=value,… the values percent-encoded
//	OTEL_EXPORTER_OTLP_COMPRESSION         none, gzip or zstd
//	OTEL_EXPORTER_OTLP_TIMEOUT             of an attempt, in milliseconds; 0 for none
//	OTEL_EXPORTER_OTLP_PROTOCOL            http/json for JSON
//	OTEL_EXPORTER_OTLP_CERTIFICATE         a PEM file of certificates to trust
//	OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE  and
//	OTEL_EXPORTER_OTLP_CLIENT_KEY          PEM files for mutual TLS
//
// and the same with TRACES_ behind OTLP_, which win. An endpoint for traces is used as
// it is: without a path it gets "/". Without any endpoint it is http://localhost:4318.
// Options given here win over the environment. The protocol grpc is none of this
// exporter's, and changes nothing.
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
	to, err := endpointFromEnv()
	if err != nil {
		return nil, fmt.Errorf("otlphttp: %w", err)
	}
	fromEnv := config{Config: otlpclient.NewConfig(), json: jsonFromEnv(env)}
	env.Apply(&fromEnv.Config, checkHeader)
	if explicit.TLS.Config == nil {
		if fromEnv.TLS.Config, err = env.TLS(to.Scheme == "https"); err != nil {
			return nil, fmt.Errorf("otlphttp: %w", err)
		}
	}
	apply := func(c *config) { c.Config, c.json = fromEnv.Config, fromEnv.json }
	return New(to.String(), append([]Option{apply}, opts...)...)
}

// endpointFromEnv returns the URL to send to. (OTLP Exporter specification,
// "Endpoint URLs for OTLP/HTTP".)
func endpointFromEnv() (*url.URL, error) {
	s := otlpclient.Lookup("ENDPOINT")
	if !s.Given() {
		return parseURL(defaultEndpoint)
	}
	if _, err := parseURL(s.Value); err != nil {
		return nil, s.Unusable(err)
	}
	u, err := url.Parse(s.Value)
	switch {
	case err != nil:
		return nil, s.Unusable(err)
	case !s.Signal:
		u.Path = strings.TrimSuffix(u.Path, "/") + tracesPath
		if u.RawPath != "" { // of a path with escapes
			u.RawPath = strings.TrimSuffix(u.RawPath, "/") + tracesPath
		}
	case u.Path == "":
		u.Path = "/"
	}
	return u, nil
}

func jsonFromEnv(env otlpclient.Env) bool {
	s := otlpclient.Lookup("PROTOCOL")
	switch strings.ToLower(s.Value) {
	case "http/json":
		return true
	case "", "http/protobuf", "grpc":
	default:
		env.Ignore(s, "grpc, http/protobuf or http/json")
	}
	return false
}
