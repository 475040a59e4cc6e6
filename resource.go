package ringtail

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// semconvSchema is the schema of the semantic conventions whose names stand below.
const semconvSchema = "https://opentelemetry.io/schemas/1.37.0"

// Version is the version of this module, as telemetry.sdk.version tells it.
const Version = "0.1.0"

// DetectResource describes this process: service.name, host, process and SDK,
// and what OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME add or replace. A
// collector without [WithResource] has this one. (Specification: Resource SDK,
// "Specifying resource information via an environment variable".)
//
// An error tells of an OTEL_RESOURCE_ATTRIBUTES that cannot be read: all of it is
// then ignored, as the specification asks, and the resource is complete without it.
func DetectResource() (*Resource, error) {
	kvs := []attribute.KeyValue{
		attribute.String("service.name", "unknown_service:"+executable()),
		attribute.String("telemetry.sdk.name", "ringtail"),
		attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.version", Version),
		attribute.Int("process.pid", os.Getpid()),
		attribute.String("process.executable.name", executable()),
		attribute.String("process.runtime.name", "go"),
		attribute.String("process.runtime.version", runtime.Version()),
		attribute.String("os.type", osType()),
		attribute.String("host.arch", hostArch()),
	}
	if host, err := os.Hostname(); err == nil {
		kvs = append(kvs, attribute.String("host.name", host))
	}
	env, err := parseResourceAttributes(os.Getenv("OTEL_RESOURCE_ATTRIBUTES"))
	for _, kv := range env {
		kvs = setAttribute(kvs, kv)
	}
	if name := strings.TrimSpace(os.Getenv("OTEL_SERVICE_NAME")); name != "" {
		kvs = setAttribute(kvs, attribute.String("service.name", name))
	}
	return &Resource{SchemaURL: semconvSchema, Attributes: kvs}, err
}

// Resource returns the resource of the collector's spans: [WithResource]'s, or what
// [DetectResource] found. It is shared, and must not be changed.
func (c *Collector) Resource() *Resource { return c.cfg.resource }

// ServiceName returns the resource's service.name, "" if it has none.
func (r *Resource) ServiceName() string {
	if r == nil {
		return ""
	}
	for _, kv := range r.Attributes {
		if kv.Key == "service.name" {
			return kv.Value.AsString()
		}
	}
	return ""
}

// parseResourceAttributes reads key=value pairs, separated by commas, with
// percent-encoded values.
func parseResourceAttributes(s string) ([]attribute.KeyValue, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var kvs []attribute.KeyValue
	for pair := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		key, err := url.PathUnescape(strings.TrimSpace(key))
		if !found || key == "" || err != nil {
			return nil, fmt.Errorf("ringtail: cannot read OTEL_RESOURCE_ATTRIBUTES: %q is not key=value; all of it is ignored", pair)
		}
		value, err = url.PathUnescape(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("ringtail: cannot read OTEL_RESOURCE_ATTRIBUTES: value of %q: %w; all of it is ignored", key, err)
		}
		kvs = setAttribute(kvs, attribute.String(key, value))
	}
	return kvs, nil
}

// setAttribute replaces the attribute of the same key, or adds kv.
func setAttribute(kvs []attribute.KeyValue, kv attribute.KeyValue) []attribute.KeyValue {
	i := slices.IndexFunc(kvs, func(o attribute.KeyValue) bool { return o.Key == kv.Key })
	if i < 0 {
		return append(kvs, kv)
	}
	kvs[i] = kv
	return kvs
}

func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "go"
	}
	return filepath.Base(path)
}

// osType and hostArch give Go's names in the spelling of the conventions.
func osType() string {
	switch runtime.GOOS {
	case "dragonfly":
		return "dragonflybsd"
	case "zos":
		return "z_os"
	}
	return runtime.GOOS
}

func hostArch() string {
	switch runtime.GOARCH {
	case "386":
		return "x86"
	case "arm":
		return "arm32"
	case "ppc64le":
		return "ppc64"
	}
	return runtime.GOARCH
}
