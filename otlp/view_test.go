package otlp

import (
	"bytes"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// wantValue translates an official value to the API's, for comparison.
func wantValue(v *commonpb.AnyValue) attribute.Value {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return attribute.StringValue(v.StringValue)
	case *commonpb.AnyValue_BoolValue:
		return attribute.BoolValue(v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return attribute.Int64Value(v.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		return attribute.Float64Value(v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return attribute.ByteSliceValue(v.BytesValue)
	case *commonpb.AnyValue_KvlistValue:
		return attribute.MapValue(wantAttributes(v.KvlistValue.Values)...)
	case *commonpb.AnyValue_ArrayValue:
		var all []attribute.Value
		var strings []string
		var bools []bool
		var ints []int64
		var doubles []float64
		for _, e := range v.ArrayValue.Values {
			w := wantValue(e)
			all = append(all, w)
			switch w.Type() {
			case attribute.STRING:
				strings = append(strings, w.AsString())
			case attribute.BOOL:
				bools = append(bools, w.AsBool())
			case attribute.INT64:
				ints = append(ints, w.AsInt64())
			case attribute.FLOAT64:
				doubles = append(doubles, w.AsFloat64())
			}
		}
		switch n := len(all); {
		case n == 0:
		case n == len(strings):
			return attribute.StringSliceValue(strings)
		case n == len(bools):
			return attribute.BoolSliceValue(bools)
		case n == len(ints):
			return attribute.Int64SliceValue(ints)
		case n == len(doubles):
			return attribute.Float64SliceValue(doubles)
		}
		return attribute.SliceValue(all...)
	}
	return attribute.Value{}
}

func wantAttributes(kvs []*commonpb.KeyValue) []attribute.KeyValue {
	var out []attribute.KeyValue
	for _, kv := range kvs {
		out = append(out, attribute.KeyValue{Key: attribute.Key(kv.Key), Value: wantValue(kv.Value)})
	}
	return out
}

// sameAttributes compares by type and by what the API prints, in which NaN equals itself.
func sameAttributes(t *testing.T, where string, got, want []attribute.KeyValue) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d attributes, want %d", where, len(got), len(want))
		return
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.Key != w.Key || g.Value.Type() != w.Value.Type() || g.Value.String() != w.Value.String() {
			t.Errorf("%s: attribute %d is %s=%s (%s), want %s=%s (%s)", where, i,
				g.Key, g.Value.String(), g.Value.Type(), w.Key, w.Value.String(), w.Value.Type())
		}
	}
}

func id16(b []byte) (id trace.TraceID) { copy(id[:], b); return }
func id8(b []byte) (id trace.SpanID)   { copy(id[:], b); return }

// sameSpan compares a view with the official decoding of the same bytes.
func sameSpan(t *testing.T, s SpanView, w *tracepb.Span) {
	t.Helper()
	code := map[tracepb.Status_StatusCode]codes.Code{
		tracepb.Status_STATUS_CODE_OK: codes.Ok, tracepb.Status_STATUS_CODE_ERROR: codes.Error,
	}[w.Status.GetCode()]
	scalars := SpanView{
		TraceID: id16(w.TraceId), SpanID: id8(w.SpanId), ParentSpanID: id8(w.ParentSpanId),
		Flags: w.Flags, Kind: trace.SpanKind(w.Kind),
		StartTimeUnixNano: w.StartTimeUnixNano, EndTimeUnixNano: w.EndTimeUnixNano, StatusCode: code,
		DroppedAttributes: w.DroppedAttributesCount, DroppedEvents: w.DroppedEventsCount, DroppedLinks: w.DroppedLinksCount,
		AttributeCount: len(w.Attributes), EventCount: len(w.Events), LinkCount: len(w.Links),
	}
	got := s
	got.raw, got.Name, got.TraceState, got.StatusMessage = nil, nil, nil, nil
	if !equalScalars(got, scalars) {
		t.Errorf("span %q:\n have %+v\n want %+v", w.Name, got, scalars)
	}
	if string(s.Name) != w.Name || string(s.TraceState) != w.TraceState || string(s.StatusMessage) != w.Status.GetMessage() {
		t.Errorf("span %q: name %q, state %q, message %q", w.Name, s.Name, s.TraceState, s.StatusMessage)
	}
	if s.IsRoot() != (id8(w.ParentSpanId) == trace.SpanID{}) {
		t.Errorf("span %q: IsRoot is %v", w.Name, s.IsRoot())
	}
	sameAttributes(t, "span "+w.Name, slices.Collect(s.Attributes()), wantAttributes(w.Attributes))

	i := 0
	for e := range s.Events() {
		we := w.Events[i]
		if e.TimeUnixNano != we.TimeUnixNano || string(e.Name) != we.Name || e.DroppedAttributes != we.DroppedAttributesCount {
			t.Errorf("event %d: %+v, want %v", i, e, we)
		}
		sameAttributes(t, "event", slices.Collect(e.Attributes()), wantAttributes(we.Attributes))
		i++
	}
	if i != len(w.Events) {
		t.Errorf("%d events, want %d", i, len(w.Events))
	}
	i = 0
	for l := range s.Links() {
		wl := w.Links[i]
		if l.TraceID != id16(wl.TraceId) || l.SpanID != id8(wl.SpanId) || string(l.TraceState) != wl.TraceState ||
			l.Flags != wl.Flags || l.DroppedAttributes != wl.DroppedAttributesCount {
			t.Errorf("link %d: %+v, want %v", i, l, wl)
		}
		sameAttributes(t, "link", slices.Collect(l.Attributes()), wantAttributes(wl.Attributes))
		i++
	}
	if i != len(w.Links) {
		t.Errorf("%d links, want %d", i, len(w.Links))
	}
}

// equalScalars compares views whose slices are nil.
func equalScalars(a, b SpanView) bool {
	return a.TraceID == b.TraceID && a.SpanID == b.SpanID && a.ParentSpanID == b.ParentSpanID && a.Flags == b.Flags &&
		a.Kind == b.Kind && a.StartTimeUnixNano == b.StartTimeUnixNano && a.EndTimeUnixNano == b.EndTimeUnixNano &&
		a.StatusCode == b.StatusCode && a.DroppedAttributes == b.DroppedAttributes && a.DroppedEvents == b.DroppedEvents &&
		a.DroppedLinks == b.DroppedLinks && a.AttributeCount == b.AttributeCount && a.EventCount == b.EventCount && a.LinkCount == b.LinkCount
}

// sameViews compares everything that the views say of a request with the official decoding.
func sameViews(t *testing.T, req []byte) {
	t.Helper()
	var want []*tracepb.Span
	var in []*tracepb.ScopeSpans
	var of []*tracepb.ResourceSpans
	for _, rs := range decode(t, req).ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				want, in, of = append(want, s), append(in, ss), append(of, rs)
			}
		}
	}
	n := 0
	var last *Envelope
	for ref := range Spans(req) {
		if n >= len(want) {
			t.Fatalf("more than %d spans", len(want))
		}
		s, err := ParseSpan(ref.Body)
		if err != nil {
			t.Fatal(err)
		}
		sameSpan(t, s, want[n])
		if n > 0 && (in[n] == in[n-1]) != (ref.Envelope == last) {
			t.Errorf("span %d: the envelope's identity does not follow its ScopeSpans", n)
		}
		last = ref.Envelope

		resource, scope := ParseResource(ref.Envelope.Resource), ParseScope(ref.Envelope.Scope)
		wr, ws := of[n].Resource, in[n].Scope
		if resource.DroppedAttributes != wr.GetDroppedAttributesCount() || string(ref.Envelope.ResourceSchemaURL) != of[n].SchemaUrl {
			t.Errorf("span %d: resource %+v, schema %q; want %v", n, resource, ref.Envelope.ResourceSchemaURL, of[n])
		}
		if (ref.Envelope.Resource == nil) != (wr == nil) || (ref.Envelope.Scope == nil) != (ws == nil) {
			t.Errorf("span %d: presence of resource or scope", n)
		}
		sameAttributes(t, "resource", slices.Collect(resource.Attributes()), wantAttributes(wr.GetAttributes()))
		if string(scope.Name) != ws.GetName() || string(scope.Version) != ws.GetVersion() ||
			scope.DroppedAttributes != ws.GetDroppedAttributesCount() || string(ref.Envelope.ScopeSchemaURL) != in[n].SchemaUrl {
			t.Errorf("span %d: scope %+v, schema %q; want %v", n, scope, ref.Envelope.ScopeSchemaURL, in[n])
		}
		sameAttributes(t, "scope", slices.Collect(scope.Attributes()), wantAttributes(ws.GetAttributes()))
		n++
	}
	if n != len(want) {
		t.Errorf("%d spans, want %d", n, len(want))
	}
}

func TestViews(t *testing.T) {
	sameViews(t, encode(t, richSample()))
	sameViews(t, encode(t, loadSample(3)))
}

// TestViewsOfOddOrder: what describes comes after what it describes, in pieces, and more than once.
func TestViewsOfOddOrder(t *testing.T) {
	resource := func(kv *commonpb.KeyValue) []byte {
		return ld(1, encode(t, &resourcepb.Resource{Attributes: []*commonpb.KeyValue{kv}}))
	}
	scope := func(s *commonpb.InstrumentationScope) []byte { return ld(1, encode(t, s)) }
	span := func(name string) []byte { return ld(2, encode(t, &tracepb.Span{Name: name, TraceId: idBytes(16, 1)})) }
	status := func(s *tracepb.Status) []byte { return ld(15, encode(t, s)) }

	sameViews(t, ld(1,
		resource(pbKV("a", pbInt(1))),
		ld(3, []byte("first")),
		ld(2, span("one"), scope(&commonpb.InstrumentationScope{Name: "n"}), ld(3, []byte("u")), span("two"),
			scope(&commonpb.InstrumentationScope{Version: "v"}), ld(3, []byte("w"))),
		resource(pbKV("b", pbInt(2))),
		ld(3, []byte("second")),
		ld(2, ld(2, ld(5, []byte("early")), ld(1, idBytes(16, 1)), ld(1), ld(5, []byte("late")),
			status(&tracepb.Status{Message: "m"}), vi(6, 2), status(&tracepb.Status{Code: 2}), vi(6, 3)))))

	kv := func(fields ...[]byte) []byte { return ld(9, fields...) }
	sameViews(t, inSpan(
		kv(ld(2, vi(3, 1)), ld(1, []byte("value first"))),
		kv(ld(1, []byte("merged")), ld(2, ld(5, ld(1, vi(3, 1)))), ld(2, ld(5, ld(1, vi(3, 2))))),
		kv(ld(1, []byte("member replaced")), ld(2, ld(5, ld(1, vi(3, 1))), vi(2, 1), ld(5, ld(1, vi(3, 2))))),
		kv(ld(1, []byte("reset by a scalar")), ld(2, ld(6, ld(1)), vi(8, 1))),
		kv(ld(1, []byte("old key")), ld(1, []byte("new key")), ld(2, ld(1, []byte("v")))),
		kv(vi(3, 4), ld(99)),
		kv()))
}

func TestSpansStops(t *testing.T) {
	n := 0
	for range Spans(encode(t, loadSample(5))) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d spans after break at 2", n)
	}
}

func TestFramed(t *testing.T) {
	var joined []byte
	m := loadSample(4)
	for ref := range Spans(encode(t, m)) {
		joined = append(joined, ref.Framed...)
	}
	want := encode(t, &tracepb.ScopeSpans{Spans: m.ResourceSpans[0].ScopeSpans[0].Spans})
	if !bytes.Equal(joined, want) {
		t.Error("framed spans are not the ScopeSpans' fields")
	}
}

func TestAnyValue(t *testing.T) {
	s, err := ParseSpan(encode(t, &tracepb.Span{Attributes: everyValue()}))
	if err != nil {
		t.Fatal(err)
	}
	i, want := 0, wantAttributes(everyValue())
	for key, v := range s.RawAttributes() {
		w := want[i]
		i++
		if string(key) != string(w.Key) || v.Type() != w.Value.Type() {
			t.Errorf("%s: type %v, want %s of %v", key, v.Type(), w.Key, w.Value.Type())
		}
		text := ""
		if w.Value.Type() == attribute.STRING {
			text = w.Value.AsString()
		} else if w.Value.Type() == attribute.BYTESLICE {
			text = string(w.Value.AsByteSlice())
		}
		var b bool
		var n int64
		var x float64
		switch w.Value.Type() {
		case attribute.BOOL:
			b = w.Value.AsBool()
		case attribute.INT64:
			n = w.Value.AsInt64()
		case attribute.FLOAT64:
			x = w.Value.AsFloat64()
		}
		if string(v.Bytes()) != text || v.Bool() != b || v.Int64() != n || v.Float64() != x && x == x {
			t.Errorf("%s: %q %v %d %v", key, v.Bytes(), v.Bool(), v.Int64(), v.Float64())
		}
	}
	if v, ok := s.Attribute("int.max"); !ok || v.Int64() != 1<<63-1 {
		t.Errorf("int.max: %+v, %v", v, ok)
	}
	if _, ok := s.Attribute("absent"); ok {
		t.Error("found an attribute that is not there")
	}
}

// TestViewsOwn checks that decoded attributes do not change with the bytes they came from.
func TestViewsOwn(t *testing.T) {
	b := encode(t, &tracepb.Span{Attributes: everyValue()})
	s, _ := ParseSpan(b)
	got := slices.Collect(s.Attributes())
	clear(b)
	sameAttributes(t, "after the bytes were cleared", got, wantAttributes(everyValue()))
}

func TestParseSpanMalformed(t *testing.T) {
	good := encode(t, loadSample(1).ResourceSpans[0].ScopeSpans[0].Spans[0])
	for n := range good {
		_, err := ParseSpan(good[:n:n])
		if official := proto.Unmarshal(good[:n], new(tracepb.Span)); (err == nil) != (official == nil) {
			t.Errorf("%d bytes: %v, the official decoder: %v", n, err, official)
		}
	}
}

func TestParseAllocates(t *testing.T) {
	req := encode(t, loadSample(1))
	var ref SpanRef
	for ref = range Spans(req) {
		break
	}
	hits := 0
	if n := testing.AllocsPerRun(10, func() {
		s, err := ParseSpan(ref.Body)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range s.RawAttributes() {
			if string(k) == "server.port" && v.Int64() == 443 {
				hits++
			}
		}
		if v, ok := s.Attribute("url.scheme"); ok && string(v.Bytes()) == "https" {
			hits++
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if hits == 0 {
		t.Error("nothing was found")
	}
}
