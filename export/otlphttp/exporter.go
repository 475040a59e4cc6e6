// Package otlphttp exports spans to an OpenTelemetry backend by OTLP over HTTP, in
// protobuf or JSON.
//
//	exporter, err := otlphttp.New("http://localhost:4318")
//	collector, err := ringtail.New(exporter)
//
// Retries, partial success, splitting and what happens at the end are those of the
// OTLP specification, and described at [Exporter].
package otlphttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
	"github.com/ringtail-otel/ringtail/otlp"
)

// Exporter sends batches to one OTLP/HTTP endpoint. Its methods may be called from
// several goroutines at once; each uses a connection of its own, and connections
// are kept for later requests.
//
// Export makes attempts, each within WithTimeout, until the receiver has taken the
// spans, or refused them, or WithRetry or the context allows no more. Tried again is
// after 429, 502, 503 and 504, not before what Retry-After says (seconds or a date),
// and after failures to connect and connections that end, or time that is over,
// without an answer. Any other status than 2xx, redirects included, means that the
// spans are lost, with [ringtail.ReasonRejected].
// (OTLP specification, "OTLP/HTTP Response", "Failures".)
//
// A partial success is never tried again: the spans that were rejected, at most
// those that were sent, are lost with ReasonRejected, the others are delivered. A
// warning without rejected spans, and a 2xx answer that cannot be read, count as
// success, and are logged; but a web page (text/html), and an answer of gRPC, is an
// error, since what answers so is no receiver.
//
// A batch larger than WithMaxRequestBytes goes in parts, each with its attempts;
// what is delivered is not sent again, and the error says for each part that was
// lost how many spans and why. A span that is larger alone goes alone.
//
// Shutdown ends the pauses between attempts, lets the attempts under way end, and
// closes the connections; when its context ends first they are broken off. An
// Export after Shutdown fails with [ringtail.ReasonClosed].
type Exporter struct {
	client      *otlpclient.Client
	url         *url.URL
	http        *http.Client
	header      http.Header
	contentType string
	json        bool
}

var (
	_ ringtail.Exporter  = (*Exporter)(nil)
	_ ringtail.Describer = (*Exporter)(nil)
)

// New returns an exporter to a URL, http or https. A URL without a path gets the
// usual one, /v1/traces; any other, "/" too, is used as it is. Without a port it is
// that of the scheme.
//
// The backend need not be up. Errors name the option and the value.
func New(endpoint string, opts ...Option) (*Exporter, error) {
	cfg := config{Config: otlpclient.NewConfig(), proxy: http.ProxyFromEnvironment}
	for _, o := range opts {
		o(&cfg)
	}
	e, err := newExporter(endpoint, &cfg)
	if err != nil {
		return nil, fmt.Errorf("otlphttp: %w", err)
	}
	return e, nil
}

func newExporter(endpoint string, cfg *config) (*Exporter, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	to, err := parseURL(endpoint)
	if err != nil {
		return nil, err
	}
	if to.Scheme == "http" && cfg.TLS.Given() {
		return nil, fmt.Errorf("URL %q: asks for a connection without TLS, and options for TLS are given", to.Redacted())
	}
	tlsConfig, err := cfg.TLS.Build()
	if err != nil {
		return nil, err
	}
	compressor, err := otlpclient.NewCompressor(cfg.Compression)
	if err != nil {
		return nil, fmt.Errorf("WithCompression: %w", err)
	}
	e := &Exporter{url: to, json: cfg.json, contentType: "application/x-protobuf", header: make(http.Header)}
	if e.json {
		e.contentType = "application/json"
	}
	for name, value := range cfg.Headers {
		e.header.Set(name, value)
	}
	e.header.Set("Content-Type", e.contentType)
	e.header.Set("User-Agent", cfg.FullUserAgent())
	if compressor != nil {
		e.header.Set("Content-Encoding", compressor.Name)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	connections := &http.Transport{
		Proxy:                  cfg.proxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16, // concurrent exports each keep theirs
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
	}
	e.http = &http.Client{
		Transport:     connections,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	e.client = otlpclient.NewClient(cfg.Config, otlpclient.Transport{
		To:     to.Redacted(),
		Encode: e.encoder(compressor),
		Send:   e.send,
		Close:  func() error { connections.CloseIdleConnections(); return nil },
	})
	return e, nil
}

func parseURL(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("URL: %w", errors.Unwrap(err)) // without the URL, which may hold a password
	}
	port := u.Port()
	if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil {
		return nil, fmt.Errorf("URL %q: has the port %q, must be from 1 to 65535", u.Redacted(), port)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("URL %q: must begin with http:// or https://", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("URL %q: has no host", u.Redacted())
	case u.Fragment != "":
		return nil, fmt.Errorf("URL %q: has a fragment, must not", u.Redacted())
	}
	if u.Path == "" {
		u.Path = "/v1/traces"
	}
	return u, nil
}

// encoder returns what turns a request into the body that is sent; nil if it is the
// same.
func (e *Exporter) encoder(c *otlpclient.Compressor) func(dst []byte, b *ringtail.Batch) ([]byte, error) {
	switch {
	case !e.json && c == nil:
		return nil
	case !e.json:
		return func(dst []byte, b *ringtail.Batch) ([]byte, error) { return c.Append(dst, b.Parts()...) }
	case c == nil:
		return func(dst []byte, b *ringtail.Batch) ([]byte, error) { return otlp.AppendJSON(dst, b.Bytes()) }
	}
	return func(dst []byte, b *ringtail.Batch) ([]byte, error) {
		json, err := otlp.AppendJSON(nil, b.Bytes())
		if err != nil {
			return dst, err
		}
		return c.Append(dst, json)
	}
}

// Export sends a batch. It does not keep anything of it.
func (e *Exporter) Export(ctx context.Context, b *ringtail.Batch) error {
	return e.client.Export(ctx, b)
}

// Shutdown ends the exporter. Later calls wait for the first, or for their own ctx, and
// return its error.
func (e *Exporter) Shutdown(ctx context.Context) error { return e.client.Shutdown(ctx) }

// Describe returns the exporter's type and the address that it sends to.
func (e *Exporter) Describe() ringtail.ExporterInfo {
	info := ringtail.ExporterInfo{Type: "otlp_http_span_exporter", ServerAddress: e.url.Hostname()}
	if e.json {
		info.Type = "otlp_http_json_span_exporter"
	}
	info.ServerPort, _ = strconv.Atoi(e.url.Port())
	if info.ServerPort == 0 {
		info.ServerPort = map[string]int{"http": 80, "https": 443}[e.url.Scheme]
	}
	return info
}

// send makes one attempt.
func (e *Exporter) send(ctx context.Context, msg [][]byte) (otlpclient.Answer, error) {
	m := newMessage(msg)
	defer m.revoke()
	req := (&http.Request{
		Method:        http.MethodPost,
		URL:           e.url,
		Host:          e.header.Get("Host"), // the URL's if it is empty
		Header:        e.header.Clone(),
		Body:          m.reader(),
		GetBody:       func() (io.ReadCloser, error) { return m.reader(), nil },
		ContentLength: int64(m.size),
	}).WithContext(ctx)
	resp, err := e.http.Do(req)
	if err != nil {
		return otlpclient.Answer{}, &export.RetryableError{Err: explain(err)}
	}
	defer resp.Body.Close()
	ringtail.ReportStatus(ctx, attribute.Int("http.response.status_code", resp.StatusCode))
	body, err := io.ReadAll(io.LimitReader(resp.Body, otlpclient.MaxResponse+1))
	if err == nil && len(body) > otlpclient.MaxResponse {
		err = errors.New("it is longer than 4 MiB")
	}
	return e.understand(resp, body, err)
}
