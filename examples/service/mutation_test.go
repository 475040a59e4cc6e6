package main

import (
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestComparisonSeesEveryField changes a recording in one place at a time: a few places
// for every field that spans have, found by reflection. Each change has to be seen,
// but for those of the fields that a comparison is said to leave out.
func TestComparisonSeesEveryField(t *testing.T) {
	r := record(t, "ringtail")
	tree := r.tree()
	leftOut := map[string]bool{
		"spans.start_time_unix_nano":  true,
		"spans.end_time_unix_nano":    true,
		"spans.events.time_unix_nano": true,
	}
	places := r.places()
	byField := map[string][]place{}
	for _, p := range places {
		byField[p.field] = append(byField[p.field], p)
	}
	for _, field := range slices.Sorted(maps.Keys(byField)) {
		at := byField[field]
		for _, i := range slices.Compact([]int{0, len(at) / 2, len(at) - 1}) {
			at[i].change()
			if seen := r.tree() != tree; seen == leftOut[field] {
				t.Errorf("a change of %s, place %d of %d, is seen: %v", field, i+1, len(at), seen)
			}
			at[i].undo()
		}
	}
	if r.tree() != tree {
		t.Error("the changes were not made undone")
	}
	t.Logf("%d fields and lists, with %d places", len(byField), len(places))
	for _, field := range []string{"spans.name", "spans.kind", "spans.flags", "spans.trace_state", "spans.parent_span_id", "spans.status.code",
		"spans.status.message", "spans.attributes: last one gone", "spans.attributes: other order", "spans.attributes.value.array_value.values.int_value",
		"spans.events.name", "spans.events: other order", "spans.links.span_id", "spans.links.flags", "spans.links.attributes.value.string_value",
		"spans.dropped_attributes_count", "spans.dropped_events_count", "spans.dropped_links_count",
		"scope.name", "scope.version", "schema_url", "resource.attributes.value.string_value"} {
		if byField[field] == nil {
			t.Errorf("the service exports nothing in which %s could be changed", field)
		}
	}
}

// TestComparisonSeesStructure changes ids of spans, of which a comparison sees only
// what they say about structure.
func TestComparisonSeesStructure(t *testing.T) {
	original := record(t, "ringtail")
	tree := original.tree()
	parentOf := func(r *recording, s exportedSpan) *exportedSpan {
		for _, p := range r.spans() {
			if string(p.SpanId) == string(s.ParentSpanId) {
				return &p
			}
		}
		return nil
	}
	changes := map[string]func(r *recording, s exportedSpan) (done bool){
		"below its grandparent": func(r *recording, s exportedSpan) bool {
			if parent := parentOf(r, s); parent != nil && len(parent.ParentSpanId) > 0 {
				s.ParentSpanId = parent.ParentSpanId
				return true
			}
			return false
		},
		"a root": func(r *recording, s exportedSpan) bool {
			done := parentOf(r, s) != nil
			s.ParentSpanId = nil
			return done
		},
		"in another trace": func(r *recording, s exportedSpan) bool {
			s.TraceId[5]++
			return parentOf(r, s) != nil
		},
		"another id": func(r *recording, s exportedSpan) bool {
			had := slices.ContainsFunc(r.spans(), func(c exportedSpan) bool { return string(c.ParentSpanId) == string(s.SpanId) })
			s.SpanId[5]++
			return had
		},
	}
	for what, change := range changes {
		for i := 0; i < len(original.spans()); i += 10 {
			changed := original.clone()
			if !change(changed, changed.spans()[i]) {
				continue
			}
			if changed.tree() == tree {
				t.Errorf("%q %s: not seen", original.spans()[i].Name, what)
			}
		}
	}
}

// place is where a recording can be changed.
type place struct {
	field        string
	change, undo func()
}

// places returns all of them, always in the same order.
func (r *recording) places() (all []place) {
	for _, resource := range r.exported {
		all = appendPlaces(all, "", resource.ProtoReflect())
	}
	return all
}

// uncompared are attributes of which a comparison leaves the value out, or a part of it.
var uncompared = []string{"network.peer.port", "exception.stacktrace"}

func appendPlaces(all []place, path string, m protoreflect.Message) []place {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		name := path + string(f.Name())
		below := name + "."
		if name == "scope_spans" {
			below = ""
		}
		v := m.Get(f)
		switch {
		case name == "spans.trace_id" || name == "spans.span_id": // TestComparisonSeesStructure
		case f.Name() == "value" && fields.ByName("key") != nil && slices.Contains(uncompared, m.Get(fields.ByName("key")).String()):
		case f.IsList():
			list := v.List()
			var last protoreflect.Value
			all = append(all, place{name + ": last one gone",
				func() { last = list.Get(list.Len() - 1); list.Truncate(list.Len() - 1) },
				func() { list.Append(last) }})
			if ordered := f.Name() == "attributes" || f.Name() == "events" || f.Name() == "links"; ordered && list.Len() > 1 {
				swap := func() {
					first := list.Get(0)
					list.Set(0, list.Get(1))
					list.Set(1, first)
				}
				all = append(all, place{name + ": other order", swap, swap})
			}
			for j := range list.Len() {
				all = appendPlaces(all, below, list.Get(j).Message())
			}
		case f.Message() != nil:
			all = appendPlaces(all, below, v.Message())
		default:
			all = append(all, place{name, func() { m.Set(f, other(f.Kind(), v)) }, func() { m.Set(f, v) }})
		}
	}
	return all
}

// other returns another value of the same kind.
func other(kind protoreflect.Kind, v protoreflect.Value) protoreflect.Value {
	switch kind {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(!v.Bool())
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(v.Enum() ^ 1)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(v.Uint()) + 1)
	case protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(v.Uint() + 1)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(v.Int() + 1)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(v.Float() + 1)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(v.String() + "!")
	case protoreflect.BytesKind:
		changed := slices.Clone(v.Bytes())
		changed[0] ^= 1
		return protoreflect.ValueOfBytes(changed)
	}
	panic("a field of the kind " + kind.String()) // OTLP has got a new one
}
