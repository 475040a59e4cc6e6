package otlpgrpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
)

// Option changes what New makes. Of options given twice the last one counts.
type Option func(*config)

type config struct {
	otlpclient.Config
	insecure bool
	dial     []grpc.DialOption
}

// WithInsecure makes a connection without TLS to an endpoint that does not say.
func WithInsecure() Option { return func(c *config) { c.insecure = true } }

// WithHeaders sends these headers (gRPC metadata) with every request. Names are not
// case-sensitive; those that gRPC sets itself are refused.
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

// WithTimeout limits one attempt; default 10 s. All attempts together are limited by
// Export's context, and by WithRetry.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.Timeout = d } }

// WithCompressor chooses "none", "gzip" or "zstd"; default none. Every receiver
// has to understand gzip; zstd takes as much time and makes less of it.
func WithCompressor(name string) Option { return func(c *config) { c.Compression = name } }

// WithRetry says how often and with which pauses a request is sent again.
func WithRetry(r export.RetryConfig) Option { return func(c *config) { c.Retry = r } }

// WithMaxRequestBytes splits batches that are larger, before compression; default
// 4 KiB less than the 4 MiB at which many receivers stop.
func WithMaxRequestBytes(n int) Option { return func(c *config) { c.MaxRequest = n } }

// WithUserAgent puts a product, such as "shop/1.2", in front of the User-Agent.
func WithUserAgent(product string) Option { return func(c *config) { c.UserAgent = product } }

// WithLogger gives a logger for the receiver's warnings, at most one in ten
// seconds; default [slog.Default].
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.Logger = l } }

// WithDialOption passes options to [grpc.NewClient], after our own.
func WithDialOption(opts ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, opts...) }
}

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

// checkHeader refuses what gRPC sets itself or cannot send. Its errors do not show
// the value.
func checkHeader(name, value string) error {
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, "grpc-") || lower == "content-type" || lower == "te" || lower == "user-agent" {
		return fmt.Errorf("%q is set by gRPC itself", name)
	}
	if strings.HasSuffix(lower, "-bin") {
		return nil // any bytes: gRPC encodes them
	}
	for _, r := range value {
		if r < 0x20 || r > 0x7e {
			return fmt.Errorf("the value of %q has characters that a gRPC header cannot have", name)
		}
	}
	return nil
}

func (c *config) checkInsecure() error {
	if c.insecure && c.TLS.Given() {
		return errors.New("WithInsecure: options for TLS are given as well")
	}
	return nil
}
