package otlpgrpc

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// target is an endpoint as grpc-go wants it.
type target struct {
	target string
	tls    bool
}

func parseEndpoint(endpoint string, cfg *config) (target, error) {
	bad := func(format string, args ...any) (target, error) {
		return target{}, fmt.Errorf("endpoint %q: "+format, append([]any{endpoint}, args...)...)
	}
	if strings.HasPrefix(endpoint, "unix:") {
		if path := strings.TrimPrefix(strings.TrimPrefix(endpoint, "unix:"), "//"); path == "" {
			return bad("has no path")
		}
		return target{endpoint, cfg.TLS.Given()}, cfg.checkInsecure()
	}
	scheme, authority, found := strings.Cut(endpoint, "://")
	if !found {
		scheme, authority = "", endpoint
	}
	switch scheme {
	case "", "http", "https":
	default:
		return bad("has the scheme %q, must be host:port, http://host:port, https://host:port or unix:path", scheme)
	}
	if scheme != "" {
		u, err := url.Parse(endpoint)
		if err != nil {
			return target{}, fmt.Errorf("endpoint: %w", errors.Unwrap(err)) // without the URL, which may hold a password
		}
		if u.User != nil {
			return target{}, errors.New("endpoint: has a user name, must not: use WithHeaders")
		}
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			return bad("has a path or a query, which gRPC has no use for")
		}
		authority = u.Host
	}
	hostport, err := withPort(authority)
	if err != nil {
		return bad("%w", err)
	}
	switch {
	case scheme == "https" && cfg.insecure:
		return bad("asks for TLS, and WithInsecure for none")
	case scheme == "http" && cfg.TLS.Given():
		return bad("asks for a connection without TLS, and options for TLS are given")
	}
	return target{"dns:///" + hostport, scheme == "https" || scheme == "" && !cfg.insecure}, cfg.checkInsecure()
}

// withPort checks host:port, and adds OTLP's port if there is none.
func withPort(authority string) (string, error) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		// Perhaps it is only the port that is missing.
		host, port, err = net.SplitHostPort(authority + ":4317")
	}
	if err != nil {
		return "", err
	}
	if host == "" || strings.ContainsAny(host, "/?# ") {
		return "", fmt.Errorf("has the host %q", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("has the port %q, must be from 1 to 65535", port)
	}
	return net.JoinHostPort(host, port), nil
}
