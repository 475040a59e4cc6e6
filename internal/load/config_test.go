package load

import (
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"
)

func TestWrongConfigs(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"--connections is 0":                     func(c *Config) { c.Connections = 0 },
		"--in-flight is -1":                      func(c *Config) { c.InFlight = -1 },
		"--connections × --in-flight is":         func(c *Config) { c.Connections, c.InFlight = 60000, 60000 },
		"--request-spans is 1000000000":          func(c *Config) { c.Request = 1e9 },
		"--attributes is 129":                    func(c *Config) { c.Attributes = 129 },
		"--attribute-bytes is -5":                func(c *Config) { c.AttributeBytes = -5 },
		"--services is 0":                        func(c *Config) { c.Services = 0 },
		"--operations is 10001":                  func(c *Config) { c.Operations = 10001 },
		"--trace-spans is 0":                     func(c *Config) { c.TraceSpans = 0 },
		"--rate is NaN":                          func(c *Config) { c.Rate = math.NaN() },
		"--rate is -1":                           func(c *Config) { c.Rate = -1 },
		"--rate is +Inf":                         func(c *Config) { c.Rate = math.Inf(1) },
		"--rate is 1e-09":                        func(c *Config) { c.Rate = 1e-9 },
		"--duration is -1s":                      func(c *Config) { c.Duration = -time.Second },
		"--spans is":                             func(c *Config) { c.Spans = 1 << 40 },
		"--timeout is 0s":                        func(c *Config) { c.Timeout = 0 },
		"--give-up is -1s":                       func(c *Config) { c.GiveUp = -time.Second },
		"--protocol is \"udp\"":                  func(c *Config) { c.Protocol = "udp" },
		"--compression is \"lz4\"":               func(c *Config) { c.Compression = "lz4" },
		"--endpoint is \"ftp://x\"":              func(c *Config) { c.Endpoint = "ftp://x" },
		"--endpoint is \"127.0.0.1:99999\"":      func(c *Config) { c.Endpoint = "127.0.0.1:99999" },
		"--endpoint is \"unix:\"":                func(c *Config) { c.Endpoint = "unix:" },
		"--endpoint is \"http://\"":              func(c *Config) { c.Endpoint = "http://" },
		"gRPC has no path":                       func(c *Config) { c.Endpoint = "http://x/v1/traces" },
		"bytes: OTLP allows 67108864; use small": func(c *Config) { c.Request, c.Attributes, c.AttributeBytes = 2000, 128, 60000/128*2 },
	} {
		c := DefaultConfig()
		change(&c)
		_, err := Run(context.Background(), c)
		var usage Usage
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &usage) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, test := range []struct {
		protocol       Protocol
		given, address string
		path           string
		tls            bool
	}{
		{GRPC, "", "127.0.0.1:4317", "/v1/traces", false}, {HTTPJSON, "", "127.0.0.1:4318", "/v1/traces", false},
		{GRPC, "https://x", "x:4317", "/v1/traces", true}, {HTTPProtobuf, "http://[::1]:80/in", "[::1]:80", "/in", false},
		{GRPC, "localhost:99", "localhost:99", "/v1/traces", false}, {GRPC, "unix:/tmp/x", "/tmp/x", "/v1/traces", false},
		{GRPC, "unix:///tmp/x", "/tmp/x", "/v1/traces", false}, {HTTPProtobuf, "http://x/", "x:4318", "/v1/traces", false},
	} {
		c := Config{Protocol: test.protocol, Endpoint: test.given}
		e, err := c.endpoint()
		if err != nil || e.address != test.address || e.path != test.path || e.tls != test.tls {
			t.Errorf("%s: %+v, %v", test.given, e, err)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := DefaultConfig()
	c.Endpoint, c.ConnectTimeout = l.Addr().String(), 20*time.Millisecond
	var usage Usage
	if _, err := Run(context.Background(), c); err == nil || !strings.Contains(err.Error(), "cannot reach a receiver") || errors.As(err, &usage) {
		t.Error(err)
	}
}
