package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
)

// A Protocol is a way of sending OTLP, spelled as OTEL_EXPORTER_OTLP_PROTOCOL spells it.
type Protocol string

// The protocols of OTLP. (OTLP specification, "OTLP/gRPC", "OTLP/HTTP".)
const (
	GRPC         Protocol = "grpc"
	HTTPProtobuf Protocol = "http/protobuf"
	HTTPJSON     Protocol = "http/json"
)

// Config says what to send, how and where to. [DefaultConfig] has the defaults. What an error of
// Run says about it names the field as the command line does.
type Config struct {
	// Endpoint is the receiver: HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:PATH;
	// over HTTP perhaps with a path, by default /v1/traces. Empty: 127.0.0.1 and the
	// protocol's port, 4317 or 4318.
	Endpoint string
	Protocol Protocol
	TLS      *tls.Config       // for https endpoints; nil: the system's certificates
	Headers  map[string]string // sent with each request

	Compression string // none, gzip, zstd

	Rate     float64       // spans a second, all connections together; 0: as fast as it goes
	Duration time.Duration // of sending; 0: no limit
	Spans    uint64        // to send; 0: no limit

	// Connections are used in turn. InFlight is how many requests each has under way at a time;
	// over HTTP/1.1 each of them has a connection of its own.
	Connections, InFlight int

	Request        int // spans a request
	Attributes     int // a span
	AttributeBytes int // of the value of an attribute that is a string; three of four are

	// Services is how many services.names there are: request after request comes from the next.
	// Operations is how many span names.
	Services, Operations int

	TraceSpans int // spans a trace
	// Scattered spreads a trace over as many requests as it has spans; otherwise it is whole in one.
	Scattered bool

	NoRetry        bool          // count what is refused, instead of sending it again
	Timeout        time.Duration // for an answer; without one in time the request is sent again
	GiveUp         time.Duration // on a request, this long after it was first sent; 0: never
	Grace          time.Duration // for requests under way at the end
	ConnectTimeout time.Duration // for the receiver to be there at the beginning

	Run numbers.Run // 0: a random one

	// Acked gets the ranges of acknowledged numbers, ten times a second; nil: nobody. A request
	// of which the receiver rejected a part is not among them: nothing says which part.
	Acked io.Writer

	// Progress is called now and then from one goroutine, with what the report would be; nil: not.
	Progress func(Report)

	// Cut, once closed, ends requests under way without an answer.
	Cut <-chan struct{}
}

// DefaultConfig returns a load of 100 spans a request on two connections, as fast as it goes, for ten
// seconds.
func DefaultConfig() Config {
	return Config{
		Protocol: GRPC, Compression: "none", Duration: 10 * time.Second,
		Connections: 2, InFlight: 4, Request: 100,
		Attributes: 10, AttributeBytes: 19, Services: 4, Operations: 16, TraceSpans: 10,
		Timeout: 10 * time.Second, GiveUp: 5 * time.Minute, Grace: 30 * time.Second, ConnectTimeout: 5 * time.Second,
	}
}

// Bounds of a configuration.
const (
	maxConnections = 65536
	maxWorkers     = 1 << 17
	maxRequest     = 100_000
	maxBody        = 64 << 20 // what the OTLP specification allows
)

// check returns what is wrong, or what follows from the configuration.
func (c *Config) check() (*endpoint, error) {
	for _, f := range []struct {
		name       string
		value      int
		least, top int
	}{
		{"connections", c.Connections, 1, maxConnections},
		{"in-flight", c.InFlight, 1, 65536},
		{"request-spans", c.Request, 1, maxRequest},
		{"attributes", c.Attributes, 0, 128},
		{"attribute-bytes", c.AttributeBytes, 0, 65536},
		{"services", c.Services, 1, 10_000},
		{"operations", c.Operations, 1, 10_000},
		{"trace-spans", c.TraceSpans, 1, 100_000},
	} {
		if f.value < f.least || f.value > f.top {
			return nil, fmt.Errorf("--%s is %d: want %d to %d", f.name, f.value, f.least, f.top)
		}
	}
	switch n := c.Connections * c.InFlight; {
	case n > maxWorkers:
		return nil, fmt.Errorf("--connections × --in-flight is %d: want at most %d", n, maxWorkers)
	case !(c.Rate == 0 || c.Rate >= 0.01 && c.Rate <= math.MaxInt32):
		return nil, fmt.Errorf("--rate is %v: want 0.01 to %d, or 0 for as fast as it goes", c.Rate, math.MaxInt32)
	case c.Duration < 0:
		return nil, fmt.Errorf("--duration is %v: want 0 or more", c.Duration)
	case c.Spans > numbers.Max:
		return nil, fmt.Errorf("--spans is %d: want at most %d, which is as many as a sink can tell apart", c.Spans, uint64(numbers.Max))
	case c.GiveUp < 0:
		return nil, fmt.Errorf("--give-up is %v: want 0 or more", c.GiveUp)
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"timeout", c.Timeout}, {"shutdown-timeout", c.Grace}, {"connect-timeout", c.ConnectTimeout}} {
		if f.value <= 0 {
			return nil, fmt.Errorf("--%s is %v: want more than 0", f.name, f.value)
		}
	}
	switch c.Protocol {
	case GRPC, HTTPProtobuf, HTTPJSON:
	default:
		return nil, fmt.Errorf("--protocol is %q: want %s, %s or %s", c.Protocol, GRPC, HTTPProtobuf, HTTPJSON)
	}
	switch c.Compression {
	case "none", "gzip", "zstd":
	default:
		return nil, fmt.Errorf("--compression is %q: want none, gzip or zstd", c.Compression)
	}
	return c.endpoint()
}

// An endpoint is where requests go.
type endpoint struct {
	network, address string // for dialling
	tls              bool
	name             string // of the server, as TLS and HTTP call it
	path             string // of the URL
}

func (e *endpoint) String() string {
	if e.network == "unix" {
		return "unix:" + e.address
	}
	return e.address
}

func (c *Config) endpoint() (*endpoint, error) {
	e := &endpoint{network: "tcp", path: "/v1/traces"}
	given, port := c.Endpoint, "4318"
	if c.Protocol == GRPC {
		port = "4317"
	}
	if given == "" {
		given = "127.0.0.1:" + port
	}
	if path, ok := strings.CutPrefix(given, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return nil, errors.New("--endpoint is \"unix:\": want unix:PATH")
		}
		e.network, e.address, e.name = "unix", path, "localhost"
		return e, nil
	}
	wrong := fmt.Errorf("--endpoint is %q: want HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:PATH", c.Endpoint)
	if !strings.Contains(given, "://") {
		given = "http://" + given
	}
	u, err := url.Parse(given)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return nil, wrong
	}
	if u.Path != "" && u.Path != "/" {
		if c.Protocol == GRPC {
			return nil, fmt.Errorf("--endpoint is %q: gRPC has no path; leave %s out, or choose --protocol %s", c.Endpoint, u.Path, HTTPProtobuf)
		}
		e.path = u.Path
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return nil, wrong
	}
	e.tls, e.name = u.Scheme == "https", u.Hostname()
	e.address = net.JoinHostPort(e.name, port)
	return e, nil
}
