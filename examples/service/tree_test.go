package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// tree returns a recording as text that two providers can be compared by: every
// trace as a tree with every field that OTLP has, but
//
//   - trace and span ids, which are told as structure: what stands below what, and where
//     a link leads to. Those that come from outside are printed;
//   - times, which implausible looks at;
//   - the service's ports, which become SHOP and PAYMENTS, and the client's port,
//     which becomes ANY;
//   - of stack traces, all but which of this package's functions are in them;
//   - which spans came in one request.
//
// Traces and siblings are sorted by what is printed, since those that run at the
// same time may end in any order. Attributes, events and links are not.
func (r *recording) tree() string {
	p := printer{recording: r, byID: map[string]exportedSpan{}, below: map[string][]exportedSpan{}}
	spans := r.spans()
	for _, s := range spans {
		p.byID[id(s.TraceId, s.SpanId)] = s
	}
	var roots []string
	resources := map[string]int{}
	for _, s := range spans {
		if parent := id(s.TraceId, s.ParentSpanId); p.has(parent) {
			p.below[parent] = append(p.below[parent], s)
		}
	}
	for _, s := range spans {
		resources[p.resource(s.resource)]++
		if !p.has(id(s.TraceId, s.ParentSpanId)) {
			roots = append(roots, p.subtree(s, ""))
		}
	}
	slices.Sort(roots)
	var b strings.Builder
	for resource, n := range resources {
		fmt.Fprintf(&b, "%d spans of the resource %s\n", n, resource)
	}
	return b.String() + strings.Join(roots, "")
}

func id(trace, span []byte) string { return fmt.Sprintf("%x/%x", trace, span) }

// fromOutside reports whether a trace id is one that the requests, or the import, come
// with. Those are nearly all zeros; one that was generated here is not.
func fromOutside(trace []byte) bool { return bytes.Count(trace, []byte{0}) > len(trace)/2 }

type printer struct {
	*recording
	byID  map[string]exportedSpan
	below map[string][]exportedSpan
}

func (p *printer) has(span string) bool { _, ok := p.byID[span]; return ok }

// path names a span by its ancestors.
func (p *printer) path(of string) string {
	s, ok := p.byID[of]
	if !ok {
		return "a span that was not exported"
	}
	if len(s.ParentSpanId) == 0 {
		return fmt.Sprintf("%q", s.Name)
	}
	return p.path(id(s.TraceId, s.ParentSpanId)) + fmt.Sprintf(" > %q", s.Name)
}

func (p *printer) subtree(s exportedSpan, indent string) string {
	var b strings.Builder
	field := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%s    %-6s %s\n", indent, name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s%q %s\n", indent, s.Name, strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")))
	if parent := id(s.TraceId, s.ParentSpanId); len(s.ParentSpanId) > 0 && !p.has(parent) {
		field("parent", "%s, from outside", parent)
	}
	field("scope", "%q %q, schema %q%s", s.scope.GetScope().GetName(), s.scope.GetScope().GetVersion(), s.scope.GetSchemaUrl(),
		p.attributes(s.scope.GetScope().GetAttributes(), s.scope.GetScope().GetDroppedAttributesCount()))
	field("flags", "%#x", s.Flags)
	if s.TraceState != "" {
		field("state", "%q", s.TraceState)
	}
	if s.Status != nil {
		field("status", "%s %q", strings.TrimPrefix(s.Status.Code.String(), "STATUS_CODE_"), p.withoutPorts(s.Status.Message))
	}
	for _, kv := range s.Attributes {
		field("", "%s", p.keyValue(kv))
	}
	for _, e := range s.Events {
		field("event", "%q%s", e.Name, p.attributes(e.Attributes, e.DroppedAttributesCount))
	}
	for _, l := range s.Links {
		to := id(l.TraceId, l.SpanId)
		if !fromOutside(l.TraceId) {
			to = p.path(to)
		}
		field("link", "to %s, flags %#x, state %q%s", to, l.Flags, l.TraceState, p.attributes(l.Attributes, l.DroppedAttributesCount))
	}
	if n := [3]uint32{s.DroppedAttributesCount, s.DroppedEventsCount, s.DroppedLinksCount}; n != [3]uint32{} {
		field("drops", "%d attributes, %d events, %d links", n[0], n[1], n[2])
	}
	if unknown := unknownFields(s.Span); unknown > 0 {
		field("", "%d bytes of fields that the protobuf package does not know", unknown)
	}
	var children []string
	for _, c := range p.below[id(s.TraceId, s.SpanId)] {
		children = append(children, p.subtree(c, indent+"  "))
	}
	slices.Sort(children)
	return b.String() + strings.Join(children, "")
}

func (p *printer) resource(r *tracepb.ResourceSpans) string {
	return fmt.Sprintf("schema %q%s", r.GetSchemaUrl(), p.attributes(r.GetResource().GetAttributes(), r.GetResource().GetDroppedAttributesCount()))
}

func (p *printer) attributes(kvs []*commonpb.KeyValue, dropped uint32) string {
	var b strings.Builder
	for _, kv := range kvs {
		b.WriteString(", " + p.keyValue(kv))
	}
	if dropped > 0 {
		fmt.Fprintf(&b, ", %d dropped", dropped)
	}
	return b.String()
}

func (p *printer) keyValue(kv *commonpb.KeyValue) string {
	if n, ok := kv.GetValue().GetValue().(*commonpb.AnyValue_IntValue); ok {
		if name, ok := p.nameOfPort(kv.Key, n.IntValue); ok {
			return kv.Key + "=int " + name
		}
	}
	if kv.Key == "exception.stacktrace" {
		return kv.Key + "=string through " + strings.Join(ownFunctions(kv.GetValue().GetStringValue()), ", ")
	}
	return kv.Key + "=" + p.value(kv.GetValue())
}

func (p *printer) value(v *commonpb.AnyValue) string {
	switch v := v.GetValue().(type) {
	case nil:
		return "empty"
	case *commonpb.AnyValue_StringValue:
		return fmt.Sprintf("string %q", p.withoutPorts(v.StringValue))
	case *commonpb.AnyValue_BoolValue:
		return fmt.Sprint("bool ", v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return fmt.Sprint("int ", v.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		return fmt.Sprint("double ", v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return fmt.Sprintf("bytes %x", v.BytesValue)
	case *commonpb.AnyValue_ArrayValue:
		var values []string
		for _, e := range v.ArrayValue.GetValues() {
			values = append(values, p.value(e))
		}
		return "[" + strings.Join(values, ", ") + "]"
	case *commonpb.AnyValue_KvlistValue:
		return "{" + strings.TrimPrefix(p.attributes(v.KvlistValue.GetValues(), 0), ", ") + "}"
	default:
		return fmt.Sprintf("%T", v)
	}
}

// ownFrame is the line of a stack trace that names a function of this package.
var ownFrame = regexp.MustCompile(`(?m)^(?:main|github\.com/ringtail-otel/ringtail/examples/service)\.(\S+)\(`)

func ownFunctions(stack string) (names []string) {
	for _, m := range ownFrame.FindAllStringSubmatch(stack, -1) {
		names = append(names, m[1])
	}
	return names
}

// unknownFields returns the size of what was not decoded, in m and below.
func unknownFields(m proto.Message) (n int) {
	var walk func(protoreflect.Message)
	walk = func(m protoreflect.Message) {
		n += len(m.GetUnknown())
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case f.IsList() && f.Message() != nil:
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message())
				}
			case !f.IsList() && f.Message() != nil:
				walk(v.Message())
			}
			return true
		})
	}
	walk(m.ProtoReflect())
	return n
}
