package otlp

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fill sets fields of m at random, any that the official schema has: tests that use it also notice when
// the schema grows beyond our tables.
func fill(rng *rand.Rand, m protoreflect.Message, depth int) {
	fds := m.Descriptor().Fields()
	for i := range fds.Len() {
		fd := fds.Get(i)
		if rng.IntN(3) == 0 {
			continue
		}
		switch {
		case fd.Message() != nil && depth > 11:
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range rng.IntN(4) {
				if fd.Message() != nil {
					fill(rng, list.AppendMutable().Message(), depth+1)
				} else {
					list.Append(scalarValue(rng, fd))
				}
			}
		case fd.Message() != nil:
			fill(rng, m.Mutable(fd).Message(), depth+1)
		default:
			m.Set(fd, scalarValue(rng, fd))
		}
	}
}

func scalarValue(rng *rand.Rand, fd protoreflect.FieldDescriptor) protoreflect.Value {
	bits := rng.Uint64() >> rng.IntN(64)
	switch fd.Kind() {
	case protoreflect.StringKind:
		pieces := []string{"a", "service.name", "é", "世界", "🎉", "\"", "\\", "\x00", "\n", "/", "\u2028"}
		s := ""
		for range rng.IntN(5) {
			s += pieces[rng.IntN(len(pieces))]
		}
		return protoreflect.ValueOfString(s)
	case protoreflect.BytesKind:
		switch fd.Name() {
		case "trace_id":
			return protoreflect.ValueOfBytes(idBytes(16*rng.IntN(2), byte(bits)))
		case "span_id", "parent_span_id":
			return protoreflect.ValueOfBytes(idBytes(8*rng.IntN(2), byte(bits)))
		}
		return protoreflect.ValueOfBytes(idBytes(rng.IntN(200), byte(bits)))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(bits&1 != 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rng.IntN(8) - 1))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(bits))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(bits))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(bits) * int64(1-2*rng.IntN(2)))
	case protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(bits)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(math.Float64frombits(rng.Uint64()))
	}
	panic("otlp: a new kind of field: " + string(fd.FullName()))
}

// TestRandomRequests: whatever the official encoder writes is accepted, counted, viewed, split and
// turned to JSON and back as the official decoders see it.
func TestRandomRequests(t *testing.T) {
	const seed = 20
	n, spans := 1000, 0
	if testing.Short() {
		n = 200
	}
	for i := range n {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		m := new(request)
		fill(rng, m.ProtoReflect(), 0)
		req := encode(t, m)
		if !verdicts(t, req) {
			_, err := Validate(req)
			t.Fatalf("seed %d, request %d: %v", seed, i, err)
		}
		sameViews(t, req)

		j, err := AppendJSON(nil, req)
		if err != nil {
			t.Fatal(err)
		}
		official := new(request)
		if err := protojson.Unmarshal(toProtoJSON(j), official); err != nil || !proto.Equal(official, withPresent(t, m)) {
			t.Fatalf("seed %d, request %d: the official decoder, of our JSON: %v", seed, i, err)
		}
		theirs, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := AppendFromJSON(nil, fromProtoJSON(theirs))
		if err != nil || !proto.Equal(decode(t, back), m) {
			t.Fatalf("seed %d, request %d: of official JSON: %v", seed, i, err)
		}

		joined := bytes.Join(collect(req, 1+rng.IntN(len(req)+1)), nil)
		got, want := flatten(decode(t, joined)), flatten(m)
		if len(got) != len(want) {
			t.Fatalf("seed %d, request %d: %d spans after Split, want %d", seed, i, len(got), len(want))
		}
		for k := range got {
			if !proto.Equal(got[k], want[k]) {
				t.Fatalf("seed %d, request %d: span %d differs after Split", seed, i, k)
			}
		}
		if spans += len(want); t.Failed() {
			t.Fatalf("seed %d, request %d", seed, i)
		}
	}
	if spans < n/2 {
		t.Errorf("%d spans in %d requests: the test tests too little", spans, n)
	}
}

func collect(req []byte, maxBytes int) (parts [][]byte) {
	for part := range Split(req, maxBytes) {
		parts = append(parts, part)
	}
	return parts
}
