package interop

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// everyType has an attribute of every type that the API has, with values that are
// easily lost on the way.
var everyType = []attribute.KeyValue{
	attribute.String("string", "Grüße, 世界 🐈 \"\\\n\x00"),
	attribute.String("string.empty", ""),
	attribute.String("string.long", strings.Repeat("ring", 4000)),
	attribute.Bool("bool.true", true),
	attribute.Bool("bool.false", false),
	attribute.Int64("int.min", math.MinInt64),
	attribute.Int64("int.max", math.MaxInt64),
	attribute.Int64("int.beyond.double", 1<<53+1),
	attribute.Int64("int.zero", 0),
	attribute.Float64("double", -0.1),
	attribute.Float64("double.zero", 0),
	attribute.Float64("double.least", math.SmallestNonzeroFloat64),
	attribute.Float64("double.most", math.MaxFloat64),
	attribute.Float64("double.inf", math.Inf(-1)),
	attribute.Float64("double.nan", math.NaN()),
	attribute.StringSlice("strings", []string{"a", "", "ß"}),
	attribute.StringSlice("strings.empty", []string{}),
	attribute.BoolSlice("bools", []bool{true, false}),
	attribute.Int64Slice("ints", []int64{math.MaxInt64, -1, 0}),
	attribute.Float64Slice("doubles", []float64{0, -2.5, 1e300}),
	{Key: "bytes", Value: attribute.ByteSliceValue([]byte{0, 0xff, 0x80, '\n'})},
	{Key: "bytes.empty", Value: attribute.ByteSliceValue(nil)},
	{Key: "mixed", Value: attribute.SliceValue(attribute.IntValue(1), attribute.StringValue("two"), attribute.SliceValue(attribute.BoolValue(true)))},
	{Key: "map", Value: attribute.MapValue(
		attribute.String("a", "1"),
		attribute.KeyValue{Key: "b", Value: attribute.MapValue(attribute.Int64("c", 2))},
	)},
	{Key: "nothing"},
}

// sample returns n spans in traces of a root and seven below it: every eighth
// has everything a span can have, the others are as they come.
func sample(t *testing.T, n int) []*ringtail.Span {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("sample seed %#x", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	state, err := trace.ParseTraceState("vendor=a:b,ot=th:8")
	if err != nil {
		t.Fatal(err)
	}
	scopes := []*ringtail.Scope{
		nil,
		{Name: "interop/plain"},
		{Name: "interop/full", Version: "1.2.3", SchemaURL: "https://opentelemetry.io/schemas/1.40.0",
			Attributes: []attribute.KeyValue{attribute.String("scope", "s"), attribute.Int("n", 1)}, DroppedAttributes: 2},
	}
	start := time.Now()
	out := make([]*ringtail.Span, n)
	var id, parent trace.SpanID
	var traceID trace.TraceID
	for i := range out {
		parent = id
		if i%8 == 0 {
			parent = trace.SpanID{}
			binary.BigEndian.PutUint64(traceID[:], rnd.Uint64())
			binary.BigEndian.PutUint64(traceID[8:], rnd.Uint64()|1)
		}
		binary.BigEndian.PutUint64(id[:], rnd.Uint64()|1)
		s := &ringtail.Span{
			TraceID: traceID, SpanID: id, ParentID: parent, Flags: trace.FlagsSampled,
			Name: fmt.Sprintf("GET /users/%d", i), Kind: trace.SpanKind(i % 6),
			Start: start.Add(time.Duration(i)), End: start.Add(time.Duration(i) + time.Millisecond),
			Attributes: []attribute.KeyValue{
				attribute.String("http.request.method", "GET"), attribute.Int("http.response.status_code", 200),
				attribute.Bool("cache.hit", i%2 == 0),
			},
			Scope: scopes[i%len(scopes)],
		}
		switch i % 8 {
		case 1:
			full(s, state)
		case 2:
			s.Status.Code = codes.Ok
		case 3:
			s.Name, s.Attributes, s.Kind = "", nil, trace.SpanKindUnspecified
		case 4:
			s.Name = "not UTF-8: \xff." // mended, and no harm to those it travels with
		}
		out[i] = s
	}
	return out
}

// full gives s everything that a span can have.
func full(s *ringtail.Span, state trace.TraceState) {
	s.TraceState, s.ParentRemote, s.Flags = state, true, 0x03
	s.Attributes = everyType
	s.DroppedAttributes, s.DroppedEvents, s.DroppedLinks = 1, math.MaxUint32, 3
	s.Status = ringtail.Status{Code: codes.Error, Description: "it broke: ✗"}
	s.Events = []ringtail.Event{
		{Name: "exception", Time: s.Start.Add(1), Attributes: everyType, DroppedAttributes: 4},
		{Name: "", Time: s.End},
	}
	other := trace.SpanContextConfig{TraceID: s.TraceID, SpanID: trace.SpanID{7}, TraceFlags: 1, TraceState: state, Remote: true}
	near := trace.SpanContextConfig{TraceID: trace.TraceID{15: 9}, SpanID: trace.SpanID{7: 9}}
	s.Links = []ringtail.Link{
		{SpanContext: trace.NewSpanContext(other), Attributes: everyType, DroppedAttributes: 5},
		{SpanContext: trace.NewSpanContext(near)},
	}
}
