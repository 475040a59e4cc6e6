package ringtail

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
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

// TestBuilderResources mixes scopes of several resources in the batches of one builder,
// each resource and scope at several addresses.
func TestBuilderResources(t *testing.T) {
	random := seeded(t)
	resource := func(i int) *Resource {
		r := &Resource{Attributes: []attribute.KeyValue{attribute.Int("n", i%3)}}
		if i >= 3 {
			r.SchemaURL = "url"
		}
		return r
	}
	const resources, names = 6, 3
	core, err := NewCore(WithResource(resource(0)))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := core.Register()
	b := core.NewBuilder()
	type key struct{ resource, name int }
	for n := uint64(0); n < 5000; {
		want := make(map[key][]uint64)
		used := make(map[int]bool)
		most := 1 + random.IntN(resources)
		for range 1 + random.IntN(60) {
			k := key{random.IntN(most), random.IntN(names)}
			s := numbered(n)
			s.Scope = &Scope{Resource: resource(k.resource)}
			if k.name > 0 {
				s.Scope.Name = fmt.Sprint(k.name)
			}
			if k.resource == 0 && random.IntN(2) == 0 {
				s.Scope.Resource = nil // the same, for it is the collector's
			}
			if k == (key{}) && random.IntN(2) == 0 {
				s.Scope = nil
			}
			want[k] = append(want[k], n)
			used[k.resource] = true
			n++
			if err := p.TrySubmit(s); err != nil {
				t.Fatal(err)
			}
		}
		core.ConsumeUpTo(1000, b)
		batch := b.Batch()
		m := official(t, batch)
		got := make(map[key][]uint64)
		for _, rs := range m.ResourceSpans {
			i := int(rs.Resource.Attributes[0].Value.GetIntValue())
			if rs.SchemaUrl != "" {
				i += 3
			}
			for _, ss := range rs.ScopeSpans {
				k := key{resource: i}
				fmt.Sscan(ss.Scope.GetName(), &k.name)
				if got[k] != nil {
					t.Fatalf("two ScopeSpans for %v", k)
				}
				for _, s := range ss.Spans {
					got[k] = append(got[k], numberOf(trace.SpanID(s.SpanId)))
				}
			}
		}
		if len(m.ResourceSpans) != len(used) || !maps.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("%d ResourceSpans for %d resources:\n got %v\nwant %v", len(m.ResourceSpans), len(used), got, want)
		}
		decoded := make(map[key][]uint64)
		for s := range batch.Spans() {
			k := key{resource: int(s.Resource.Attributes[0].Value.AsInt64())}
			if s.Resource.SchemaURL != "" {
				k.resource += 3
			}
			fmt.Sscan(s.Scope.Name, &k.name)
			decoded[k] = append(decoded[k], numberOf(s.SpanID))
		}
		if !maps.EqualFunc(decoded, want, slices.Equal) {
			t.Fatalf("decoded %v, want %v", decoded, want)
		}
		b.Reset()
	}
	if n := len(core.scopes.kept); n != resources*names {
		t.Errorf("%d scopes are kept, want %d", n, resources*names)
	}
}

// TestScopeLimitOfResources: scopes that differ by their resource alone are limited, too.
func TestScopeLimitOfResources(t *testing.T) {
	scopes := newScopes(&Resource{})
	for i := range 2 * maxScopes {
		s := &Scope{Resource: &Resource{DroppedAttributes: uint32(i)}}
		if n, ok := scopes.intern(s); ok != (i < maxScopes) || ok && n != uint32(i) {
			t.Fatalf("scope %d: %d, %t", i, n, ok)
		}
	}
	if len(scopes.resources) != maxScopes || len(scopes.resourceNumbers) != maxScopes {
		t.Errorf("%d, %d resources", len(scopes.resources), len(scopes.resourceNumbers))
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

// TestBuilderOfKeptBatch: memory of a batch that is kept is not used again, other memory is.
func TestBuilderOfKeptBatch(t *testing.T) {
	encoded := request(t, 1, 3)
	scope := &Scope{Name: "a"}
	for _, shape := range []struct {
		name   string
		spans  []*Scope
		encode bool
	}{
		{"one scope", []*Scope{nil}, false},
		{"several scopes", []*Scope{nil, scope}, false},
		{"encoded", nil, true},
		{"both", []*Scope{nil, scope}, true},
	} {
		t.Run(shape.name, func(t *testing.T) {
			core, err := NewCore()
			if err != nil {
				t.Fatal(err)
			}
			p, err := core.Register()
			if err != nil {
				t.Fatal(err)
			}
			b := core.NewBuilder()
			next := func(n uint64) *Batch {
				for _, sc := range shape.spans {
					s := numbered(n)
					s.Scope = sc
					if err := p.TrySubmit(s); err != nil {
						t.Fatal(err)
					}
				}
				core.ConsumeUpTo(10, b)
				if shape.encode {
					b.appendRequest(encoded, 3)
				}
				return b.Batch()
			}
			first := next(1)
			if b.Batch() != first {
				t.Error("the batch is another one when it is asked for again")
			}
			start := &first.Bytes()[0]
			b.Reset()
			second := next(2)
			if &second.Bytes()[0] != start {
				t.Fatal("memory is not used again: the test shows nothing")
			}
			was := slices.Clone(second.Bytes())
			second.Keep()
			b.Reset()
			third := next(3)
			if !slices.Equal(second.Bytes(), was) {
				t.Error("a batch that is kept was written over")
			}
			if third.Kept() {
				t.Error("the next batch is kept as well")
			}
			start = &third.Bytes()[0]
			b.Reset()
			if fourth := next(4); &fourth.Bytes()[0] != start {
				t.Error("memory is not used again any more")
			}
		})
	}
}
