package otlphttp

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
)

// Option changes what New makes. Of options given twice the last one counts.
type Option func(*config)

type config struct {
	otlpclient.Config
	json  bool
	proxy func(*http.Request) (*url.URL, error)
}

// WithJSON sends OTLP JSON instead of protobuf. It is for receivers that understand
// nothing else: it takes more bytes, and far more time.
func WithJSON() Option { return func(c *config) { c.json = true } }

// WithHeaders sends these headers with every request. Names are not case-sensitive;
// those that describe the body are refused.
func WithHeaders(headers map[string]string) Option {
	return func(c *config) { c.Headers = maps.Clone(headers) }
}

// WithTLSClientConfig makes TLS connections with a configuration, which is copied.
// The files of the other options come on top.
func WithTLSClientConfig(cfg *tls.Config) Option { return func(c *config) { c.TLS.Config = cfg } }

// WithCAFile trusts the certificates of a PEM file, and not the system's. The file
// is read once, by New.
func WithCAFile(path string) Option { return func(c *config) { c.TLS.CAFile = path } }

// WithClientCertificateFiles is for mutual TLS: the PEM files of the client's
// certificate and key. They are read once, by New.
func WithClientCertificateFiles(cert, key string) Option {
	return func(c *config) { c.TLS.CertFile, c.TLS.KeyFile = cert, key }
}

// WithProxy says which proxy to use for a request; nil for none. The default is
// [http.ProxyFromEnvironment], which never uses one for localhost.
func WithProxy(proxy func(*http.Request) (*url.URL, error)) Option {
	return func(c *config) { c.proxy = proxy }
}

// WithTimeout limits one attempt, answer included; default 10 s. All attempts
// together are limited by Export's context, and by WithRetry.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.Timeout = d } }

// WithCompression chooses "none", "gzip" or "zstd"; default none. Every receiver
// has to understand gzip; zstd takes as much time and makes less of it.
func WithCompression(name string) Option { return func(c *config) { c.Compression = name } }

// WithRetry says how often and with which pauses a request is sent again.
func WithRetry(r export.RetryConfig) Option { return func(c *config) { c.Retry = r } }

// WithMaxRequestBytes splits batches that are larger as protobuf, before
// compression; default 4 KiB less than the 4 MiB at which many receivers stop. JSON
// takes about twice as much.
func WithMaxRequestBytes(n int) Option { return func(c *config) { c.MaxRequest = n } }

// WithUserAgent puts a product, such as "shop/1.2", in front of the User-Agent.
func WithUserAgent(product string) Option { return func(c *config) { c.UserAgent = product } }

// WithLogger gives a logger for the receiver's warnings, at most one in ten
// seconds; default [slog.Default].
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.Logger = l } }

func (c *config) validate() error {
	if err := c.Validate(); err != nil {
		return err
	}
	for name, value := range c.Headers {
		if err := checkHeader(name, value); err != nil {
			return fmt.Errorf("WithHeaders: %w", err)
		}
	}
	return nil
}

// checkHeader refuses what describes the body. Its errors do not show the value.
func checkHeader(name, _ string) error {
	switch http.CanonicalHeaderKey(name) {
	case "Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "User-Agent":
		return fmt.Errorf("%q is set by the exporter", name)
	}
	return nil
}
