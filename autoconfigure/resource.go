package autoconfigure

import (
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ringtail-otel/ringtail"
)

const serviceName attribute.Key = "service.name"

// resource returns what is detected together with what the program says of itself; nil
// if it says nothing, for the collector then detects by itself.
func (c *config) resource() *ringtail.Resource {
	attributes := slices.Clone(c.attributes)
	if c.service != "" {
		attributes = append(attributes, serviceName.String(c.service))
	}
	if len(attributes) == 0 {
		return nil
	}
	r, err := ringtail.DetectResource()
	if err != nil {
		c.env.log.Warn(err.Error())
	}
	fixed := keysFromEnv(err == nil)
	for _, kv := range attributes {
		if fixed[kv.Key] {
			continue
		}
		i := slices.IndexFunc(r.Attributes, func(o attribute.KeyValue) bool { return o.Key == kv.Key })
		if i < 0 {
			r.Attributes = append(r.Attributes, kv)
		} else {
			r.Attributes[i] = kv
		}
	}
	return r
}

// keysFromEnv returns the keys of the attributes that the environment sets. readable
// says that OTEL_RESOURCE_ATTRIBUTES is; otherwise all of it is ignored.
func keysFromEnv(readable bool) map[attribute.Key]bool {
	keys := make(map[attribute.Key]bool)
	if lookup("OTEL_SERVICE_NAME") != "" {
		keys[serviceName] = true
	}
	if readable {
		for pair := range strings.SplitSeq(lookup("OTEL_RESOURCE_ATTRIBUTES"), ",") {
			key, _, _ := strings.Cut(pair, "=")
			key, _ = url.PathUnescape(strings.TrimSpace(key)) // it can be, as it was read
			keys[attribute.Key(key)] = true
		}
	}
	return keys
}
