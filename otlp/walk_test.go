package otlp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// countsOf counts by the official types.
func countsOf(m *request) Counts {
	var c Counts
	for _, rs := range m.ResourceSpans {
		c.ResourceSpans++
		for _, ss := range rs.ScopeSpans {
			c.ScopeSpans++
			for _, s := range ss.Spans {
				c.Spans++
				trace, span := bytes.Trim(s.TraceId, "\x00"), bytes.Trim(s.SpanId, "\x00")
				if len(trace) == 0 || len(span) == 0 {
					c.InvalidIDs++
				}
			}
		}
	}
	return c
}

func TestValidateCounts(t *testing.T) {
	for name, m := range map[string]*request{
		"empty": {}, "rich": richSample(), "load": loadSample(300),
		"zero ids": {ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{
			{TraceId: make([]byte, 16), SpanId: idBytes(8, 1)}, {TraceId: idBytes(16, 1), SpanId: make([]byte, 8)},
			{TraceId: idBytes(16, 1), SpanId: idBytes(8, 1)},
		}}}}}},
	} {
		req := encode(t, m)
		got, err := Validate(req)
		if want := countsOf(m); err != nil || got != want {
			t.Errorf("%s: Validate = %+v, %v; want %+v", name, got, err, want)
		}
		if n := Count(req); n != got.Spans {
			t.Errorf("%s: Count = %d, want %d", name, n, got.Spans)
		}
	}
}

// verdicts checks that Validate agrees with the official decoder, or is stricter in a documented way,
// and with its own tables.
func verdicts(t *testing.T, b []byte) (accepted bool) {
	t.Helper()
	c, err := Validate(b)
	m := new(request)
	official := proto.Unmarshal(b, m)
	n := 0
	for range Spans(b) { // must not panic, whatever b is
		n++
	}
	if count := Count(b); n != count {
		t.Errorf("%x: Spans yields %d, Count says %d", b, n, count)
	}
	if err == nil {
		if official != nil {
			t.Fatalf("%x: accepted, but the official decoder says: %v", b, official)
		}
		if want := countsOf(m); c != want {
			t.Fatalf("%x: %+v, want %+v", b, c, want)
		}
		if n != c.Spans {
			t.Fatalf("%x: Count = %d, want %d", b, n, c.Spans)
		}
		x := explainer{req: b}
		if !x.message(requestMsg, 0, len(b), 0) {
			t.Fatalf("%x: the walk accepts, the tables say: %v", b, &x.err)
		}
		return true
	}
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(b) || syntax.Reason == "" || syntax.Reason == reasonUnknown {
		t.Fatalf("%x: error %#v", b, err)
	}
	if c != (Counts{}) {
		t.Fatalf("%x: counts %+v with an error", b, c)
	}
	if official == nil && !strings.Contains(err.Error(), " id of ") && !strings.Contains(err.Error(), "the wire type is") && !strings.Contains(err.Error(), "nested") &&
		!strings.Contains(err.Error(), "deprecated_scope_spans") {
		t.Fatalf("%x: the official decoder accepts, but: %v", b, err)
	}
	return false
}

func TestValidateTruncated(t *testing.T) {
	req := encode(t, richSample())
	for n := range req {
		verdicts(t, req[:n:n])
	}
}

// TestValidateDamaged overwrites every byte of a small request with bytes that mean something.
func TestValidateDamaged(t *testing.T) {
	m := richSample()
	span := m.ResourceSpans[0].ScopeSpans[0].Spans[0]
	kvs := span.Attributes
	span.Attributes = append(kvs[:2:2], kvs[4], kvs[6], kvs[10], kvs[19], kvs[21], kvs[28])
	span.Events, span.Links = span.Events[1:], span.Links[1:]
	m.ResourceSpans[0].ScopeSpans[0].Scope.Attributes = nil
	m.ResourceSpans[0].Resource.Attributes = kvs[:1]
	req := encode(t, m)
	accepted := 0
	for i, old := range req {
		for _, c := range []byte{0, 1, 3, 4, 6, 0x0a, 0x10, 0x11, 0x12, 0x25, 0x7f, 0x80, 0xff, old + 1, old - 1, old ^ 0x80} {
			req[i] = c
			if verdicts(t, req) {
				accepted++
			}
		}
		req[i] = old
	}
	if accepted == 0 {
		t.Error("no damaged request was still well formed: the test tests too little")
	}
}

// cat, ld and vi build wire bytes by hand: what no encoder writes.
func cat(fields ...[]byte) []byte { return bytes.Join(fields, nil) }

func ld(num protowire.Number, body ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), cat(body...))
}

func vi(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func inSpan(fields ...[]byte) []byte { return ld(1, ld(2, ld(2, fields...))) }

func TestValidateMalformed(t *testing.T) {
	const span = "resource_spans[0].scope_spans[0].spans[0]"
	good := ld(1, ld(2, ld(2, ld(1, idBytes(16, 1)), ld(2, idBytes(8, 1)))))
	for _, c := range []struct {
		name, path, reason string
		offset             int
		req                []byte
	}{
		{"tag cut off", "", "the field's tag is cut off", 0, []byte{0x80}},
		{"tag too long", "", "the field's tag is longer than 64 bits", 0, bytes.Repeat([]byte{0xff}, 11)},
		{"field 0", "", "field number 0 is out of range", 0, []byte{0x02, 0}},
		{"field 2^29", "", "field number 536870912 is out of range", 0, protowire.AppendVarint(nil, 1<<32)},
		{"no length", "resource_spans[0]", "the length is cut off", 0, []byte{0x0a}},
		{"length beyond the end", "resource_spans[0]", "the length is 5, but only 1 bytes are left", 0, []byte{0x0a, 5, 0}},
		{"length of 2^63", "resource_spans[0]", "the length is 9223372036854775808, but only 0 bytes are left", 0,
			protowire.AppendVarint([]byte{0x0a}, 1<<63)},
		{"length beyond the parent", "resource_spans[0].scope_spans[0]", "the length is 3, but only 0 bytes are left", 2,
			[]byte{0x0a, 2, 0x12, 3, 0, 0, 0}},
		{"second resource", "resource_spans[1].resource", "the wire type is varint, want length-delimited", len(good) + 2,
			append(bytes.Clone(good), 0x0a, 2, 0x08, 0)},
		{"wire type 7", "", "field 2 has wire type 7 (invalid)", 0, []byte{0x17}},
		{"end of group", "", "field 2 has wire type end of group", 0, []byte{0x14}},
		{"open group", "", "the group of unknown field 2 is malformed, not ended, or nested too deep", 0, []byte{0x13, 0x08, 1}},
		{"group ended by another", "", "the group of unknown field 2 is malformed, not ended, or nested too deep", 0, []byte{0x13, 0x1c}},
		{"trace id", span + ".trace_id", "a trace id of 15 bytes, want 16", 8, inSpan(ld(1, make([]byte, 15)))},
		{"span id", span + ".span_id", "a span id of 16 bytes, want 8", 8, inSpan(ld(2, make([]byte, 16)))},
		{"parent id", span + ".parent_span_id", "a span id of 1 bytes, want 8", 8, inSpan(ld(4, []byte{1}))},
		{"link's trace id", span + ".links[1].trace_id", "a trace id of 1 bytes, want 16", 12, inSpan(ld(13), ld(13, ld(1, []byte{1})))},
		{"name", span + ".name", "the string is not valid UTF-8", 8, inSpan(ld(5, []byte("a\xff")))},
		{"name's wire type", span + ".name", "the wire type is varint, want length-delimited", 6, inSpan(vi(5, 1))},
		{"kind", span + ".kind", "the number is longer than 64 bits", 6, inSpan([]byte{0x30}, bytes.Repeat([]byte{0x80}, 10), []byte{0})},
		{"kind's tenth byte", span + ".kind", "the number is longer than 64 bits", 6, inSpan([]byte{0x30}, bytes.Repeat([]byte{0xff}, 9), []byte{2})},
		{"start", span + ".start_time_unix_nano", "8 bytes of value needed, 3 left", 6, inSpan([]byte{0x39, 1, 2, 3})},
		{"flags", span + ".flags", "4 bytes of value needed, 0 left", 6, inSpan([]byte{0x85, 0x01})},
		{"status", span + ".status.message", "the string is not valid UTF-8", 10, inSpan(ld(15, ld(2, []byte{0xc0, 0x80})))},
		{"event", span + ".events[0].attributes[0].key", "the string is not valid UTF-8", 12, inSpan(ld(11, ld(3, ld(1, []byte{0xed, 0xa0, 0x80}))))},
		{"key", span + ".attributes[2].key", "the string is not valid UTF-8", 14, inSpan(ld(9), ld(9), ld(9, ld(1, []byte{0x80})))},
		{"value", span + ".attributes[0].value.string_value", "the string is not valid UTF-8", 15,
			inSpan(ld(9, ld(1, []byte("k")), ld(2, ld(1, []byte{0xff}))))},
		{"in an array", span + ".attributes[0].value.array_value.values[1].double_value", "8 bytes of value needed, 1 left", 16,
			inSpan(ld(9, ld(2, ld(5, ld(1), ld(1, []byte{0x21, 0})))))},
		{"in a map", span + ".attributes[0].value.kvlist_value.values[0].value.int_value", "the number is cut off", 16,
			inSpan(ld(9, ld(2, ld(6, ld(1, ld(2, []byte{0x18}))))))},
		{"scope", "resource_spans[0].scope_spans[0].scope.name", "the string is not valid UTF-8", 8, ld(1, ld(2, ld(1, ld(1, []byte{0xff}))))},
		{"schema URL", "resource_spans[0].schema_url", "the string is not valid UTF-8", 4, ld(1, ld(3, []byte{0xff}))},
		{"entity", "resource_spans[0].resource.entity_refs[0].id_keys[1]", "the string is not valid UTF-8", 10,
			ld(1, ld(1, ld(3, ld(3), ld(3, []byte{0xff}))))},
		{"deprecated spans", "resource_spans[0].deprecated_scope_spans[0].spans[0]", "the length is 9, but only 0 bytes are left", 5,
			ld(1, ld(1000, []byte{0x12, 9}))},
		{"deprecated wire type", "resource_spans[0].deprecated_scope_spans[0]", "the wire type is varint, want length-delimited", 2,
			ld(1, vi(1000, 1))},
	} {
		if verdicts(t, c.req) {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		_, err := Validate(c.req)
		want := SyntaxError{Offset: c.offset, Path: c.path, Reason: c.reason}
		if *err.(*SyntaxError) != want {
			t.Errorf("%s:\n have %+v\n want %+v", c.name, *err.(*SyntaxError), want)
		}
	}
	_, err := Validate(inSpan(ld(5, []byte{0xff})))
	if want := "otlp: cannot read resource_spans[0].scope_spans[0].spans[0].name at byte 8: the string is not valid UTF-8"; err.Error() != want {
		t.Errorf("have %q\nwant %q", err, want)
	}
}

// TestValidateOdd: legal, though no encoder writes it.
func TestValidateOdd(t *testing.T) {
	for name, req := range map[string][]byte{
		"long tag":          {0x8a, 0x00, 0x00},
		"long length":       {0x0a, 0x80, 0x80, 0x00},
		"unknown fields":    inSpan(vi(99, 1), ld(100, []byte{0xff}), []byte{0xcd, 0x06, 1, 2, 3, 4}, []byte{0xc9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8}),
		"unknown group":     cat([]byte{0x13, 0x0b, 0x0c, 0x18, 1, 0x14}),
		"empty ids":         inSpan(ld(1), ld(2), ld(4)),
		"ten-byte varint":   inSpan(vi(6, 1<<63)),
		"members of oneof":  inSpan(ld(9, ld(2, vi(3, 1), ld(1, []byte("s")), ld(5, ld(1)), ld(5)))),
		"two values":        inSpan(ld(9, ld(1, []byte("k")), ld(2, vi(3, 1)), ld(2, ld(1, []byte("v"))))),
		"key after value":   inSpan(ld(9, ld(2, ld(1, []byte("v"))), ld(1, []byte("k")))),
		"deprecated spans":  ld(1, ld(1000, ld(2, ld(5, []byte("old"))))),
		"non-ASCII":         inSpan(ld(9, ld(1, []byte("größe")), ld(2, ld(1, []byte("世界"))))),
		"key without value": inSpan(ld(9, ld(1, []byte("key")))),
	} {
		if !verdicts(t, req) {
			_, err := Validate(req)
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nested is a request with a value at the given depth, below arrays or maps.
func nested(t testing.TB, depth int, maps bool) []byte {
	v, left := pbInt(1), depth-5
	for left > 0 {
		if maps && left != 2 && left != 4 {
			v, left = pbMap(pbKV("k", v)), left-3
		} else {
			v, left = pbArray(v), left-2
		}
	}
	if left < 0 {
		t.Fatalf("depth %d cannot be had", depth)
	}
	return encode(t, &request{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{
		{Attributes: []*commonpb.KeyValue{pbKV("k", v)}},
	}}}}}})
}

func TestValidateDepth(t *testing.T) {
	for depth := 70; depth < 140; depth++ {
		for _, maps := range []bool{false, true} {
			if !maps && depth%2 == 0 {
				continue // arrays add 2 each, from 5
			}
			req := nested(t, depth, maps)
			if ok := verdicts(t, req); ok != (depth <= MaxDepth) {
				t.Errorf("depth %d, maps %v: accepted is %v", depth, maps, ok)
			}
		}
	}
	for depth, want := range map[int]bool{MaxDepth: true, MaxDepth + 1: false} {
		group := append(bytes.Repeat([]byte{0x13}, depth), bytes.Repeat([]byte{0x14}, depth)...)
		if ok := verdicts(t, group); ok != want {
			t.Errorf("%d groups: accepted is %v", depth, ok)
		}
	}
	if _, err := Validate(nested(t, 30_001, false)); err == nil || !strings.Contains(err.Error(), "nested deeper than 100 messages") {
		t.Errorf("30 001 deep: %v", err)
	}
}

func TestValidateAllocates(t *testing.T) {
	req := encode(t, richSample())
	if n := testing.AllocsPerRun(10, func() {
		if _, err := Validate(req); err != nil {
			t.Fatal(err)
		}
		Count(req)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestValidUTF8(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "ab", "é", "世", "🎉", "\x80", "\xff", "\xc3", "\xe4\xb8", "\xed\xa0\x80", "\x00", "abcdefgh"}
	for range 200_000 {
		var s []byte
		for range rng.IntN(6) {
			s = append(s, pieces[rng.IntN(len(pieces))]...)
		}
		if got, want := validUTF8(s), utf8.Valid(s); got != want {
			t.Fatalf("%q: %v, want %v", s, got, want)
		}
	}
	for n := range 40 {
		for i := range n {
			s := bytes.Repeat([]byte("x"), n)
			s[i] = 0x80
			if validUTF8(s) {
				t.Fatalf("length %d: missed byte %d", n, i)
			}
		}
	}
}

func FuzzValidate(f *testing.F) {
	for _, req := range smallSamples(f) {
		f.Add(req)
	}
	f.Add(nested(f, 40, true))
	f.Add([]byte{0x13, 0x0b, 0x0c, 0x14})
	f.Add(ld(1, ld(1000, ld(2, ld(5, []byte("old"))))))
	f.Fuzz(func(t *testing.T, b []byte) {
		verdicts(t, b)
		for ref := range Spans(b) {
			s, err := ParseSpan(ref.Body)
			if err != nil {
				continue
			}
			readAll(&s)
		}
	})
}

// readAll decodes everything in a span, which must not panic whatever the bytes are.
func readAll(s *SpanView) {
	for range s.Attributes() {
	}
	for e := range s.Events() {
		for range e.Attributes() {
		}
	}
	for l := range s.Links() {
		for range l.Attributes() {
		}
	}
}
