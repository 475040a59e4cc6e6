package otlp

import (
	"fmt"
	"math"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The samples that tests and benchmarks share, built with the official types.

// request is wire-compatible with ExportTraceServiceRequest: both have one field, 1, of ResourceSpans. The
// latter lives in a package that would bring the gRPC gateway into the module graph.
type request = tracepb.TracesData

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatalf("the official encoder: %v", err)
	}
	return b
}

func decode(t testing.TB, b []byte) *request {
	t.Helper()
	m := new(request)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("the official decoder: %v", err)
	}
	return m
}

func pbString(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func pbInt(i int64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: i}}
}

func pbBool(b bool) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: b}}
}

func pbDouble(f float64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: f}}
}

func pbBytes(b []byte) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: b}}
}

func pbArray(vs ...*commonpb.AnyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: vs}}}
}

func pbMap(kvs ...*commonpb.KeyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: kvs}}}
}

func pbKV(key string, v *commonpb.AnyValue) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: v}
}

func idBytes(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i)*17
	}
	return b
}

// everyValue has an attribute of every type of value.
func everyValue() []*commonpb.KeyValue {
	return []*commonpb.KeyValue{
		pbKV("string", pbString("plain")),
		pbKV("string.empty", pbString("")),
		pbKV("string.unicode", pbString("Grüße, 世界 🎉 \u2028 \x7f")),
		pbKV("string.escapes", pbString("\"\\/\b\f\n\r\t\x00\x1f<&>")),
		pbKV("bool.true", pbBool(true)),
		pbKV("bool.false", pbBool(false)),
		pbKV("int", pbInt(42)),
		pbKV("int.zero", pbInt(0)),
		pbKV("int.min", pbInt(math.MinInt64)),
		pbKV("int.max", pbInt(math.MaxInt64)),
		pbKV("double", pbDouble(1.5)),
		pbKV("double.zero", pbDouble(0)),
		pbKV("double.tiny", pbDouble(5e-324)),
		pbKV("double.small", pbDouble(-1.25e-7)),
		pbKV("double.large", pbDouble(1e21)),
		pbKV("double.max", pbDouble(math.MaxFloat64)),
		pbKV("double.nan", pbDouble(math.NaN())),
		pbKV("double.inf", pbDouble(math.Inf(1))),
		pbKV("double.-inf", pbDouble(math.Inf(-1))),
		pbKV("bytes", pbBytes([]byte{0, 1, 0xfe, 0xff})),
		pbKV("bytes.empty", pbBytes(nil)),
		pbKV("strings", pbArray(pbString("a"), pbString(""), pbString("c"))),
		pbKV("bools", pbArray(pbBool(true), pbBool(false))),
		pbKV("ints", pbArray(pbInt(1), pbInt(-1), pbInt(0), pbInt(300))),
		pbKV("doubles", pbArray(pbDouble(0.1), pbDouble(-2))),
		pbKV("array.empty", pbArray()),
		pbKV("array.mixed", pbArray(pbString("a"), pbInt(1), &commonpb.AnyValue{})),
		pbKV("array.nested", pbArray(pbArray(pbInt(1)), pbArray(pbMap(pbKV("k", pbBytes([]byte("v"))))))),
		pbKV("map", pbMap(pbKV("a", pbInt(1)), pbKV("b", pbMap(pbKV("c", pbArray(pbBool(true))))))),
		pbKV("map.empty", pbMap()),
		pbKV("empty", &commonpb.AnyValue{}),
		pbKV("", pbString("empty key")),
		{Key: "strindex", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValueStrindex{StringValueStrindex: 7}}},
		{Value: pbString("by index"), KeyStrindex: -3},
	}
}

// richSample has every field of every message, each with and without its neighbours.
func richSample() *request {
	full := &tracepb.Span{
		TraceId:           idBytes(16, 0xa1),
		SpanId:            idBytes(8, 0xb2),
		TraceState:        "vendor=value,other=1",
		ParentSpanId:      idBytes(8, 0xc3),
		Flags:             0x301,
		Name:              "GET /orders/{id}",
		Kind:              tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: 1_760_000_000_123_456_789,
		EndTimeUnixNano:   1_760_000_000_999_999_999,
		Attributes:        everyValue(),

		DroppedAttributesCount: 1,
		Events: []*tracepb.Span_Event{
			{TimeUnixNano: 1_760_000_000_200_000_000, Name: "exception", Attributes: everyValue(), DroppedAttributesCount: math.MaxUint32},
			{},
			{Name: "second"},
		},
		DroppedEventsCount: 300,
		Links: []*tracepb.Span_Link{
			{TraceId: idBytes(16, 1), SpanId: idBytes(8, 2), TraceState: "a=b", Attributes: everyValue(), DroppedAttributesCount: 9, Flags: 1},
			{},
		},
		DroppedLinksCount: 70_000,
		Status:            &tracepb.Status{Message: "boom: été", Code: tracepb.Status_STATUS_CODE_ERROR},
	}
	root := &tracepb.Span{TraceId: idBytes(16, 0xa1), SpanId: idBytes(8, 0x10), Name: "root", Status: &tracepb.Status{}}
	scope := &commonpb.InstrumentationScope{
		Name: "example.com/shop", Version: "1.2.3", Attributes: everyValue(), DroppedAttributesCount: 2,
	}
	return &request{ResourceSpans: []*tracepb.ResourceSpans{
		{
			Resource: &resourcepb.Resource{
				Attributes: everyValue(), DroppedAttributesCount: 4,
				EntityRefs: []*commonpb.EntityRef{
					{SchemaUrl: "https://opentelemetry.io/schemas/1.37.0", Type: "service", IdKeys: []string{"service.name", ""}, DescriptionKeys: []string{"service.version"}},
					{},
				},
			},
			ScopeSpans: []*tracepb.ScopeSpans{
				{Scope: scope, Spans: []*tracepb.Span{full, root}, SchemaUrl: "https://opentelemetry.io/schemas/1.37.0"},
				{Spans: []*tracepb.Span{{TraceId: idBytes(16, 0x77), SpanId: idBytes(8, 0x77)}}},
				{Scope: &commonpb.InstrumentationScope{Name: "idle"}},
			},
			SchemaUrl: "https://opentelemetry.io/schemas/1.36.0",
		},
		{Resource: &resourcepb.Resource{}, ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{}, Spans: []*tracepb.Span{{}}}}},
		{},
	}}
}

// smallSamples are the parts of richSample, each encoded in a request of its own: seeds that a fuzzer can
// do something with.
func smallSamples(t testing.TB) [][]byte {
	m := richSample()
	full := m.ResourceSpans[0].ScopeSpans[0].Spans[0]
	full.Attributes, full.Events[0].Attributes, full.Links[0].Attributes = nil, nil, nil
	m.ResourceSpans[0].Resource.Attributes = nil
	m.ResourceSpans[0].ScopeSpans[0].Scope.Attributes = nil
	out := [][]byte{encode(t, m)}
	for _, kv := range everyValue() {
		out = append(out, inSpan(ld(9, encode(t, kv))))
	}
	return out
}

// loadSample is what a service sends: n spans of 463 bytes with 10 attributes each, like the load that
// the project's other measurements use.
func loadSample(n int) *request {
	spans := make([]*tracepb.Span, n)
	for i := range spans {
		spans[i] = &tracepb.Span{
			TraceId: idBytes(16, byte(i)), SpanId: idBytes(8, byte(i+1)), ParentSpanId: idBytes(8, byte(i+2)),
			Flags: 0x101, Name: "HTTP GET /api/orders", Kind: tracepb.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: 1_760_000_000_000_000_000 + uint64(i), EndTimeUnixNano: 1_760_000_000_100_000_000 + uint64(i),
			Attributes: []*commonpb.KeyValue{
				pbKV("http.request.method", pbString("GET")),
				pbKV("http.response.status_code", pbInt(200)),
				pbKV("http.route", pbString("/api/orders/{orderId}")),
				pbKV("url.path", pbString(fmt.Sprintf("/api/orders/%08d", i))),
				pbKV("url.scheme", pbString("https")),
				pbKV("server.address", pbString("shop.example.com")),
				pbKV("server.port", pbInt(443)),
				pbKV("user_agent.original", pbString("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")),
				pbKV("network.protocol.version", pbString("1.1")),
				pbKV("cache.hit", pbBool(i%2 == 0)),
			},
			Status: &tracepb.Status{},
		}
	}
	return &request{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			pbKV("service.name", pbString("shop")), pbKV("service.version", pbString("1.2.3")),
		}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "example.com/shop"}, Spans: spans}},
	}}}
}
