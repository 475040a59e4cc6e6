package ringtail

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// byScope reads a batch as scope name → spans, in the order of the batch.
func byScope(m *tracepb.TracesData) (order []string, spans map[string][]*tracepb.Span) {
	spans = make(map[string][]*tracepb.Span)
	for _, rs := range m.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			name := ss.Scope.GetName()
			if spans[name] == nil {
				order = append(order, name)
			}
			spans[name] = append(spans[name], ss.Spans...)
		}
	}
	return order, spans
}

// TestBuilderScopes puts spans of many scopes, of one, and of none into batches of
// one builder, so that its memory is used again for batches of another shape.
func TestBuilderScopes(t *testing.T) {
	random := seeded(t)
	core, err := NewCore(WithResource(&Resource{SchemaURL: "r", Attributes: []attribute.KeyValue{attribute.String("service.name", "s")}}))
	if err != nil {
		t.Fatal(err)
	}
	scopes := []*Scope{nil, {Name: "a"}, {Name: "b", SchemaURL: "url"}, {Name: "c", Version: strings.Repeat("1", 200)},
		{Name: "d", Attributes: []attribute.KeyValue{attribute.Int("n", 1), {}}}}
	p, _ := core.Register()
	b := core.NewBuilder()
	n := uint64(0)
	for range 300 {
		want := make(map[string][]*tracepb.Span)
		used := scopes[:1+random.IntN(len(scopes))]
		if random.IntN(2) == 0 {
			used = scopes[random.IntN(len(scopes)):][:1]
		}
		for range random.IntN(40) {
			n++
			s := numbered(n)
			if s.Scope = used[random.IntN(len(used))]; s.Scope != nil && random.IntN(2) == 0 {
				other := *s.Scope // an equal one elsewhere
				s.Scope = &other
			}
			name := ""
			if s.Scope != nil {
				name = s.Scope.Name
			}
			want[name] = append(want[name], officialSpan(s))
			if err := p.TrySubmit(s); err != nil {
				t.Fatal(err)
			}
		}
		core.ConsumeUpTo(1000, b)
		batch := b.Batch()
		if len(want) == 0 {
			if batch != nil {
				t.Fatal("a batch of nothing")
			}
			continue
		}
		m := official(t, batch)
		if len(m.ResourceSpans) != 1 || m.ResourceSpans[0].Resource.Attributes[0].Value.GetStringValue() != "s" || m.ResourceSpans[0].SchemaUrl != "r" {
			t.Fatalf("resource: %v", m)
		}
		order, got := byScope(m)
		if len(order) != len(want) || len(m.ResourceSpans[0].ScopeSpans) != len(want) {
			t.Fatalf("scopes %q, want %d", order, len(want))
		}
		for name, spans := range want {
			if len(got[name]) != len(spans) {
				t.Fatalf("scope %q: %d spans, want %d", name, len(got[name]), len(spans))
			}
			for i := range spans {
				equal(t, "span of scope "+name, got[name][i], spans[i])
			}
		}
		b.Reset()
		if b.Len() != 0 || b.Batch() != nil {
			t.Fatal("not empty after Reset")
		}
	}
}

func TestBuilderScopeHeader(t *testing.T) {
	s := numbered(1)
	s.Scope = &Scope{Name: "a\xff", DroppedAttributes: 1, Attributes: []attribute.KeyValue{{}, attribute.String("k", "\xff")}}
	b, m := submitted(t, &Resource{Attributes: []attribute.KeyValue{{}}, DroppedAttributes: 4}, s)
	scope := m.ResourceSpans[0].ScopeSpans[0].Scope
	if scope.Name != "a\uFFFD" || scope.DroppedAttributesCount != 2 || len(scope.Attributes) != 1 || scope.Attributes[0].Value.GetStringValue() != "\uFFFD" {
		t.Errorf("scope %v", scope)
	}
	if r := m.ResourceSpans[0].Resource; r.DroppedAttributesCount != 5 || len(r.Attributes) != 0 {
		t.Errorf("resource %v", r)
	}
	if got := slices.Collect(b.Spans()); got[0].Scope.DroppedAttributes != 2 || got[0].Resource.DroppedAttributes != 5 {
		t.Errorf("decoded %+v", got[0])
	}
}

// TestBuilderRequests joins encoded requests, alone and with spans of one scope and of two.
func TestBuilderRequests(t *testing.T) {
	request := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{
		{SchemaUrl: "one", ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{officialSpan(numbered(100)), officialSpan(numbered(101))}}}},
		{ScopeSpans: []*tracepb.ScopeSpans{{SchemaUrl: "two", Spans: []*tracepb.Span{officialSpan(numbered(102))}}}},
	}}
	encoded, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	for scopes := range 3 {
		core, _ := NewCore(WithResource(&Resource{}))
		p, _ := core.Register()
		b := core.NewBuilder()
		var want []uint64
		for range 2 {
			b.appendRequest(encoded, 3)
			want = append(want, 100, 101, 102)
		}
		for i := range scopes {
			s := numbered(uint64(i))
			s.Scope = &Scope{Name: fmt.Sprint(i)}
			p.TrySubmit(s)
			want = append(want, uint64(i))
		}
		core.ConsumeUpTo(10, b)
		m := official(t, b.Batch())
		if got := numbers(t, b.Batch()); !slices.Equal(got, want) {
			t.Errorf("%d scopes: %v, want %v", scopes, got, want)
		}
		m.ResourceSpans = m.ResourceSpans[:4]
		equal(t, "joined requests", m, &tracepb.TracesData{ResourceSpans: append(request.ResourceSpans[:2:2], request.ResourceSpans...)})
	}
}

// TestBuilderMemory: a batch that was much larger than the limit is not kept.
func TestBuilderMemory(t *testing.T) {
	core, _ := NewCore(WithResource(&Resource{}), WithBatchBytes(1<<10), WithRingBits(12))
	p, _ := core.Register()
	b := core.NewBuilder()
	big := numbered(1)
	big.Name = strings.Repeat("x", 1<<18)
	p.TrySubmit(big)
	core.ConsumeUpTo(1, b)
	if !b.Full() || b.memory() < 1<<18 {
		t.Fatalf("full %t, %d bytes", b.Full(), b.memory())
	}
	if b.Reset(); b.memory() != 0 {
		t.Errorf("keeps %d bytes", b.memory())
	}
	p.TrySubmit(numbered(2))
	core.ConsumeUpTo(1, b)
	if b.Reset(); b.memory() == 0 {
		t.Error("keeps nothing of a small batch")
	}
}

func TestBatch(t *testing.T) {
	var spans []*Span
	for i := range 100 {
		s := numbered(uint64(i))
		s.TraceID = [16]byte{byte(i%7) + 1}
		spans = append(spans, s)
	}
	b, _ := submitted(t, &Resource{}, spans...)
	parts, got := 0, []uint64(nil)
	for part := range b.Split(1000) {
		if len(part.Bytes()) > 1000 {
			t.Errorf("a part of %d bytes", len(part.Bytes()))
		}
		got = append(got, numbers(t, part)...)
		parts++
	}
	if want := numbers(t, b); parts < 5 || !slices.Equal(got, want) {
		t.Errorf("%d parts: %v, want %v", parts, got, want)
	}
	for part := range b.Split(len(b.Bytes())) {
		if part != b {
			t.Error("split without need")
		}
	}
	i := 0
	for id, spans := range b.Traces() {
		if int(id[0]) != i+1 || len(spans) != len(got)/7+map[bool]int{true: 1}[i < len(got)%7] {
			t.Errorf("trace %d is %v with %d spans", i, id, len(spans))
		}
		for j, s := range spans {
			if numberOf(s.SpanID) != uint64(i+7*j) {
				t.Errorf("trace %d: span %d is %v", i, j, s.SpanID)
			}
		}
		i++
	}
	clone := b.Clone()
	clear(b.request)
	if again, err := NewBatch(clone.Bytes()); err != nil || again.Len() != 100 {
		t.Errorf("clone: %v", err)
	}
	if _, err := NewBatch([]byte{1}); err == nil {
		t.Error("garbage is a batch")
	}
}
