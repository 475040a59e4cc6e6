package otlp

import (
	"bytes"
	"math"
	"testing"

	rpcpb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func TestTraceResponse(t *testing.T) {
	for _, c := range []struct {
		rejected int64
		message  string
		wire     []byte
		json     string
	}{
		{0, "", nil, `{}`},
		{3, "", ld(1, vi(1, 3)), `{"partialSuccess":{"rejectedSpans":"3"}}`},
		{0, "slow down", ld(1, ld(2, []byte("slow down"))), `{"partialSuccess":{"errorMessage":"slow down"}}`},
		{math.MaxInt64, "a \"b\"", ld(1, vi(1, math.MaxInt64), ld(2, []byte("a \"b\""))),
			`{"partialSuccess":{"rejectedSpans":"9223372036854775807","errorMessage":"a \"b\""}}`},
	} {
		if got := AppendTraceResponse([]byte("x"), c.rejected, c.message); !bytes.Equal(got[1:], c.wire) {
			t.Errorf("wire: %x, want %x", got[1:], c.wire)
		}
		if got := AppendTraceResponseJSON([]byte("x"), c.rejected, c.message); string(got[1:]) != c.json {
			t.Errorf("JSON: %s, want %s", got[1:], c.json)
		}
		if n, m, err := ParseTraceResponse(c.wire); n != c.rejected || m != c.message || err != nil {
			t.Errorf("ParseTraceResponse(%x) = %d, %q, %v", c.wire, n, m, err)
		}
		if n, m, err := ParseTraceResponseJSON([]byte(c.json)); n != c.rejected || m != c.message || err != nil {
			t.Errorf("ParseTraceResponseJSON(%s) = %d, %q, %v", c.json, n, m, err)
		}
	}
	// Pieces are merged, what is unknown is stepped over.
	if n, m, err := ParseTraceResponse(cat(ld(9, []byte("?")), ld(1, vi(1, 3)), ld(1, ld(2, []byte("m")), vi(7, 7)))); n != 3 || m != "m" || err != nil {
		t.Errorf("merged: %d, %q, %v", n, m, err)
	}
	if n, m, err := ParseTraceResponseJSON([]byte(` { "partialSuccess" : { "rejectedSpans" : 2, "x":[1] } } `)); n != 2 || m != "" || err != nil {
		t.Errorf("number: %d, %q, %v", n, m, err)
	}
	if _, m, err := ParseTraceResponse(AppendTraceResponse(nil, 1, "a\xff")); m != "a\ufffd" || err != nil {
		t.Errorf("a message that is not UTF-8: %q, %v", m, err)
	}
	for _, bad := range [][]byte{{0x0a}, ld(1, ld(2, []byte{0xff})), vi(1, 1), []byte("<html>")} {
		if _, _, err := ParseTraceResponse(bad); err == nil {
			t.Errorf("ParseTraceResponse(%x): no error", bad)
		}
	}
	for _, bad := range []string{"", "<html>", `[]`, `{"partialSuccess":1}`, `{} {}`} {
		if _, _, err := ParseTraceResponseJSON([]byte(bad)); err == nil {
			t.Errorf("ParseTraceResponseJSON(%s): no error", bad)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, want := range []*rpcpb.Status{{}, {Code: 3}, {Code: -1, Message: "né\n"}, {Message: "only"}, {Code: 8, Message: "busy"}} {
		wire := AppendStatus(nil, want.Code, want.Message)
		if !bytes.Equal(wire, encode(t, want)) {
			t.Errorf("%v: %x, want %x", want, wire, encode(t, want))
		}
		got := new(rpcpb.Status)
		j := AppendStatusJSON(nil, want.Code, want.Message)
		if err := protojson.Unmarshal(j, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%v: JSON %s, which is %v, %v", want, j, got, err)
		}

		// What others write has details too.
		want.Details = []*anypb.Any{{TypeUrl: "type.googleapis.com/google.rpc.Status", Value: encode(t, &rpcpb.Status{Code: 1})}}
		if code, message, err := ParseStatus(encode(t, want)); code != want.Code || message != want.Message || err != nil {
			t.Errorf("ParseStatus(%v) = %d, %q, %v", want, code, message, err)
		}
		official, err := protojson.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if code, message, err := ParseStatusJSON(official); code != want.Code || message != want.Message || err != nil {
			t.Errorf("ParseStatusJSON(%s) = %d, %q, %v", official, code, message, err)
		}
	}
	for _, bad := range []string{"", "Bad Gateway", `{"code":"x"}`} {
		if _, _, err := ParseStatusJSON([]byte(bad)); err == nil {
			t.Errorf("ParseStatusJSON(%s): no error", bad)
		}
	}
	if _, _, err := ParseStatus([]byte("Bad Gateway")); err == nil {
		t.Error("ParseStatus: no error")
	}
}
