package otlp

import (
	"bytes"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func TestJoinByConcatenation(t *testing.T) {
	a, b := richSample(), loadSample(3)
	joined := append(encode(t, a), encode(t, b)...)
	proto.Merge(a, b)
	if !proto.Equal(decode(t, joined), a) {
		t.Error("the concatenation does not decode to both requests")
	}
	c, err := Validate(joined)
	if want := countsOf(a); err != nil || c != want {
		t.Errorf("%+v, %v; want %+v", c, err, want)
	}
}

func TestAppendRequest(t *testing.T) {
	rs := richSample().ResourceSpans[0]
	rs.ScopeSpans = rs.ScopeSpans[:2]
	run := func(ss *tracepb.ScopeSpans) []byte { return encode(t, &tracepb.ScopeSpans{Spans: ss.Spans}) }
	one, two := rs.ScopeSpans[0], rs.ScopeSpans[1]
	got := AppendRequest([]byte("before"), encode(t, rs.Resource), rs.SchemaUrl,
		ScopeRun{Scope: encode(t, one.Scope), SchemaURL: one.SchemaUrl, Spans: run(one)},
		ScopeRun{Spans: run(two)})
	if want := append([]byte("before"), encode(t, &request{ResourceSpans: []*tracepb.ResourceSpans{rs}})...); !bytes.Equal(got, want) {
		t.Error("not what the official encoder writes")
	}
	if got, want := AppendRequest(nil, nil, ""), []byte{0x0a, 0}; !bytes.Equal(got, want) {
		t.Errorf("nothing: %x, want %x", got, want)
	}
	if got, want := AppendRequest(nil, []byte{}, "", ScopeRun{Scope: []byte{}}), ld(1, ld(1), ld(2, ld(1))); !bytes.Equal(got, want) {
		t.Errorf("empty messages: %x, want %x", got, want)
	}
	if got, want := AppendRequest(nil, nil, "\xff", ScopeRun{SchemaURL: "\xff"}), ld(1, ld(2, ld(3, []byte{0xff})), ld(3, []byte{0xff})); !bytes.Equal(got, want) {
		t.Errorf("URLs that are not UTF-8: %x, want %x", got, want)
	}
	buf := make([]byte, 0, 1<<20)
	resource, spans := encode(t, rs.Resource), run(one)
	if n := testing.AllocsPerRun(10, func() { AppendRequest(buf, resource, "u", ScopeRun{Spans: spans}) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// flatten is a request as one span after another, each with all that describes it.
func flatten(m *request) []*tracepb.ResourceSpans {
	var out []*tracepb.ResourceSpans
	for _, rs := range m.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				out = append(out, &tracepb.ResourceSpans{
					Resource: rs.Resource, SchemaUrl: rs.SchemaUrl,
					ScopeSpans: []*tracepb.ScopeSpans{{Scope: ss.Scope, SchemaUrl: ss.SchemaUrl, Spans: []*tracepb.Span{s}}},
				})
			}
		}
	}
	return out
}

// splitSample has short and long spans, several resources and scopes, and lengths around 128 bytes,
// where a length takes a second byte.
func splitSample() *request {
	m := &request{}
	for r := range 4 {
		rs := loadSample(0).ResourceSpans[0]
		rs.Resource.DroppedAttributesCount, rs.SchemaUrl = uint32(r+1), "u"
		rs.ScopeSpans = nil
		for s := range 3 {
			ss := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "scope", Version: string(rune('0' + s))}}
			for i := range r + s {
				ss.Spans = append(ss.Spans, &tracepb.Span{
					TraceId: idBytes(16, byte(r)), SpanId: idBytes(8, byte(i)),
					Name: string(bytes.Repeat([]byte("n"), (r*37+s*11+i*29)%140)),
				})
			}
			rs.ScopeSpans = append(rs.ScopeSpans, ss)
		}
		m.ResourceSpans = append(m.ResourceSpans, rs)
	}
	return m
}

func TestSplit(t *testing.T) {
	for name, m := range map[string]*request{"small": splitSample(), "rich": richSample(), "empty": {}} {
		req := encode(t, m)
		want := flatten(m)
		step := 1 + len(req)/150
		for maxBytes := 0; maxBytes <= len(req)+1; maxBytes += step {
			var parts [][]byte
			joined := []byte{}
			for part := range Split(req, maxBytes) {
				c, err := Validate(part)
				if err != nil || c.Spans == 0 && maxBytes < len(req) {
					t.Fatalf("%s, %d bytes: a part of %+v, %v", name, maxBytes, c, err)
				}
				if len(part) > maxBytes && c.Spans != 1 {
					t.Fatalf("%s, %d bytes: a part of %d bytes and %d spans", name, maxBytes, len(part), c.Spans)
				}
				parts = append(parts, part)
				joined = append(joined, part...)
			}
			got := flatten(decode(t, joined))
			if len(got) != len(want) {
				t.Fatalf("%s, %d bytes: %d spans, want %d", name, maxBytes, len(got), len(want))
			}
			for i := range got {
				if !proto.Equal(got[i], want[i]) {
					t.Fatalf("%s, %d bytes: span %d differs", name, maxBytes, i)
				}
			}
			// No two neighbours could have been one part. (Two parts of the same scope would share
			// its header, so this is only a lower bound of their joint size when scopes differ.)
			for i := 1; i < len(parts); i++ {
				if merged := mergeParts(t, parts[i-1], parts[i]); len(merged) <= maxBytes {
					t.Fatalf("%s, %d bytes: parts %d and %d fit together", name, maxBytes, i-1, i)
				}
			}
		}
	}
}

// mergeParts is the smallest request with the spans of a and the first of b: b's resource and scope are
// a's last ones where they are equal.
func mergeParts(t *testing.T, a, b []byte) []byte {
	m := decode(t, a)
	next := flatten(decode(t, b))[0]
	rs := m.ResourceSpans[len(m.ResourceSpans)-1]
	ss := rs.ScopeSpans[len(rs.ScopeSpans)-1]
	nss := next.ScopeSpans[0]
	switch {
	case !proto.Equal(rs.Resource, next.Resource) || rs.SchemaUrl != next.SchemaUrl:
		m.ResourceSpans = append(m.ResourceSpans, next)
	case !proto.Equal(ss.Scope, nss.Scope) || ss.SchemaUrl != nss.SchemaUrl:
		rs.ScopeSpans = append(rs.ScopeSpans, nss)
	default:
		ss.Spans = append(ss.Spans, nss.Spans...)
	}
	return encode(t, m)
}

func TestSplitKeepsUnknownAndOdd(t *testing.T) {
	span := func(name string) []byte { return ld(2, ld(5, []byte(name))) }
	req := ld(1, ld(2, span("one"), ld(77, []byte("scope's")), span("two"), ld(1, ld(1, []byte("late")))), vi(78, 9), ld(3, []byte("url")), ld(1, vi(2, 5)))
	n := 0
	for part := range Split(req, 1) {
		for ref := range Spans(part) {
			n++
			resource, scope := ParseResource(ref.Envelope.Resource), ParseScope(ref.Envelope.Scope)
			if resource.DroppedAttributes != 5 || string(scope.Name) != "late" || string(ref.Envelope.ResourceSchemaURL) != "url" ||
				!bytes.Contains(part, ld(77, []byte("scope's"))) || !bytes.Contains(part, vi(78, 9)) {
				t.Errorf("part %x lost something", part)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d spans, want 2", n)
	}
}

func TestSplitWhole(t *testing.T) {
	req := encode(t, loadSample(3))
	n := 0
	for part := range Split(req, len(req)) {
		if n++; &part[0] != &req[0] || len(part) != len(req) {
			t.Error("a request that fits was copied")
		}
	}
	if n != 1 {
		t.Errorf("%d parts, want 1", n)
	}
	for range Split(req, 600) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("break: %d", n)
	}
}
