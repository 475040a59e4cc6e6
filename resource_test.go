package ringtail

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
)

func TestDetectResource(t *testing.T) {
	const base = "" // what is detected without the environment
	for _, test := range []struct {
		name, attributes, service string
		want                      map[attribute.Key]string
		err                       string
	}{
		{"nothing", "", "", map[attribute.Key]string{"telemetry.sdk.language": "go", "telemetry.sdk.name": "ringtail"}, ""},
		{"attributes", "a=1,b.c= two ", "", map[attribute.Key]string{"a": "1", "b.c": "two"}, ""},
		{"service by attribute", "service.name=shop", "", map[attribute.Key]string{"service.name": "shop"}, ""},
		{"service name wins", "service.name=shop,a=1", "till", map[attribute.Key]string{"service.name": "till", "a": "1"}, ""},
		{"blank service name is unset", "service.name=shop", "  ", map[attribute.Key]string{"service.name": "shop"}, ""},
		{"replaces what is detected", "host.name=other,telemetry.sdk.version=9", "", map[attribute.Key]string{"host.name": "other", "telemetry.sdk.version": "9"}, ""},
		{"percent", "a=x%2Cy%3Dz,b=100%25,c=%C3%A9,d=1+1", "", map[attribute.Key]string{"a": "x,y=z", "b": "100%", "c": "é", "d": "1+1"}, ""},
		{"the last wins", "a=1,a=2", "", map[attribute.Key]string{"a": "2"}, ""},
		{"empty value", "a=,b=2", "", map[attribute.Key]string{"a": "", "b": "2"}, ""},
		{"comma at the end", "a=1,", "", map[attribute.Key]string{"a": "1"}, ""},
		{"no equals sign", "a=1,b,c=3", "", map[attribute.Key]string{"a": base, "c": base}, `"b" is not key=value`},
		{"no key", "a=1,=2", "", map[attribute.Key]string{"a": base}, `"=2" is not key=value`},
		{"bad percent", "a=1,b=%zz", "", map[attribute.Key]string{"a": base, "b": base}, `value of "b"`},
		{"bad, and a service name", "a=%", "till", map[attribute.Key]string{"a": base, "service.name": "till"}, "all of it is ignored"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", test.attributes)
			t.Setenv("OTEL_SERVICE_NAME", test.service)
			r, err := DetectResource()
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			got := make(map[attribute.Key]string)
			for _, kv := range r.Attributes {
				if _, twice := got[kv.Key]; twice {
					t.Errorf("%s is there twice", kv.Key)
				}
				got[kv.Key] = kv.Value.String()
			}
			for key, want := range test.want {
				if got[key] != want {
					t.Errorf("%s = %q, want %q", key, got[key], want)
				}
			}
			for _, key := range []attribute.Key{"service.name", "process.pid", "process.executable.name", "os.type", "host.arch", "process.runtime.version"} {
				if got[key] == "" {
					t.Errorf("no %s", key)
				}
			}
			if got["service.name"] != r.ServiceName() {
				t.Errorf("ServiceName() = %q", r.ServiceName())
			}
			if host, err := os.Hostname(); err == nil && test.want["host.name"] == "" && got["host.name"] != host {
				t.Errorf("host.name = %q", got["host.name"])
			}
		})
	}
	if name := (*Resource)(nil).ServiceName() + (&Resource{}).ServiceName(); name != "" {
		t.Errorf("a service name out of nothing: %q", name)
	}
}

// TestResourceOfACollector: without WithResource it is the detected one, and what
// is wrong with the environment is in the log.
func TestResourceOfACollector(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "broken")
	t.Setenv("OTEL_SERVICE_NAME", "till")
	var log bytes.Buffer
	core, err := NewCore(WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	if err != nil || !strings.Contains(log.String(), "OTEL_RESOURCE_ATTRIBUTES") {
		t.Fatalf("%v; log: %s", err, log.String())
	}
	core.TrySubmit(numbered(1))
	b := core.NewBuilder()
	core.ConsumeUpTo(1, b)
	for s := range b.Batch().Spans() {
		if s.Resource.ServiceName() != "till" || s.Resource.SchemaURL != semconvSchema {
			t.Errorf("%+v", s.Resource)
		}
	}
}

func TestCollectorResource(t *testing.T) {
	given := &Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "given")}}
	for _, tt := range []struct {
		opts []Option
		want string
	}{
		{[]Option{WithResource(given)}, "given"},
		{nil, "unknown_service:" + executable()},
	} {
		t.Setenv("OTEL_SERVICE_NAME", "")
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "")
		c, err := New(&backend{}, tt.opts...)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Resource().ServiceName(); got != tt.want {
			t.Errorf("service %q, want %q", got, tt.want)
		}
		if err := c.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
