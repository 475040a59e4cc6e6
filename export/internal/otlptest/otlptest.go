// Package otlptest has what the tests of the OTLP exporters share: batches whose
// spans can be told apart, certificates, and a watch over goroutines.
package otlptest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ringtail-otel/ringtail"
)

// Batch returns a batch of n spans with the span ids first, first+1, …, each with an
// attribute of so many bytes.
func Batch(t testing.TB, first, n, bytes int) *ringtail.Batch {
	t.Helper()
	spans := make([]*tracepb.Span, n)
	for i := range spans {
		id := binary.BigEndian.AppendUint64(nil, uint64(first+i))
		spans[i] = &tracepb.Span{
			TraceId: append(make([]byte, 8), id...), SpanId: id, Name: "GET /users",
			StartTimeUnixNano: 1_700_000_000_000_000_000, EndTimeUnixNano: 1_700_000_000_010_000_000,
			Attributes: []*commonpb.KeyValue{{Key: "payload", Value: &commonpb.AnyValue{
				Value: &commonpb.AnyValue_StringValue{StringValue: strings.Repeat("x", bytes)}}}},
		}
	}
	return batchOf(t, spans)
}

// Realistic returns a batch of n spans as a web service has them: random ids, a few
// names and routes, five attributes (three strings, one integer, one boolean), about
// 220 bytes each. It is the same batch at every call.
func Realistic(t testing.TB, n int) *ringtail.Batch {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func(key, value string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
	}
	spans := make([]*tracepb.Span, n)
	now := uint64(1_700_000_000_000_000_000)
	var trace []byte
	for i := range spans {
		if i%8 == 0 {
			trace = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, rnd.Uint64()), rnd.Uint64())
		}
		now += rnd.Uint64N(100_000)
		route := fmt.Sprintf("/api/v1/resource-%d/{id}", rnd.IntN(20))
		spans[i] = &tracepb.Span{
			TraceId: trace, SpanId: binary.BigEndian.AppendUint64(nil, rnd.Uint64()),
			ParentSpanId: binary.BigEndian.AppendUint64(nil, rnd.Uint64()), Flags: 0x101,
			Name: "GET " + route, Kind: tracepb.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: now, EndTimeUnixNano: now + rnd.Uint64N(50_000_000),
			Attributes: []*commonpb.KeyValue{
				text("http.request.method", "GET"), text("http.route", route),
				text("user.id", fmt.Sprintf("user-%06d", rnd.IntN(100_000))),
				{Key: "http.response.status_code", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 200}}},
				{Key: "cache.hit", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: i%3 == 0}}},
			},
		}
	}
	return batchOf(t, spans)
}

func batchOf(t testing.TB, spans []*tracepb.Span) *ringtail.Batch {
	t.Helper()
	req, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "otlptest"}, Spans: spans}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := ringtail.NewBatch(req)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// IDs decodes a request with the official types and returns its span ids, in order.
func IDs(t testing.TB, request []byte) []int {
	t.Helper()
	var data tracepb.TracesData // on the wire the same as ExportTraceServiceRequest
	if err := proto.Unmarshal(request, &data); err != nil {
		t.Error(err)
	}
	return idsOf(&data)
}

func idsOf(data *tracepb.TracesData) []int {
	var ids []int
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				ids = append(ids, int(binary.BigEndian.Uint64(s.GetSpanId())))
			}
		}
	}
	return ids
}

// NoLeaks fails the test when, some time after everything else it has registered
// before has been cleaned up, goroutines run that did not run at the call.
func NoLeaks(t testing.TB) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		// Goroutines that have been told to end need to be scheduled for it.
		deadline := time.Now().Add(5 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// Pieces returns the requests that a batch comes to when it is cut into about n, each
// in memory of its own.
func Pieces(t testing.TB, b *ringtail.Batch, n int) [][]byte {
	t.Helper()
	if n == 1 {
		return [][]byte{b.Bytes()}
	}
	var requests [][]byte
	for part := range b.Split(b.Size()/n + 128) {
		requests = append(requests, part.Bytes())
	}
	if len(requests) < n/2 || len(requests) > 2*n {
		t.Fatalf("%d pieces, want about %d", len(requests), n)
	}
	return requests
}
