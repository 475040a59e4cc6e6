package otelsdk

import (
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// normal makes equal stubs look equal: times without a zone or a monotonic reading.
func normal(s tracetest.SpanStub) tracetest.SpanStub {
	s.StartTime, s.EndTime = s.StartTime.UTC().Round(0), s.EndTime.UTC().Round(0)
	s.Events = slices.Clone(s.Events)
	for i := range s.Events {
		s.Events[i].Time = s.Events[i].Time.UTC().Round(0)
	}
	return s
}

// show writes all of a stub but its resource.
func show(s tracetest.SpanStub) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %s parent %s %v %v %v status %v dropped %d %d %d children %d\n  %s\n",
		s.Name, showContext(s.SpanContext), showContext(s.Parent), s.SpanKind, s.StartTime, s.EndTime, s.Status,
		s.DroppedAttributes, s.DroppedEvents, s.DroppedLinks, s.ChildSpanCount, showAttributes(s.Attributes))
	for _, e := range s.Events {
		fmt.Fprintf(&b, "  event %q %v %d %s\n", e.Name, e.Time, e.DroppedAttributeCount, showAttributes(e.Attributes))
	}
	for _, l := range s.Links {
		fmt.Fprintf(&b, "  link %s %d %s\n", showContext(l.SpanContext), l.DroppedAttributeCount, showAttributes(l.Attributes))
	}
	scope := s.InstrumentationScope
	fmt.Fprintf(&b, "  scope %q %q %q %s\n", scope.Name, scope.Version, scope.SchemaURL, showAttributes(scope.Attributes.ToSlice()))
	return b.String()
}

func showContext(c trace.SpanContext) string {
	return fmt.Sprintf("%s/%s/%s/%q/%v", c.TraceID(), c.SpanID(), c.TraceFlags(), c.TraceState().String(), c.IsRemote())
}

func showAttributes(kvs []attribute.KeyValue) string {
	var out []string
	for _, kv := range kvs {
		out = append(out, fmt.Sprintf("%s:%s=%s", kv.Key, kv.Value.Type(), kv.Value.String()))
	}
	return strings.Join(out, " ")
}
