package ringtail

import (
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// This file says in the official types what a Span is in OTLP, with what the
// documentation of Span promises to mend. It shares nothing with encode.go.

func officialSpan(s *Span) *tracepb.Span {
	start, end := officialTime(s.Start), officialTime(s.End)
	out := &tracepb.Span{
		TraceId: s.TraceID[:], SpanId: s.SpanID[:],
		TraceState:             s.TraceState.String(),
		Name:                   officialString(s.Name),
		StartTimeUnixNano:      start,
		EndTimeUnixNano:        max(start, end),
		Flags:                  officialFlags(s.Flags, s.ParentRemote),
		DroppedAttributesCount: s.DroppedAttributes,
		DroppedEventsCount:     s.DroppedEvents,
		DroppedLinksCount:      s.DroppedLinks,
	}
	if s.ParentID.IsValid() {
		out.ParentSpanId = s.ParentID[:]
	}
	if s.Kind >= trace.SpanKindInternal && s.Kind <= trace.SpanKindConsumer {
		out.Kind = map[trace.SpanKind]tracepb.Span_SpanKind{
			trace.SpanKindInternal: tracepb.Span_SPAN_KIND_INTERNAL,
			trace.SpanKindServer:   tracepb.Span_SPAN_KIND_SERVER,
			trace.SpanKindClient:   tracepb.Span_SPAN_KIND_CLIENT,
			trace.SpanKindProducer: tracepb.Span_SPAN_KIND_PRODUCER,
			trace.SpanKindConsumer: tracepb.Span_SPAN_KIND_CONSUMER,
		}[s.Kind]
	}
	var dropped uint32
	out.Attributes, dropped = officialAttributes(s.Attributes)
	out.DroppedAttributesCount += dropped
	for _, e := range s.Events {
		kvs, dropped := officialAttributes(e.Attributes)
		out.Events = append(out.Events, &tracepb.Span_Event{
			TimeUnixNano: officialTime(e.Time), Name: officialString(e.Name),
			Attributes: kvs, DroppedAttributesCount: e.DroppedAttributes + dropped,
		})
	}
	for _, l := range s.Links {
		kvs, dropped := officialAttributes(l.Attributes)
		traceID, spanID := l.SpanContext.TraceID(), l.SpanContext.SpanID()
		out.Links = append(out.Links, &tracepb.Span_Link{
			TraceId: traceID[:], SpanId: spanID[:],
			TraceState: l.SpanContext.TraceState().String(),
			Flags:      officialFlags(l.SpanContext.TraceFlags(), l.SpanContext.IsRemote()),
			Attributes: kvs, DroppedAttributesCount: l.DroppedAttributes + dropped,
		})
	}
	if s.Status != (Status{}) {
		out.Status = &tracepb.Status{}
		switch s.Status.Code {
		case codes.Ok:
			out.Status.Code = tracepb.Status_STATUS_CODE_OK
		case codes.Error:
			out.Status.Code = tracepb.Status_STATUS_CODE_ERROR
			out.Status.Message = officialString(s.Status.Description)
		}
	}
	return out
}

func officialResource(r *Resource) (schemaURL string, out *resourcepb.Resource) {
	kvs, dropped := officialAttributes(r.Attributes)
	return officialString(r.SchemaURL), &resourcepb.Resource{Attributes: kvs, DroppedAttributesCount: r.DroppedAttributes + dropped}
}

func officialTime(t time.Time) uint64 {
	if t.Before(time.Unix(0, 0)) || t.Year() > 2261 {
		return 0
	}
	return uint64(t.UnixNano())
}

func officialString(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func officialFlags(f trace.TraceFlags, remote bool) uint32 {
	flags := uint32(f) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	if remote {
		flags |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	return flags
}

func officialAttributes(kvs []attribute.KeyValue) (out []*commonpb.KeyValue, dropped uint32) {
	for _, kv := range kvs {
		if kv.Key == "" {
			dropped++
			continue
		}
		out = append(out, officialKeyValue(kv))
	}
	return out, dropped
}

func officialKeyValue(kv attribute.KeyValue) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: officialString(string(kv.Key)), Value: officialValue(kv.Value)}
}

func officialValue(v attribute.Value) *commonpb.AnyValue {
	switch v := v.AsInterface().(type) {
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}
	case int64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}
	case float64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}
	case string:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: officialString(v)}}
	case []byte:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: v}}
	case []bool:
		return officialArray(v, attribute.BoolValue)
	case []int64:
		return officialArray(v, attribute.Int64Value)
	case []float64:
		return officialArray(v, attribute.Float64Value)
	case []string:
		return officialArray(v, attribute.StringValue)
	}
	switch v.Type() {
	case attribute.SLICE:
		return officialArray(v.AsSlice(), func(v attribute.Value) attribute.Value { return v })
	case attribute.MAP:
		// The API sorts a map's keys and lets the last of equal ones win, also of
		// keys that are equal once they are mended.
		kvs := v.AsMap()
		for i := range kvs {
			kvs[i].Key = attribute.Key(officialString(string(kvs[i].Key)))
		}
		list := &commonpb.KeyValueList{}
		for _, kv := range attribute.MapValue(kvs...).AsMap() {
			list.Values = append(list.Values, officialKeyValue(kv))
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: list}}
	}
	return &commonpb.AnyValue{}
}

func officialArray[E any](elems []E, value func(E) attribute.Value) *commonpb.AnyValue {
	array := &commonpb.ArrayValue{}
	for _, e := range elems {
		array.Values = append(array.Values, officialValue(value(e)))
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: array}}
}

// needsMending says whether the documentation of Span has something to mend in s.
func needsMending(s *Span) bool {
	bad := !utf8.ValidString(s.Name) || s.Status.Code == codes.Error && !utf8.ValidString(s.Status.Description) ||
		badTime(s.Start) || badTime(s.End) || !s.End.IsZero() && s.End.Before(s.Start) || badAttributes(s.Attributes)
	for _, e := range s.Events {
		bad = bad || !utf8.ValidString(e.Name) || badTime(e.Time) || badAttributes(e.Attributes)
	}
	for _, l := range s.Links {
		bad = bad || badAttributes(l.Attributes)
	}
	return bad
}

func badTime(t time.Time) bool { return !t.IsZero() && (t.Before(time.Unix(0, 0)) || t.Year() > 2261) }

func badAttributes(kvs []attribute.KeyValue) bool {
	for _, kv := range kvs {
		if kv.Key == "" || !utf8.ValidString(string(kv.Key)) || badValue(kv.Value) {
			return true
		}
	}
	return false
}

func badValue(v attribute.Value) bool {
	switch v.Type() {
	case attribute.STRING:
		return !utf8.ValidString(v.AsString())
	case attribute.STRINGSLICE:
		return !utf8.ValidString(strings.Join(v.AsStringSlice(), " "))
	case attribute.SLICE:
		for _, e := range v.AsSlice() {
			if badValue(e) {
				return true
			}
		}
	case attribute.MAP:
		for _, kv := range v.AsMap() {
			if !utf8.ValidString(string(kv.Key)) || badValue(kv.Value) {
				return true
			}
		}
	}
	return false
}
