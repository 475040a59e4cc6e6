package oteltrace

import (
	"context"
	"math"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestConsistentProbabilityBased(t *testing.T) {
	const top = 1<<56 - 1
	long := strings.Repeat("x", 238)
	for _, tt := range []struct {
		probability float64
		id          trace.TraceID
		state       string
		kept        bool
		want        string
	}{
		// T = 0: everything.
		{1, low(0), "", true, "ot=th:0"},
		{2, low(0), "", true, "ot=th:0"},
		// T = 2^55 = 0x80000000000000.
		{0.5, low(1 << 55), "", true, "ot=th:8"},
		{0.5, low(1<<55 - 1), "", false, ""},
		{0.5, low(0xff<<56 | 1<<55), "", true, "ot=th:8"}, // the first of the eight bytes is not looked at
		{0.5, low(0xff<<56 | 1<<55 - 1), "", false, ""},
		// T = 3/4 · 2^56 = 0xc0000000000000, 0.1 in binary is 0x1.999999999999ap-4,
		// so that T = 2^56 − 0x1999999999999a = 0xe6666666666666.
		{0.25, low(0xc0 << 48), "", true, "ot=th:c"},
		{0.25, low(0xc0<<48 - 1), "", false, ""},
		{0.1, low(0xe6666666666666), "", true, "ot=th:e6666666666666"},
		{0.1, low(0xe6666666666665), "", false, ""},
		// 1/3 is 0x1.5555555555555p-2: T = 2^56 − 0x55555555555554.
		{1.0 / 3, low(0xaaaaaaaaaaaaac), "", true, "ot=th:aaaaaaaaaaaaac"},
		{1.0 / 3, low(0xaaaaaaaaaaaaab), "", false, ""},
		// The least that there is.
		{math.Ldexp(1, -56), low(top), "", true, "ot=th:ffffffffffffff"},
		{math.Ldexp(1, -56), low(top - 1), "", false, ""},
		{math.Ldexp(1, -58), low(top), "", false, ""},
		{0, low(top), "", false, ""},
		{-1, low(top), "", false, ""},
		{math.NaN(), low(top), "", false, ""},
		// rv in place of the trace id; it is never changed.
		{0.5, low(0), "ot=rv:80000000000000", true, "ot=th:8;rv:80000000000000"},
		{0.5, low(top), "ot=rv:7fffffffffffff", false, "ot=rv:7fffffffffffff"},
		{0.5, low(0), "ot=a:1;rv:ffffffffffffff;th:4", true, "ot=th:8;rv:ffffffffffffff;a:1"},
		// An rv that is none.
		{0.5, low(top), "ot=rv:0000", true, "ot=th:8;rv:0000"},
		{0.5, low(top), "ot=rv:0000000000000G", true, "ot=th:8;rv:0000000000000G"},
		{0.5, low(0), "ot=rv:FFFFFFFFFFFFFF", false, "ot=rv:FFFFFFFFFFFFFF"},
		// A th of the parent is replaced, and removed from what is dropped.
		{0.5, low(top), "a=1,ot=th:c", true, "ot=th:8,a=1"},
		{0.5, low(0), "a=1,ot=th:c", false, "a=1"},
		{0.5, low(0), "a=1,ot=th:c;x:y", false, "ot=x:y,a=1"},
		// What stays as it is stays in its place.
		{0.5, low(top), "a=1,ot=th:8", true, "a=1,ot=th:8"},
		{0.5, low(0), "a=1,ot=rv:00000000000000", false, "a=1,ot=rv:00000000000000"},
		// No more than 256 characters: 4 + 1 + 17 leave 233 for others.
		{0.5, low(0), "ot=" + long + ";rv:ffffffffffffff", true, "ot=th:8;rv:ffffffffffffff"},
		{0.5, low(0), "ot=" + long[:233] + ";rv:ffffffffffffff", true, "ot=th:8;rv:ffffffffffffff;" + long[:233]},
		{0.5, low(0), "ot=" + long[:234] + ";rv:ffffffffffffff", true, "ot=th:8;rv:ffffffffffffff"},
	} {
		s := ConsistentProbabilityBased(tt.probability)
		state, err := trace.ParseTraceState(tt.state)
		if err != nil {
			t.Fatal(err)
		}
		ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceState: state}))
		got := s.ShouldSample(SamplingParameters{ParentContext: ctx, TraceID: tt.id})
		if (got.Decision == RecordAndSample) != tt.kept || got.Tracestate.String() != tt.want {
			t.Errorf("%g of %v with %q: %v, %q\nwant %v, %q", tt.probability, tt.id, tt.state, got.Decision, got.Tracestate, tt.kept, tt.want)
		}
		for part := range strings.SplitSeq(got.Tracestate.Get("ot"), ";") {
			if th, ok := strings.CutPrefix(part, "th:"); ok && (len(th) < 1 || len(th) > 14 || len(th) > 1 && strings.HasSuffix(th, "0")) {
				t.Errorf("th %q", th)
			}
		}
	}
	if got := ConsistentProbabilityBased(0.25).Description(); got != "ConsistentProbabilityBased{0.25}" {
		t.Error(got)
	}
}

// TestConsistentTrace: the threshold reaches children through ParentBased.
func TestConsistentTrace(t *testing.T) {
	h := newHarness(t, WithSampler(ParentBased(ConsistentProbabilityBased(1))))
	ctx, root := h.Tracer("a").Start(context.Background(), "root")
	_, child := h.Tracer("a").Start(ctx, "child")
	child.End()
	root.End()
	for _, s := range h.spans() {
		if s.TraceState.String() != "ot=th:0" {
			t.Errorf("%s has tracestate %q", s.Name, s.TraceState)
		}
	}
}
