package ringtail

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ringtail-otel/ringtail/otlp"
)

// maxScopes bounds the scopes that a collector keeps for its lifetime. Programs
// have tens; one that makes up a scope per request is stopped here.
const maxScopes = 1 << 14

// scopes gives every distinct scope of a collector a small number, which travels
// through the ring as the record's tag, and keeps what a batch writes in front of
// its spans.
type scopes struct {
	mu      sync.RWMutex
	kept    []scopeHeader // by number; scope 0 is the empty one of the collector's resource
	numbers map[scopeKey]uint32

	resources       [][]byte // encoded headers, by number; resource 0 is the collector's
	resourceNumbers map[string]uint32
}

// scopeHeader is what the ResourceSpans and the ScopeSpans of a scope begin with.
type scopeHeader struct {
	number   uint32 // of the resource: equal ones have the same
	resource []byte
	scope    []byte
}

type scopeKey struct {
	resource uint32
	header   string
}

func newScopes(resource *Resource) *scopes {
	own := appendResourceHeader(nil, resource)
	return &scopes{
		kept:            []scopeHeader{{resource: own}},
		numbers:         map[scopeKey]uint32{{}: 0},
		resources:       [][]byte{own},
		resourceNumbers: map[string]uint32{string(own): 0},
	}
}

// intern returns the number of a scope equal to s; ok is false when there are
// too many.
func (t *scopes) intern(s *Scope) (number uint32, ok bool) {
	header := appendScopeHeader(nil, s)
	var resource []byte
	if s.Resource != nil {
		resource = appendResourceHeader(nil, s.Resource)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	rn, known := uint32(0), s.Resource == nil
	if !known {
		rn, known = t.resourceNumbers[string(resource)]
	}
	if known {
		if n, seen := t.numbers[scopeKey{rn, string(header)}]; seen {
			return n, true
		}
	}
	if len(t.kept) >= maxScopes {
		return 0, false
	}
	if !known { // a new scope for certain, so that the limit of scopes is one of resources, too
		rn = uint32(len(t.resources))
		t.resources = append(t.resources, resource)
		t.resourceNumbers[string(resource)] = rn
	}
	n := uint32(len(t.kept))
	t.kept = append(t.kept, scopeHeader{number: rn, resource: t.resources[rn], scope: header})
	t.numbers[scopeKey{rn, string(header)}] = n
	return n, true
}

// header returns what the spans of a scope are put behind.
func (t *scopes) header(number uint32) scopeHeader {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.kept[number]
}

// appendScopeHeader appends the fields scope and schema_url of a ScopeSpans.
// The schema_url comes before the spans, not after them as its number would have
// it: protobuf leaves the order free, and so all of a batch's header is in front.
func appendScopeHeader(dst []byte, s *Scope) []byte {
	if s == nil {
		return dst
	}
	if s.Name != "" || s.Version != "" || len(s.Attributes) != 0 || s.DroppedAttributes != 0 {
		dst = append(dst, 1<<3|otlp.BytesType)
		at := len(dst)
		if s.Name != "" {
			dst = otlp.AppendString(dst, 1, s.Name)
		}
		if s.Version != "" {
			dst = otlp.AppendString(dst, 2, s.Version)
		}
		dst = otlp.InsertLength(appendValidAttributes(dst, 3, s.Attributes, 4, s.DroppedAttributes), at)
	}
	if s.SchemaURL != "" {
		dst = otlp.AppendString(dst, 3, s.SchemaURL)
	}
	return dst
}

// appendResourceHeader appends the fields resource and schema_url of a ResourceSpans.
func appendResourceHeader(dst []byte, r *Resource) []byte {
	if r == nil {
		return dst
	}
	dst = append(dst, 1<<3|otlp.BytesType)
	at := len(dst)
	dst = otlp.InsertLength(appendValidAttributes(dst, 1, r.Attributes, 2, r.DroppedAttributes), at)
	if r.SchemaURL != "" {
		dst = otlp.AppendString(dst, 3, r.SchemaURL)
	}
	return dst
}

// appendValidAttributes appends the attributes that have a key, with their strings
// mended, and counts the others as dropped.
func appendValidAttributes(dst []byte, field int, kvs []attribute.KeyValue, droppedField int, dropped uint32) []byte {
	for _, kv := range kvs {
		if kv.Key == "" {
			dropped++
			continue
		}
		dst = otlp.AppendKeyValue(dst, field, kv)
	}
	if dropped != 0 {
		dst = otlp.AppendUint(dst, droppedField, uint64(dropped))
	}
	return dst
}
