package otlp

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// All benchmarks work on the same request: 100 spans of 463 bytes with 10 attributes, encoded by the
// official encoder. What makes the comparison with proto.Unmarshal fair: it is how receivers validate,
// count and reach the spans today. It does more (it builds objects), which is the point.

const benchSpans = 100

func benchRequest(b *testing.B) []byte {
	req := encode(b, loadSample(benchSpans))
	if per := len(req) / benchSpans; per < 455 || per > 475 {
		b.Fatalf("a span takes %d bytes, want about 463", per)
	}
	return req
}

// perSpan reports time, and size of what was handled, by the span.
func perSpan(b *testing.B, bytes int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchSpans, "ns/span")
	b.ReportMetric(float64(bytes)/benchSpans, "B/span")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkValidate(b *testing.B) {
	req := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Validate(req); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, len(req))
}

func BenchmarkValidateByProtoUnmarshal(b *testing.B) {
	req := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := proto.Unmarshal(req, new(request)); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, len(req))
}

func BenchmarkCount(b *testing.B) {
	req := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		if Count(req) != benchSpans {
			b.Fatal("wrong count")
		}
	}
	perSpan(b, len(req))
}

func BenchmarkParseSpan(b *testing.B) {
	req := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for ref := range Spans(req) {
			s, err := ParseSpan(ref.Body)
			if err != nil {
				b.Fatal(err)
			}
			n += s.AttributeCount
		}
		if n != 10*benchSpans {
			b.Fatal("wrong count")
		}
	}
	perSpan(b, len(req))
}

// BenchmarkFindAttribute is what a policy does: parse, then look for an attribute near the end.
func BenchmarkFindAttribute(b *testing.B) {
	req := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		hits := 0
		for ref := range Spans(req) {
			s, _ := ParseSpan(ref.Body)
			if v, ok := s.Attribute("cache.hit"); ok && v.Bool() {
				hits++
			}
		}
		if hits != benchSpans/2 {
			b.Fatal("wrong count")
		}
	}
	perSpan(b, len(req))
}

func BenchmarkDecodeAttributes(b *testing.B) {
	req := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for ref := range Spans(req) {
			s, _ := ParseSpan(ref.Body)
			for range s.Attributes() {
				n++
			}
		}
		if n != 10*benchSpans {
			b.Fatal("wrong count")
		}
	}
	perSpan(b, len(req))
}

func BenchmarkAppendJSON(b *testing.B) {
	req := benchRequest(b)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if out, err = AppendJSON(out[:0], req); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, len(out))
}

func BenchmarkAppendFromJSON(b *testing.B) {
	in, err := AppendJSON(nil, benchRequest(b))
	if err != nil {
		b.Fatal(err)
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		if out, err = AppendFromJSON(out[:0], in); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, len(in))
}

// BenchmarkJSONByProtoJSON is the official types' way from the wire to JSON. (Its ids would have to be
// rewritten still.)
func BenchmarkJSONByProtoJSON(b *testing.B) {
	req := benchRequest(b)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		m := new(request)
		if err := proto.Unmarshal(req, m); err != nil {
			b.Fatal(err)
		}
		var err error
		if out, err = protojson.Marshal(m); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, len(out))
}

func BenchmarkFromJSONByProtoJSON(b *testing.B) {
	in, err := protojson.Marshal(loadSample(benchSpans))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m := new(request)
		if err := protojson.Unmarshal(in, m); err != nil {
			b.Fatal(err)
		}
		if _, err := proto.Marshal(m); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, len(in))
}

// BenchmarkSplit cuts the request in about ten.
func BenchmarkSplit(b *testing.B) {
	req := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range Split(req, len(req)/10) {
			n++
		}
		if n < 10 {
			b.Fatal("too few parts")
		}
	}
	perSpan(b, len(req))
}
