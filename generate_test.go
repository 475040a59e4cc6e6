package ringtail

import (
	"encoding/binary"
	"math"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// source makes spans of bytes, so that a fuzzer can steer every part of them. A
// source that is used up makes zeros.
type source struct{ b []byte }

func (s *source) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *source) below(n int) int { return int(s.byte()) % n }

func (s *source) uint64() uint64 {
	var b [8]byte
	s.b = s.b[copy(b[:], s.b):]
	return binary.LittleEndian.Uint64(b[:])
}

// edges are the lengths at which an encoder does something else.
var edges = [...]int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 50, 62, 63, 64, 65, 66, 100, 120, 121, 122, 123, 124,
	125, 126, 127, 128, 129, 130, 255, 256, 300, 16383, 16384}

func (s *source) string() string {
	kind := s.byte()
	if kind < 32 {
		n := min(int(kind), len(s.b)) // the fuzzer's own bytes, UTF-8 or not
		own := string(s.b[:n])
		s.b = s.b[n:]
		return own
	}
	n := edges[s.below(len(edges))]
	if n > 1000 && s.below(8) != 0 {
		n = 70
	}
	text := []byte(strings.Repeat("abcdefghijklmnopq", n/17+1)[:n])
	if n > 0 && kind >= 200 {
		text[s.below(n)] = s.byte() | 0x80 // one byte that is not UTF-8
	} else if n > 1 && kind >= 150 {
		copy(text[s.below(n-1):], "é")
	}
	return string(text)
}

func (s *source) key() attribute.Key {
	k := s.string()
	if k == "" && s.below(4) != 0 {
		k = "k"
	}
	return attribute.Key(k)
}

func (s *source) time() time.Time {
	switch s.below(8) {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(-int64(s.uint64()%1e9), int64(s.byte()))
	case 2:
		return time.Unix(0, int64(s.byte()))
	}
	return time.Unix(0, int64(s.uint64()>>2)).UTC()
}

func (s *source) value(depth int) attribute.Value {
	n := s.below(5)
	switch s.below(13) {
	case 0:
		return attribute.Int64Value(int64(s.uint64()))
	case 1:
		return attribute.Int64Value(int64(s.byte()))
	case 2:
		return attribute.BoolValue(s.byte() > 127)
	case 3:
		return attribute.Float64Value(math.Float64frombits(s.uint64()))
	case 4:
		return attribute.ByteSliceValue([]byte(s.string()))
	case 5:
		return attribute.StringSliceValue(some(n, s.string))
	case 6:
		return attribute.Int64SliceValue(some(n, func() int64 { return int64(s.uint64()) }))
	case 7:
		return attribute.BoolSliceValue(some(n, func() bool { return s.byte() > 127 }))
	case 8:
		return attribute.Float64SliceValue(some(n, func() float64 { return float64(s.byte()) / 3 }))
	case 9:
		return attribute.Value{}
	case 10:
		if depth < 4 {
			return attribute.SliceValue(some(n, func() attribute.Value { return s.value(depth + 1) })...)
		}
	case 11:
		if depth < 4 {
			return attribute.MapValue(some(n, func() attribute.KeyValue {
				return attribute.KeyValue{Key: s.key(), Value: s.value(depth + 1)}
			})...)
		}
	}
	return attribute.StringValue(s.string())
}

func some[E any](n int, one func() E) []E {
	var es []E
	for range n {
		es = append(es, one())
	}
	return es
}

func (s *source) attributes() []attribute.KeyValue {
	return some(s.below(7), func() attribute.KeyValue {
		return attribute.KeyValue{Key: s.key(), Value: s.value(0)}
	})
}

func (s *source) traceState() trace.TraceState {
	ts, err := trace.ParseTraceState([]string{"", "a=1", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		"ot=th:8;rv:" + strings.Repeat("0", 14) + ",x=" + strings.Repeat("y", 100)}[s.below(4)])
	if err != nil {
		panic(err)
	}
	return ts
}

func (s *source) span() *Span {
	span := &Span{
		ParentRemote: s.below(2) == 1, Flags: trace.TraceFlags(s.byte()),
		Name: s.string(), Kind: trace.SpanKind(s.below(8)),
		Start: s.time(), End: s.time(),
		Attributes:        s.attributes(),
		DroppedAttributes: uint32(s.below(3)) * 100, DroppedEvents: uint32(s.below(2)) << 31, DroppedLinks: uint32(s.below(3)),
	}
	binary.BigEndian.PutUint64(span.TraceID[s.below(9):], s.uint64()|1)
	binary.BigEndian.PutUint64(span.SpanID[:], s.uint64()|1)
	if s.below(2) == 1 {
		binary.BigEndian.PutUint64(span.ParentID[:], s.uint64())
	}
	switch s.below(4) {
	case 0:
		span.Status = Status{Code: codes.Error, Description: s.string()}
	case 1:
		span.Status = Status{Code: codes.Ok, Description: "is left out"}
	case 2:
		span.Status = Status{Code: codes.Code(s.byte())}
	}
	if s.below(3) == 0 {
		span.TraceState = s.traceState()
	}
	if s.below(2) == 0 {
		span.Events = some(s.below(4), func() Event {
			return Event{Name: s.string(), Time: s.time(), Attributes: s.attributes(), DroppedAttributes: uint32(s.below(3))}
		})
	}
	if s.below(3) == 0 {
		span.Links = some(s.below(4), func() Link {
			c := trace.SpanContextConfig{TraceFlags: trace.TraceFlags(s.byte()), TraceState: s.traceState(), Remote: s.below(2) == 1}
			binary.BigEndian.PutUint64(c.TraceID[:], s.uint64())
			binary.BigEndian.PutUint64(c.SpanID[:], s.uint64())
			return Link{SpanContext: trace.NewSpanContext(c), Attributes: s.attributes(), DroppedAttributes: uint32(s.below(3))}
		})
	}
	return span
}

func (s *source) scope() *Scope {
	if s.below(3) == 0 {
		return nil
	}
	sc := &Scope{Name: s.string(), Version: s.string()}
	if s.below(2) == 0 {
		sc.SchemaURL, sc.Attributes, sc.DroppedAttributes = s.string(), s.attributes(), uint32(s.below(2))
	}
	if s.below(2) == 0 {
		sc.Resource = &Resource{SchemaURL: s.string(), Attributes: s.attributes(), DroppedAttributes: uint32(s.below(2))}
	}
	return sc
}
