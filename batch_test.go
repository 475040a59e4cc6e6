package ringtail

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ringtail-otel/ringtail/otlp"
)

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
	clear(b.Bytes())
	if again, err := NewBatch(clone.Bytes()); err != nil || again.Len() != 100 {
		t.Errorf("clone: %v", err)
	}
	if _, err := NewBatch([]byte{1}); err == nil {
		t.Error("garbage is a batch")
	}
}

// pieced makes a batch of several pieces, empty ones and such without spans among
// them, and the same in one piece.
func pieced(t testing.TB, random *rand.Rand) (many, one *Batch) {
	var requests [][]byte
	number := uint64(0)
	for range 2 + random.IntN(8) {
		var spans []*Span
		for range random.IntN(20) {
			s := numbered(number)
			s.TraceID = [16]byte{byte(number%7) + 1}
			s.Scope = &Scope{Name: string(rune('a' + random.IntN(3)))}
			spans = append(spans, s)
			number++
		}
		if len(spans) == 0 {
			// Nothing, or an envelope without spans.
			requests = append(requests, [][]byte{nil, {}, {1<<3 | otlp.BytesType, 2, 1<<3 | otlp.BytesType, 0}}[random.IntN(3)])
			continue
		}
		b, _ := submitted(t, &Resource{DroppedAttributes: uint32(random.IntN(2))}, spans...)
		requests = append(requests, b.Bytes())
	}
	one, err := NewBatch(slices.Concat(requests...))
	if err != nil {
		t.Fatal(err)
	}
	return JoinBatch(requests, int(number)), one
}

// TestBatchParts: in pieces a batch says what it says in one, and only Bytes joins them.
func TestBatchParts(t *testing.T) {
	random := seeded(t)
	for range 200 {
		many, one := pieced(t, random)
		if many.Size() != one.Size() || many.Len() != one.Len() || len(many.Parts()) < 2 || len(one.Parts()) != 1 {
			t.Fatalf("%d bytes, %d spans, %d parts", many.Size(), many.Len(), len(many.Parts()))
		}
		if !slices.Equal(slices.Concat(many.Parts()...), one.Bytes()) || !slices.Equal(one.Parts()[0], one.Bytes()) {
			t.Fatal("the parts are not the request")
		}
		clone := many.Clone()
		if !slices.Equal(clone.Bytes(), one.Bytes()) || clone.Len() != one.Len() {
			t.Fatal("the clone is another")
		}
		var got, want []*Span
		for s := range many.Spans() {
			got = append(got, s)
		}
		for s := range one.Spans() {
			want = append(want, s)
		}
		if len(got) != one.Len() {
			t.Fatalf("%d spans decoded of %d", len(got), one.Len())
		}
		for i := range want {
			equal(t, "span", officialSpan(got[i]), officialSpan(want[i]))
			if got[i].Scope.Name != want[i].Scope.Name || got[i].Resource.DroppedAttributes != want[i].Resource.DroppedAttributes {
				t.Fatalf("span %d: %+v, want %+v", i, got[i], want[i])
			}
		}
		traces := 0
		for id, spans := range many.Traces() {
			traces += len(spans)
			for _, s := range spans {
				if s.TraceID != id {
					t.Fatal("a span of another trace")
				}
			}
		}
		if traces != one.Len() {
			t.Fatalf("%d spans in traces", traces)
		}
		checkSplit(t, many, one, random)
		if many.many.joined != nil {
			t.Fatal("joined without need")
		}
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				if !slices.Equal(many.Bytes(), one.Bytes()) {
					t.Error("joined, it is another")
				}
			})
		}
		readers.Wait()
	}
}

// checkSplit: the parts of a split hold all spans in order, are within the limit or hold
// one span, and no two of them could be one.
func checkSplit(t *testing.T, many, one *Batch, random *rand.Rand) {
	for range 4 {
		limit := 1 + random.IntN(many.Size()+1)
		var got []uint64
		parts := slices.Collect(many.Split(limit))
		for i, part := range parts {
			ns := numbers(t, part.Clone())
			if got = append(got, ns...); len(ns) == 0 && part != many {
				t.Fatal("a part without spans")
			}
			if part.Size() > limit && len(ns) != 1 {
				t.Fatalf("a part of %d bytes with %d spans, the limit is %d", part.Size(), len(ns), limit)
			}
			if i > 0 && parts[i-1].Size()+part.Size() <= limit {
				t.Fatalf("parts of %d and %d bytes are not one, the limit is %d", parts[i-1].Size(), part.Size(), limit)
			}
		}
		if want := numbers(t, one); !slices.Equal(got, want) {
			t.Fatalf("split by %d: %v, want %v", limit, got, want)
		}
		taken := 0
		for range many.Split(limit) {
			if taken++; taken == 2 {
				break
			}
		}
	}
}

// TestBatchKeep: who keeps a part keeps the whole, and nothing else.
func TestBatchKeep(t *testing.T) {
	many, one := pieced(t, seeded(t))
	for _, b := range []*Batch{many, one} {
		if b.Kept() {
			t.Fatal("kept by nobody")
		}
		clone := b.Clone()
		parts := slices.Collect(b.Split(b.Size()/2 + 1))
		if len(parts) < 2 {
			t.Fatalf("%d parts", len(parts))
		}
		smaller := slices.Collect(parts[0].Split(1))
		smaller[0].Keep()
		if !smaller[0].Kept() || !parts[0].Kept() || !b.Kept() {
			t.Error("the whole is not kept with its part")
		}
		if parts[1].Kept() || clone.Kept() || b.Clone().Kept() {
			t.Error("what nobody has kept is kept")
		}
	}
}

// TestBatchOfOnePiece is not copied.
func TestBatchOfOnePiece(t *testing.T) {
	encoded := request(t, 1, 3)
	b := JoinBatch([][]byte{encoded}, 3)
	if &b.Bytes()[0] != &encoded[0] || &b.Parts()[0][0] != &encoded[0] || b.Len() != 3 {
		t.Error("copied")
	}
	if n := testing.AllocsPerRun(100, func() { b = newBatch(encoded, 3); _ = b.Bytes(); _ = b.Parts() }); n != 1 {
		t.Errorf("%v allocations", n)
	}
	if b := JoinBatch(nil, 0); b.Size() != 0 || b.Len() != 0 || len(b.Bytes()) != 0 || len(b.Clone().Bytes()) != 0 {
		t.Error("a batch of nothing is not empty")
	}
}
