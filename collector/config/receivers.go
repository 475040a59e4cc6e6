package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/ringtail-otel/ringtail/collector"
)

// apply enters what a file says of the OTLP receiver into its configuration.
func (o *otlpReceiver) apply(c *collector.Config, grpc, http bool) error {
	var err error
	if !grpc {
		c.GRPCAddr = ""
	} else if g := o.Protocols.GRPC; g != nil {
		if c.GRPCAddr, err = listenAddress(g.Endpoint, g.Transport, c.GRPCAddr); err != nil {
			return fmt.Errorf("grpc::%w", err)
		}
		if g.MaxRecvMsgSizeMiB < 0 || g.MaxRecvMsgSizeMiB > 1024 {
			return fmt.Errorf("grpc::max_recv_msg_size_mib is %d: want 1 to 1024", g.MaxRecvMsgSizeMiB)
		}
		if g.MaxRecvMsgSizeMiB > 0 {
			c.MaxRequestBytes = g.MaxRecvMsgSizeMiB << 20
		}
	}
	if !http {
		c.HTTPAddr = ""
	} else if h := o.Protocols.HTTP; h != nil {
		if err := h.apply(c); err != nil {
			return fmt.Errorf("http::%w", err)
		}
	}
	c.MemoryLimit = max(c.MemoryLimit, 2*int64(c.MaxRequestBytes)) // as it came, and unpacked
	return o.applyTLS(c, grpc, http)
}

// applyTLS enters the one setting that a receiver has for both protocols.
func (o *otlpReceiver) applyTLS(c *collector.Config, grpc, http bool) error {
	var g, h *serverTLS
	if o.Protocols.GRPC != nil {
		g = o.Protocols.GRPC.TLS
	}
	if o.Protocols.HTTP != nil {
		h = o.Protocols.HTTP.TLS
	}
	switch {
	case !grpc:
		g = h
	case !http:
		h = g
	}
	if (g == nil) != (h == nil) || g != nil && *g != *h {
		return fmt.Errorf("http::tls and grpc::tls differ: make two receivers, otlp/grpc and otlp/http")
	}
	if g != nil {
		c.TLS = collector.TLS{CertFile: g.CertFile, KeyFile: g.KeyFile, ClientCAFile: g.ClientCAFile}
	}
	return nil
}

func (h *httpServer) apply(c *collector.Config) (err error) {
	if c.HTTPAddr, err = listenAddress(h.Endpoint, h.Transport, c.HTTPAddr); err != nil {
		return err
	}
	if h.TracesURLPath != "" && h.TracesURLPath != "/v1/traces" {
		return fmt.Errorf("traces_url_path is %q: only /v1/traces is served", h.TracesURLPath)
	}
	if h.MaxRequestBodySize < 0 || h.MaxRequestBodySize > 1<<30 {
		return fmt.Errorf("max_request_body_size is %d: want 1024 to 1073741824 bytes", h.MaxRequestBodySize)
	}
	if n := h.MaxRequestBodySize; n > 0 {
		if n < 1<<10 {
			return fmt.Errorf("max_request_body_size is %d: want 1024 to 1073741824 bytes", n)
		}
		if c.GRPCAddr == "" || n > c.MaxRequestBytes {
			c.MaxRequestBytes = n // else gRPC's, which is for both
		}
	}
	if h.CORS != nil {
		c.CORS = collector.CORS{AllowedOrigins: h.CORS.AllowedOrigins, AllowedHeaders: h.CORS.AllowedHeaders, MaxAge: time.Duration(h.CORS.MaxAge) * time.Second}
	}
	if h.ReadHeaderTimeout > 0 {
		c.HeaderTimeout = time.Duration(h.ReadHeaderTimeout)
	}
	return nil
}

// listenAddress returns an address as the receivers take it.
func listenAddress(endpoint, transport, fallback string) (string, error) {
	switch transport {
	case "", "tcp":
	case "unix":
		if endpoint == "" {
			return "", fmt.Errorf("endpoint is missing: want the path of a socket")
		}
		return "unix:" + strings.TrimPrefix(endpoint, "unix:"), nil
	default:
		return "", fmt.Errorf("transport is %q: want tcp or unix", transport)
	}
	if endpoint == "" {
		return fallback, nil
	}
	if strings.Contains(endpoint, "://") {
		return "", fmt.Errorf("endpoint is %q: want HOST:PORT, without a scheme", endpoint)
	}
	return endpoint, nil
}
