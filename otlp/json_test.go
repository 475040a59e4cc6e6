package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestJSONGolden: byte for byte what the OpenTelemetry Collector writes.
func TestJSONGolden(t *testing.T) {
	req, want := golden(t, "rich.pb"), golden(t, "rich.json")
	if !proto.Equal(decode(t, req), richSample()) {
		t.Error("testdata/rich.pb is not richSample")
	}
	got, err := AppendJSON([]byte("x"), req)
	if err != nil || !bytes.Equal(got[1:], want) {
		t.Errorf("%v\nhave %s\nwant %s", err, got[1:], want)
	}
}

// withPresent is m as the JSON form has it: what is always there is there, ids of zeros are not, and
// unknown fields are gone.
func withPresent(t testing.TB, m *request) *request {
	out := new(request)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(encode(t, m), out); err != nil {
		t.Fatal(err)
	}
	id := func(b []byte) []byte {
		if len(bytes.Trim(b, "\x00")) == 0 {
			return nil
		}
		return b
	}
	for _, rs := range out.ResourceSpans {
		if rs.Resource == nil {
			rs.Resource = &resourcepb.Resource{}
		}
		valuesPresent(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			if ss.Scope == nil {
				ss.Scope = &commonpb.InstrumentationScope{}
			}
			valuesPresent(ss.Scope.Attributes)
			for _, s := range ss.Spans {
				if s.Status == nil {
					s.Status = &tracepb.Status{}
				}
				s.TraceId, s.SpanId, s.ParentSpanId = id(s.TraceId), id(s.SpanId), id(s.ParentSpanId)
				valuesPresent(s.Attributes)
				for _, e := range s.Events {
					valuesPresent(e.Attributes)
				}
				for _, l := range s.Links {
					l.TraceId, l.SpanId = id(l.TraceId), id(l.SpanId)
					valuesPresent(l.Attributes)
				}
			}
		}
	}
	return out
}

func valuesPresent(kvs []*commonpb.KeyValue) {
	for _, kv := range kvs {
		if kv.Value == nil {
			kv.Value = &commonpb.AnyValue{}
		}
		valuePresent(kv.Value)
	}
}

func valuePresent(v *commonpb.AnyValue) {
	valuesPresent(v.GetKvlistValue().GetValues())
	for _, e := range v.GetArrayValue().GetValues() {
		valuePresent(e)
	}
}

var (
	hexIDs    = regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"([0-9a-f]*)"`)
	base64IDs = regexp.MustCompile(`"(traceId|spanId|parentSpanId|trace_id|span_id|parent_span_id)":\s*"([^"]*)"`)
)

// toProtoJSON makes protobuf's JSON of OTLP's: ids in base64.
func toProtoJSON(b []byte) []byte {
	return hexIDs.ReplaceAllFunc(b, func(m []byte) []byte {
		p := hexIDs.FindSubmatch(m)
		id, _ := hex.DecodeString(string(p[2]))
		return []byte(`"` + string(p[1]) + `":"` + base64.StdEncoding.EncodeToString(id) + `"`)
	})
}

// fromProtoJSON makes OTLP's JSON of protobuf's, with ids in capitals.
func fromProtoJSON(b []byte) []byte {
	return base64IDs.ReplaceAllFunc(b, func(m []byte) []byte {
		p := base64IDs.FindSubmatch(m)
		id, _ := base64.StdEncoding.DecodeString(string(p[2]))
		return []byte(`"` + string(p[1]) + `":"` + strings.ToUpper(hex.EncodeToString(id)) + `"`)
	})
}

// TestJSONAgainstProtoJSON: what we write, the official decoder reads; what it writes, in each of its
// styles, we read; both equal.
func TestJSONAgainstProtoJSON(t *testing.T) {
	for name, m := range map[string]*request{"rich": richSample(), "load": loadSample(3), "split": splitSample(), "empty": {}} {
		ours, err := AppendJSON(nil, encode(t, m))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := new(request)
		if err := protojson.Unmarshal(toProtoJSON(ours), got); err != nil {
			t.Fatalf("%s: the official decoder: %v", name, err)
		}
		if !proto.Equal(got, withPresent(t, m)) {
			t.Errorf("%s: the official decoder reads something else", name)
		}
		for style, o := range map[string]protojson.MarshalOptions{
			"plain": {}, "indented, numbers": {Multiline: true, UseEnumNumbers: true}, "snake case": {UseProtoNames: true},
			"everything": {EmitUnpopulated: true}, "defaults": {EmitDefaultValues: true},
		} {
			official, err := o.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			req, err := AppendFromJSON([]byte("x"), fromProtoJSON(official))
			if err != nil {
				t.Fatalf("%s, %s: %v", name, style, err)
			}
			if !proto.Equal(decode(t, req[1:]), m) {
				t.Errorf("%s, %s: not what was written", name, style)
			}
			if _, err := Validate(req[1:]); err != nil {
				t.Errorf("%s, %s: %v", name, style, err)
			}
		}
	}
}

// TestJSONOfOddOrder: the JSON of a request whose fields come in any order and number is that of its
// normal form.
func TestJSONOfOddOrder(t *testing.T) {
	for name, req := range map[string][]byte{
		"span": inSpan(ld(99, []byte("?")), ld(5, []byte("early")), ld(9, ld(1, []byte("a")), ld(2, vi(3, 1))), ld(15, ld(2, []byte("m"))), ld(1, idBytes(16, 1)),
			ld(9, ld(2, ld(1, []byte("v"))), ld(1, []byte("b"))), ld(5, []byte("late")), ld(15, vi(3, 2)), vi(6, 2), vi(6, 0)),
		"envelope": ld(1, ld(3, []byte("u")), ld(2, ld(2), ld(1, ld(1, []byte("n"))), ld(2), ld(1, ld(2, []byte("v")))), ld(1, vi(2, 1)), ld(2), ld(1, vi(2, 0))),
		"oneof":    inSpan(ld(9, ld(2, ld(5, ld(1)), vi(3, 1), ld(5, ld(1), ld(1)), ld(5, ld(1)))), ld(9, ld(2, ld(1, []byte("s")), vi(2, 0)))),
		"varints":  inSpan(vi(6, 1<<63), vi(10, 1<<40), ld(9, ld(2, vi(2, 77))), ld(15, vi(3, 1<<32-1))),
	} {
		got, err := AppendJSON(nil, req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		normal := new(request)
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(req, normal); err != nil {
			t.Fatal(err)
		}
		want, err := AppendJSON(nil, encode(t, normal))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\nhave %s\nwant %s", name, err, got, want)
		}
	}
}

func TestAppendJSONMalformed(t *testing.T) {
	got, err := AppendJSON([]byte("kept"), inSpan(ld(1, []byte{1})))
	var syntax *SyntaxError
	if string(got) != "kept" || !errors.As(err, &syntax) {
		t.Errorf("%q, %v", got, err)
	}
}

func spanJSON(fields string) string {
	return `{"resourceSpans":[{"scopeSpans":[{"spans":[{` + fields + `}]}]}]}`
}

func valueJSON(v string) string { return spanJSON(`"attributes":[{"value":` + v + `}]`) }

func TestAppendFromJSON(t *testing.T) {
	value := func(fields ...[]byte) []byte { return inSpan(ld(9, ld(2, fields...))) }
	double := func(bits uint64) []byte { return AppendFixed64(nil, 4, bits) }
	for _, c := range []struct {
		name, json string
		want       []byte
	}{
		{"empty object", `{}`, nil},
		{"white space", " \t\r\n{ } \n", nil},
		{"null at the top of a field", `{"resourceSpans":null}`, nil},
		{"empty array", `{"resourceSpans":[]}`, nil},
		{"null element", `{"resourceSpans":[null,{}]}`, cat(ld(1), ld(1))},
		{"nulls", spanJSON(`"traceId":null,"name":null,"kind":null,"attributes":null,"status":null,"flags":null`), inSpan()},
		{"unknown keys", `{"x":{"y":[1,-2.5e3,"\"",true,false,null,{}]},"resourceSpans":[{"":"", "z":1}]}`, ld(1)},
		{"defaults", spanJSON(`"name":"","kind":0,"flags":0,"startTimeUnixNano":"0","traceId":"","events":[]`), inSpan()},
		{"ids", spanJSON(`"traceId":"5B8EFFF798038103D269B633813FC60c","spanId":"eee19b7ec3c1b174"`),
			inSpan(ld(1, []byte("\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c")), ld(2, []byte("\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74")))},
		{"times as numbers", spanJSON(`"startTimeUnixNano":1544712660000000000,"endTimeUnixNano":18446744073709551615`),
			inSpan(AppendFixed64(nil, 7, 1544712660000000000), AppendFixed64(nil, 8, 1<<64-1))},
		{"enum name", spanJSON(`"kind":"SPAN_KIND_CLIENT","status":{"code":"STATUS_CODE_ERROR"}`), inSpan(vi(6, 3), ld(15, vi(3, 2)))},
		{"unknown enum number", spanJSON(`"kind":-1`), inSpan(vi(6, 1<<64-1))},
		{"snake case", `{"resource_spans":[{"scope_spans":[{"schema_url":"u"}]}]}`, ld(1, ld(2, ld(3, []byte("u"))))},
		{"escaped key", `{"resource\u0053pans":[{}]}`, ld(1)},
		{"given twice", spanJSON(`"kind":3,"kind":0,"name":"a","name":"","status":{"code":1},"status":{"message":"m"}`),
			inSpan(vi(6, 3), vi(6, 0), ld(5, []byte("a")), ld(5), ld(15, vi(3, 1)), ld(15, ld(2, []byte("m"))))},
		{"string", valueJSON(`{"stringValue":"\"\\\/\b\f\n\r\t\u00e9\uD83C\uDF89\u0000"}`), value(ld(1, []byte("\"\\/\b\f\n\r\té🎉\x00")))},
		{"lone surrogates", valueJSON(`{"stringValue":"\ud83c|\udf89|\ud83cx\ud83c\ud83c\udf89"}`), value(ld(1, []byte("\ufffd|\ufffd|\ufffdx\ufffd🎉")))},
		{"empty string", valueJSON(`{"stringValue":""}`), value(ld(1))},
		{"false", valueJSON(`{"boolValue":false}`), value(vi(2, 0))},
		{"zero", valueJSON(`{"intValue":"0"}`), value(vi(3, 0))},
		{"-0", valueJSON(`{"intValue":-0}`), value(vi(3, 0))},
		{"integer", valueJSON(`{"intValue":-5}`), value(vi(3, 1<<64-5))},
		{"integer with a point", valueJSON(`{"intValue":1.50e2}`), value(vi(3, 150))},
		{"integer beyond a double", valueJSON(`{"intValue":9007199254740993e0}`), value(vi(3, 9007199254740993))},
		{"smallest", valueJSON(`{"intValue":"-9223372036854775808"}`), value(vi(3, 1<<63))},
		{"double", valueJSON(`{"doubleValue":-1.5}`), value(double(0xbff8000000000000))},
		{"double in quotes", valueJSON(`{"doubleValue":"1e3"}`), value(double(0x408f400000000000))},
		{"NaN", valueJSON(`{"doubleValue":"NaN"}`), value(double(0x7ff8000000000001))},
		{"-Infinity", valueJSON(`{"doubleValue":"-Infinity"}`), value(double(0xfff0000000000000))},
		{"base64", valueJSON(`{"bytesValue":"+/8="}`), value(ld(7, []byte{0xfb, 0xff}))},
		{"base64 unpadded", valueJSON(`{"bytesValue":"+/8"}`), value(ld(7, []byte{0xfb, 0xff}))},
		{"base64 of URLs", valueJSON(`{"bytesValue":"-_8="}`), value(ld(7, []byte{0xfb, 0xff}))},
		{"base64 of URLs unpadded", valueJSON(`{"bytesValue":"-_8"}`), value(ld(7, []byte{0xfb, 0xff}))},
		{"array", valueJSON(`{"arrayValue":{"values":[{},null,{"arrayValue":{}}]}}`), value(ld(5, ld(1), ld(1), ld(1, ld(5))))},
		{"two members", valueJSON(`{"stringValue":"a","intValue":1}`), value(ld(1, []byte("a")), vi(3, 1))},
		{"long", spanJSON(`"name":"` + strings.Repeat("x", 20000) + `"`), inSpan(ld(5, bytes.Repeat([]byte("x"), 20000)))},
	} {
		got, err := AppendFromJSON(nil, []byte(c.json))
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v\nhave %x\nwant %x", c.name, err, got, c.want)
		}
		if _, err := Validate(got); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAppendFromJSONMalformed(t *testing.T) {
	const span = "resourceSpans[0].scopeSpans[0].spans[0]"
	for _, c := range []struct {
		json, path, reason string
		offset             int
	}{
		{``, "", "want an object, but the input ends", 0},
		{`null`, "", "want an object, have null", 0},
		{`[]`, "", "want an object, have an array", 0},
		{`{`, "", "want a key, but the input ends", 1},
		{`{"a"}`, "", "want a colon, have '}'", 4},
		{`{"a":1,}`, "", "want a key, have '}'", 7},
		{`{"a":1 "b":2}`, "", "want a comma or '}', have a string", 7},
		{`{a:1}`, "", "want a key, have 'a'", 1},
		{`{} x`, "", "something follows the end of the ExportTraceServiceRequest", 3},
		{`{"a":tru}`, "", "want a value, have a bool", 5},
		{`{"a":01}`, "", "want a value, have a number", 5},
		{`{"a":1.}`, "", "want a value, have a number", 5},
		{`{"a":-}`, "", "want a value, have a number", 5},
		{`{"a":1e}`, "", "want a value, have a number", 5},
		{`{"a":[1,]}`, "", "want a value, have ']'", 8},
		{`{"a":"`, "", "the string is not ended", 5},
		{`{"a":"\`, "", "the string is not ended", 5},
		{`{"a":"\x"}`, "", `"\\x" is no escape`, 6},
		{`{"a":"\u12g4"}`, "", `\u needs four hexadecimal digits`, 6},
		{"{\"a\":\"\x01\"}", "", "a control character in a string", 6},
		{"{\"a\":\"b\n\\\"\"}", "", "a control character in a string", 7},
		{"{\"a\":\"b\\\"\n\"}", "", "a control character in a string", 9},
		{"{\"a\":\"\xff\"}", "", "the string is not valid UTF-8", 6},
		{"{\"a\":\"\\n\xff\"}", "", "the string is not valid UTF-8", 6},
		{`{"resourceSpans":{}}`, "resourceSpans", "want an array, have an object", 17},
		{`{"resourceSpans":[1]}`, "resourceSpans[0]", "want an object, have a number", 18},
		{`{"resourceSpans":[{},{"resource":[]}]}`, "resourceSpans[1].resource", "want an object, have an array", 33},
		{`{"resourceSpans":[{}`, "resourceSpans[1]", "want a comma or ']', but the input ends", 20},
		{spanJSON(`"traceId":"12"`), span + ".traceId", "an id of 2 characters, want 32", 54},
		{spanJSON(`"spanId":"eee19b7ec3c1b17g"`), span + ".spanId", "the id is not hexadecimal", 53},
		{spanJSON(`"parentSpanId":7`), span + ".parentSpanId", "want a string, have a number", 59},
		{spanJSON(`"name":["a"]`), span + ".name", "want a string, have an array", 51},
		{spanJSON(`"kind":"CLIENT"`), span + ".kind", `"CLIENT" is no name of this enum`, 51},
		{spanJSON(`"kind":1.5`), span + ".kind", "1.5 is no integer of 64 bits", 51},
		{spanJSON(`"kind":2147483648`), span + ".kind", "2147483648 is out of range", 51},
		{spanJSON(`"flags":-1`), span + ".flags", "-1 is out of range", 52},
		{spanJSON(`"flags":4294967296`), span + ".flags", "4294967296 is out of range", 52},
		{spanJSON(`"startTimeUnixNano":"-1"`), span + ".startTimeUnixNano", "-1 is out of range", 64},
		{spanJSON(`"startTimeUnixNano":"18446744073709551616"`), span + ".startTimeUnixNano", "18446744073709551616 is no integer of 64 bits", 64},
		{spanJSON(`"startTimeUnixNano":" 1"`), span + ".startTimeUnixNano", `want an integer, have the string " 1"`, 64},
		{spanJSON(`"startTimeUnixNano":""`), span + ".startTimeUnixNano", `want an integer, have the string ""`, 64},
		{spanJSON(`"startTimeUnixNano":true`), span + ".startTimeUnixNano", "want an integer, have a bool", 64},
		{spanJSON(`"startTimeUnixNano":1e999999999999999999999`), span + ".startTimeUnixNano", "1e999999999999999999999 is no integer of 64 bits", 64},
		{spanJSON(`"startTimeUnixNano":1e2147483647`), span + ".startTimeUnixNano", "1e2147483647 is no integer of 64 bits", 64},
		{valueJSON(`{"intValue":"9223372036854775808"}`), span + ".attributes[0].value.intValue", "9223372036854775808 is out of range", 79},
		{valueJSON(`{"intValue":-9223372036854775809}`), span + ".attributes[0].value.intValue", "-9223372036854775809 is out of range", 79},
		{valueJSON(`{"doubleValue":1e999}`), span + ".attributes[0].value.doubleValue", "1e999 is out of range", 82},
		{valueJSON(`{"doubleValue":"nan"}`), span + ".attributes[0].value.doubleValue", `want a number, have the string "nan"`, 82},
		{valueJSON(`{"doubleValue":"0x1p-2"}`), span + ".attributes[0].value.doubleValue", `want a number, have the string "0x1p-2"`, 82},
		{valueJSON(`{"boolValue":"true"}`), span + ".attributes[0].value.boolValue", "want true or false, have a string", 80},
		{valueJSON(`{"bytesValue":"a"}`), span + ".attributes[0].value.bytesValue", "the bytes are not base64", 81},
		{valueJSON(`{"bytesValue":"a==="}`), span + ".attributes[0].value.bytesValue", "the bytes are not base64", 81},
	} {
		got, err := AppendFromJSON([]byte("kept"), []byte(c.json))
		var have *SyntaxError
		if string(got) != "kept" || !errors.As(err, &have) {
			t.Errorf("%s: %q, %v", c.json, got, err)
			continue
		}
		if want := (SyntaxError{Offset: c.offset, Path: c.path, Reason: c.reason}); *have != want {
			t.Errorf("%s:\n have %+v\n want %+v", c.json, *have, want)
		}
	}
}

func TestAppendFromJSONTruncated(t *testing.T) {
	b := golden(t, "rich.json")
	for n := range b {
		if _, err := AppendFromJSON(nil, b[:n:n]); err == nil {
			t.Fatalf("%d bytes of %d: no error", n, len(b))
		}
	}
}

func TestAppendFromJSONDepth(t *testing.T) {
	for depth, want := range map[int]bool{MaxDepth - 1: true, MaxDepth + 1: false} {
		v := `{"intValue":1}`
		for d := 5; d < depth; d += 2 {
			v = `{"arrayValue":{"values":[` + v + `]}}`
		}
		req, err := AppendFromJSON(nil, []byte(spanJSON(`"attributes":[{"key":"k","value":`+v+`}]`)))
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "nested deeper than 100 messages") {
			t.Errorf("depth %d: %v", depth, err)
		}
		if err == nil && !bytes.Equal(req, nested(t, depth, false)) {
			t.Errorf("depth %d: not what the official encoder writes", depth)
		}
	}
	// An empty element at a depth that an empty message may not have either.
	v := `{"arrayValue":{"values":[null]}}`
	for d := 7; d < MaxDepth-1; d += 2 {
		v = `{"arrayValue":{"values":[` + v + `]}}`
	}
	for name, c := range map[string]struct {
		json string
		ok   bool
	}{"deepest": {v, true}, "deeper": {`{"kvlistValue":{"values":[{"value":` + v + `}]}}`, false}} {
		req, err := AppendFromJSON(nil, []byte(valueJSON(c.json)))
		if _, verr := Validate(req); (err == nil) != c.ok || verr != nil {
			t.Errorf("null, %s: %v, %v", name, err, verr)
		}
	}
	for _, unknown := range []string{strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<20)} {
		if _, err := AppendFromJSON(nil, []byte(`{"a":`+unknown)); err == nil || !strings.Contains(err.Error(), "nested deeper than 1000") {
			t.Errorf("unknown: %v", err)
		}
	}
}

func FuzzAppendJSON(f *testing.F) {
	for _, req := range smallSamples(f) {
		f.Add(req)
	}
	f.Add(inSpan(ld(9, ld(2, ld(5, ld(1)), vi(3, 1), ld(5, ld(1), ld(1)), ld(5, ld(1))))))
	f.Fuzz(func(t *testing.T, req []byte) {
		j, err := AppendJSON(nil, req)
		if err != nil {
			return
		}
		if !json.Valid(j) {
			t.Fatalf("%x: not JSON: %s", req, j)
		}
		back, err := AppendFromJSON(nil, j)
		if err != nil {
			t.Fatalf("%x: %s: %v", req, j, err)
		}
		if want := withPresent(t, decode(t, req)); !proto.Equal(decode(t, back), want) {
			t.Fatalf("%x: %s: comes back as %x, want %v", req, j, back, want)
		}
	})
}

func FuzzAppendFromJSON(f *testing.F) {
	for _, req := range smallSamples(f) {
		j, err := AppendJSON(nil, req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(j)
	}
	f.Add([]byte(spanJSON(`"kind":3,"kind":0,"name":"a","name":"","status":{"code":1},"status":{"message":"m"}`)))
	f.Add([]byte(valueJSON(`{"stringValue":"\ud83c|\udf89|\ud83cx","intValue":1.50e2,"doubleValue":"NaN","bytesValue":"-_8"}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := AppendFromJSON(nil, b)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(b) {
				t.Fatalf("%q: error %#v", b, err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatalf("%q: accepted, but not JSON", b)
		}
		if len(req) > 2*len(b) {
			t.Fatalf("%q: %d bytes of %d", b, len(req), len(b))
		}
		if _, err := Validate(req); err != nil {
			t.Fatalf("%q: wrote %x: %v", b, req, err)
		}
		j, err := AppendJSON(nil, req)
		if err != nil {
			t.Fatal(err)
		}
		again, err := AppendFromJSON(nil, j)
		if err != nil || !proto.Equal(decode(t, again), withPresent(t, decode(t, req))) {
			t.Fatalf("%q: %s: comes back as %x, %v", b, j, again, err)
		}
	})
}
