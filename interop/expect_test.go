package interop

import (
	"strings"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// This file says what spans ought to look like when they arrive, through the
// Collector's data model and with none of our encoding.

const (
	parentKnown  = 0x100 // SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
	parentRemote = 0x200 // SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
)

// expect returns what a backend has to receive when s is submitted to a collector
// with resource r.
func expect(t *testing.T, r *ringtail.Resource, submitted []*ringtail.Span) spans {
	t.Helper()
	want := spans{}
	for _, s := range submitted {
		request := ptrace.NewTraces()
		rs := request.ResourceSpans().AppendEmpty()
		putAttributes(rs.Resource().Attributes(), r.Attributes)
		rs.Resource().SetDroppedAttributesCount(r.DroppedAttributes)
		rs.SetSchemaUrl(r.SchemaURL)
		ss := rs.ScopeSpans().AppendEmpty()
		if s.Scope != nil {
			ss.Scope().SetName(s.Scope.Name)
			ss.Scope().SetVersion(s.Scope.Version)
			ss.Scope().SetDroppedAttributesCount(s.Scope.DroppedAttributes)
			putAttributes(ss.Scope().Attributes(), s.Scope.Attributes)
			ss.SetSchemaUrl(s.Scope.SchemaURL)
		}
		out := ss.Spans().AppendEmpty()
		out.SetTraceID(pcommon.TraceID(s.TraceID))
		out.SetSpanID(pcommon.SpanID(s.SpanID))
		out.SetParentSpanID(pcommon.SpanID(s.ParentID))
		out.TraceState().FromRaw(s.TraceState.String())
		out.SetFlags(flags(s.Flags, s.ParentRemote))
		out.SetName(utf8(s.Name))
		out.SetKind(ptrace.SpanKind(s.Kind))
		out.SetStartTimestamp(timestamp(s.Start))
		out.SetEndTimestamp(timestamp(s.End))
		putAttributes(out.Attributes(), s.Attributes)
		out.SetDroppedAttributesCount(s.DroppedAttributes)
		out.SetDroppedEventsCount(s.DroppedEvents)
		out.SetDroppedLinksCount(s.DroppedLinks)
		for _, e := range s.Events {
			putEvent(out, e.Name, e.Time, e.Attributes, e.DroppedAttributes)
		}
		for _, l := range s.Links {
			putLink(out, l.SpanContext, l.Attributes, l.DroppedAttributes).
				TraceState().FromRaw(l.SpanContext.TraceState().String())
		}
		putStatus(out.Status(), s.Status.Code, s.Status.Description)
		want.add(t, request)
	}
	return want
}

// expectSDK returns what a backend has to receive when the official SDK exports
// the spans.
func expectSDK(t *testing.T, exported []sdktrace.ReadOnlySpan) spans {
	t.Helper()
	want := spans{}
	for _, s := range exported {
		request := ptrace.NewTraces()
		rs := request.ResourceSpans().AppendEmpty()
		putAttributes(rs.Resource().Attributes(), s.Resource().Attributes())
		rs.SetSchemaUrl(s.Resource().SchemaURL())
		ss := rs.ScopeSpans().AppendEmpty()
		scope := s.InstrumentationScope()
		ss.Scope().SetName(scope.Name)
		ss.Scope().SetVersion(scope.Version)
		putAttributes(ss.Scope().Attributes(), scope.Attributes.ToSlice())
		ss.SetSchemaUrl(scope.SchemaURL)
		out := ss.Spans().AppendEmpty()
		out.SetTraceID(pcommon.TraceID(s.SpanContext().TraceID()))
		out.SetSpanID(pcommon.SpanID(s.SpanContext().SpanID()))
		out.SetParentSpanID(pcommon.SpanID(s.Parent().SpanID()))
		out.TraceState().FromRaw(s.SpanContext().TraceState().String())
		out.SetFlags(flags(s.SpanContext().TraceFlags(), s.Parent().IsRemote()))
		out.SetName(s.Name())
		out.SetKind(ptrace.SpanKind(s.SpanKind()))
		out.SetStartTimestamp(timestamp(s.StartTime()))
		out.SetEndTimestamp(timestamp(s.EndTime()))
		putAttributes(out.Attributes(), s.Attributes())
		out.SetDroppedAttributesCount(uint32(s.DroppedAttributes()))
		out.SetDroppedEventsCount(uint32(s.DroppedEvents()))
		out.SetDroppedLinksCount(uint32(s.DroppedLinks()))
		for _, e := range s.Events() {
			putEvent(out, e.Name, e.Time, e.Attributes, uint32(e.DroppedAttributeCount))
		}
		for _, l := range s.Links() {
			// The SDK does not send a link's tracestate.
			putLink(out, l.SpanContext, l.Attributes, uint32(l.DroppedAttributeCount))
		}
		putStatus(out.Status(), s.Status().Code, s.Status().Description)
		want.add(t, request)
	}
	return want
}

func flags(f trace.TraceFlags, remote bool) uint32 {
	if remote {
		return uint32(f) | parentKnown | parentRemote
	}
	return uint32(f) | parentKnown
}

func timestamp(t time.Time) pcommon.Timestamp { return pcommon.NewTimestampFromTime(t) }

func utf8(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func putEvent(s ptrace.Span, name string, at time.Time, attributes []attribute.KeyValue, dropped uint32) {
	e := s.Events().AppendEmpty()
	e.SetName(name)
	e.SetTimestamp(timestamp(at))
	putAttributes(e.Attributes(), attributes)
	e.SetDroppedAttributesCount(dropped)
}

func putLink(s ptrace.Span, to trace.SpanContext, attributes []attribute.KeyValue, dropped uint32) ptrace.SpanLink {
	l := s.Links().AppendEmpty()
	l.SetTraceID(pcommon.TraceID(to.TraceID()))
	l.SetSpanID(pcommon.SpanID(to.SpanID()))
	l.SetFlags(flags(to.TraceFlags(), to.IsRemote()))
	putAttributes(l.Attributes(), attributes)
	l.SetDroppedAttributesCount(dropped)
	return l
}

func putStatus(s ptrace.Status, code codes.Code, description string) {
	switch code {
	case codes.Ok:
		s.SetCode(ptrace.StatusCodeOk)
	case codes.Error:
		s.SetCode(ptrace.StatusCodeError)
		s.SetMessage(description)
	}
}

func putAttributes(m pcommon.Map, kvs []attribute.KeyValue) {
	for _, kv := range kvs {
		putValue(m.PutEmpty(utf8(string(kv.Key))), kv.Value)
	}
}

func putValue(to pcommon.Value, v attribute.Value) {
	switch v.Type() {
	case attribute.STRING:
		to.SetStr(utf8(v.AsString()))
	case attribute.BOOL:
		to.SetBool(v.AsBool())
	case attribute.INT64:
		to.SetInt(v.AsInt64())
	case attribute.FLOAT64:
		to.SetDouble(v.AsFloat64())
	case attribute.BYTESLICE:
		to.SetEmptyBytes().FromRaw(v.AsByteSlice())
	case attribute.MAP:
		putAttributes(to.SetEmptyMap(), v.AsMap())
	case attribute.SLICE:
		putSlice(to, v.AsSlice(), func(v attribute.Value) attribute.Value { return v })
	case attribute.STRINGSLICE:
		putSlice(to, v.AsStringSlice(), attribute.StringValue)
	case attribute.BOOLSLICE:
		putSlice(to, v.AsBoolSlice(), attribute.BoolValue)
	case attribute.INT64SLICE:
		putSlice(to, v.AsInt64Slice(), attribute.Int64Value)
	case attribute.FLOAT64SLICE:
		putSlice(to, v.AsFloat64Slice(), attribute.Float64Value)
	}
}

func putSlice[T any](to pcommon.Value, values []T, value func(T) attribute.Value) {
	s := to.SetEmptySlice()
	for _, v := range values {
		putValue(s.AppendEmpty(), value(v))
	}
}
