// Package otlpclient is what the OTLP exporters over gRPC and over HTTP have in
// common: the checked configuration, TLS, compression, splitting, retrying part by
// part, partial success, and an orderly end.
package otlpclient

import (
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
)

const (
	// MaxResponse is how many bytes of an answer are read (OTLP asks clients to
	// set a limit; receivers answer in a few bytes).
	MaxResponse = 4 << 20

	// DefaultMaxRequest leaves some room below the 4 MiB at which many receivers
	// stop to read a message.
	DefaultMaxRequest = 4<<20 - 4<<10

	// DefaultTimeout is what OTEL_EXPORTER_OTLP_TIMEOUT is when it is not set.
	DefaultTimeout = 10 * time.Second
)

// Config is the part of the configuration that both exporters have.
type Config struct {
	Headers     map[string]string
	TLS         TLS
	Timeout     time.Duration // of one attempt
	Compression string
	Retry       export.RetryConfig
	MaxRequest  int // bytes, before compression
	Logger      *slog.Logger
	UserAgent   string // in front of ours
}

// NewConfig returns the defaults.
func NewConfig() Config {
	return Config{Timeout: DefaultTimeout, MaxRequest: DefaultMaxRequest, Compression: "none"}
}

// Validate names the first value that cannot be, by the name of its option.
func (c *Config) Validate() error {
	if c.Timeout <= 0 {
		return fmt.Errorf("WithTimeout(%v): must be positive", c.Timeout)
	}
	if c.MaxRequest <= 0 {
		return fmt.Errorf("WithMaxRequestBytes(%d): must be positive", c.MaxRequest)
	}
	if err := c.Retry.Validate(); err != nil {
		return fmt.Errorf("WithRetry: %w", err)
	}
	for name, value := range c.Headers {
		// The value may be a secret, and is not shown.
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("WithHeaders: %q is not a header name", name)
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("WithHeaders: the value of %q has characters that a header cannot have", name)
		}
	}
	if !httpguts.ValidHeaderFieldValue(c.UserAgent) {
		return fmt.Errorf("WithUserAgent(%q): has characters that a header cannot have", c.UserAgent)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// FullUserAgent is the User-Agent header: what was configured, then our product
// with its version, the exporter and its language (OTLP exporter specification,
// "User Agent").
func (c *Config) FullUserAgent() string {
	const own = "ringtail/" + ringtail.Version + " (OTel-OTLP-Exporter-Go)"
	if c.UserAgent == "" {
		return own
	}
	return c.UserAgent + " " + own
}
