package main

import (
	"slices"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

func stringValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

// shorten cuts the strings among values to n characters.
func shorten(kvs []*commonpb.KeyValue, n int) {
	cut := func(v *commonpb.AnyValue) {
		if s, ok := v.GetValue().(*commonpb.AnyValue_StringValue); ok {
			if chars := []rune(s.StringValue); len(chars) > n {
				s.StringValue = string(chars[:n])
			}
		}
	}
	for _, kv := range kvs {
		cut(kv.GetValue())
		for _, v := range kv.GetValue().GetArrayValue().GetValues() {
			cut(v)
		}
	}
}

// withoutDetected leaves what the environment says of a resource.
func withoutDetected(r *tracepb.ResourceSpans) {
	r.SchemaUrl = ""
	kvs := slices.DeleteFunc(r.GetResource().GetAttributes(), func(kv *commonpb.KeyValue) bool {
		return slices.ContainsFunc([]string{"telemetry.sdk.", "host.", "os.", "process."}, func(prefix string) bool {
			return strings.HasPrefix(kv.Key, prefix)
		})
	})
	slices.SortFunc(kvs, func(a, b *commonpb.KeyValue) int { return strings.Compare(a.Key, b.Key) })
	r.Resource.Attributes = kvs
}
