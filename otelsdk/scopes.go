package otelsdk

import (
	"maps"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/ringtail-otel/ringtail"
)

// scopeKey tells the scopes of the SDK apart, each with the resource of its provider.
type scopeKey struct {
	resource                 *resource.Resource
	name, version, schemaURL string
	attributes               attribute.Distinct
}

// mostScopes bounds the scopes that are remembered. Programs have tens. One that makes
// up a scope for each request gets a new one for each span from here on: slower,
// and the collector still finds the equal ones.
const mostScopes = 1 << 10

// scopes gives every pair of a resource and a scope its [ringtail.Scope]. Looking up
// takes no lock: the map is replaced, and never changed. The zero value is ready.
type scopes struct {
	known atomic.Pointer[map[scopeKey]*ringtail.Scope]

	mu        sync.Mutex // serializes adding
	resources map[*resource.Resource]*ringtail.Resource
}

// intern returns the scope for key, whose attributes are attrs.
func (t *scopes) intern(key scopeKey, attrs *attribute.Set) *ringtail.Scope {
	if known := t.known.Load(); known != nil {
		if s := (*known)[key]; s != nil {
			return s
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var old map[scopeKey]*ringtail.Scope
	if known := t.known.Load(); known != nil {
		old = *known
	}
	if s := old[key]; s != nil {
		return s
	}
	s := &ringtail.Scope{
		Name: key.name, Version: key.version, SchemaURL: key.schemaURL,
		Attributes: attrs.ToSlice(),
		Resource:   t.resource(key.resource),
	}
	if len(old) >= mostScopes {
		return s
	}
	grown := make(map[scopeKey]*ringtail.Scope, len(old)+1)
	maps.Copy(grown, old)
	grown[key] = s
	t.known.Store(&grown)
	return s
}

// resource converts a resource once. The lock is held.
func (t *scopes) resource(r *resource.Resource) *ringtail.Resource {
	if converted := t.resources[r]; converted != nil {
		return converted
	}
	if t.resources == nil {
		t.resources = make(map[*resource.Resource]*ringtail.Resource)
	}
	converted := &ringtail.Resource{SchemaURL: r.SchemaURL(), Attributes: r.Attributes()}
	if len(t.resources) < mostScopes {
		t.resources[r] = converted
	}
	return converted
}
