package oteltrace

import (
	"context"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// low returns a trace id that ends in so many.
func low(n uint64) (id trace.TraceID) {
	id[0] = 0xff
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

func TestSamplers(t *testing.T) {
	local := func(flags trace.TraceFlags) context.Context {
		return trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags,
		}))
	}
	remote0, _ := remote(0, "k=v")
	remote1, _ := remote(trace.FlagsSampled, "k=v")
	parents := [5]context.Context{context.Background(), remote1, remote0, local(1), local(0)}
	const all = math.MaxUint64
	custom := AlwaysRecord(NeverSample()) // not a decider
	for _, tt := range []struct {
		sampler     Sampler
		description string
		id          trace.TraceID
		want        string // for the five kinds of parents: - drop, o record only, + sample
	}{
		{AlwaysSample(), "AlwaysOnSampler", low(0), "+++++"},
		{NeverSample(), "AlwaysOffSampler", low(0), "-----"},
		{TraceIDRatioBased(0.5), "TraceIDRatioBased{0.5}", low(all >> 1), "+++++"}, // 2^63-1 halved is below 2^62
		{TraceIDRatioBased(0.5), "TraceIDRatioBased{0.5}", low(1 << 63), "-----"},
		{TraceIDRatioBased(0.0001), "TraceIDRatioBased{0.0001}", low(0), "+++++"},
		{TraceIDRatioBased(1), "TraceIDRatioBased{1}", low(all), "+++++"},
		{TraceIDRatioBased(7), "TraceIDRatioBased{1}", low(all), "+++++"},
		{TraceIDRatioBased(0), "TraceIDRatioBased{0}", low(0), "-----"},
		{TraceIDRatioBased(-1), "TraceIDRatioBased{0}", low(0), "-----"},
		{TraceIDRatioBased(math.NaN()), "TraceIDRatioBased{0}", low(0), "-----"},
		{
			ParentBased(AlwaysSample()),
			"ParentBased{root:AlwaysOnSampler,remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}",
			low(0), "++-+-",
		},
		{
			ParentBased(NeverSample(), WithRemoteParentSampled(NeverSample()), WithRemoteParentNotSampled(AlwaysSample()),
				WithLocalParentSampled(NeverSample()), WithLocalParentNotSampled(TraceIDRatioBased(0.25))),
			"ParentBased{root:AlwaysOffSampler,remoteParentSampled:AlwaysOffSampler,remoteParentNotSampled:AlwaysOnSampler,localParentSampled:AlwaysOffSampler,localParentNotSampled:TraceIDRatioBased{0.25}}",
			low(0), "--+-+",
		},
		{
			ParentBased(custom, WithLocalParentNotSampled(custom)),
			"ParentBased{root:AlwaysRecord{root:AlwaysOffSampler},remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysRecord{root:AlwaysOffSampler}}",
			low(0), "o+-+o",
		},
		{ParentBased(nil, WithLocalParentSampled(nil)), ParentBased(AlwaysSample()).Description(), low(0), "++-+-"},
		{AlwaysRecord(AlwaysSample()), "AlwaysRecord{root:AlwaysOnSampler}", low(0), "+++++"},
		{RateLimited(0, 0), "RateLimited{0}", low(0), "-----"},
	} {
		t.Run(tt.description, func(t *testing.T) {
			if got := tt.sampler.Description(); got != tt.description {
				t.Errorf("description %s", got)
			}
			for i, ctx := range parents {
				want := map[byte]SamplingDecision{'-': Drop, 'o': RecordOnly, '+': RecordAndSample}[tt.want[i]]
				parent := trace.SpanContextFromContext(ctx)
				got := tt.sampler.ShouldSample(SamplingParameters{ParentContext: ctx, TraceID: tt.id})
				if got.Decision != want || got.Tracestate.String() != parent.TraceState().String() {
					t.Errorf("parent %d: %v with %q, want %v", i, got.Decision, got.Tracestate, want)
				}
				if v := verdictsOf(tt.sampler)[ancestryOf(parent)]; v != want && v != ask {
					t.Errorf("parent %d: the verdict is %v without asking", i, v)
				}
				if d, ok := tt.sampler.(decider); ok && d.decide(tt.id, ancestryOf(parent)) != want {
					t.Errorf("parent %d: as a decider it decides otherwise", i)
				}
			}
		})
	}
}

func TestTraceIDRatioBasedIsMonotonic(t *testing.T) {
	lower, higher := TraceIDRatioBased(0.1), TraceIDRatioBased(0.3)
	kept := [2]int{}
	for range 10_000 {
		p := SamplingParameters{ParentContext: context.Background(), TraceID: randomTraceID()}
		l, h := lower.ShouldSample(p).Decision, higher.ShouldSample(p).Decision
		if l > h {
			t.Fatalf("%v is kept by the lower ratio only", p.TraceID)
		}
		kept[0] += int(l) / int(RecordAndSample)
		kept[1] += int(h) / int(RecordAndSample)
	}
	// Six standard deviations.
	if kept[0] < 820 || kept[0] > 1180 || kept[1] < 2725 || kept[1] > 3275 {
		t.Errorf("kept %v of 10 000", kept)
	}
}

func TestRateLimited(t *testing.T) {
	s := RateLimited(1e-6, 3) // none comes back during the test
	kept := 0
	for range 10 {
		if s.ShouldSample(SamplingParameters{ParentContext: context.Background()}).Decision == RecordAndSample {
			kept++
		}
	}
	if kept != 3 || s.Description() != "RateLimited{1e-06}" {
		t.Errorf("kept %d, want 3; %s", kept, s.Description())
	}
}

func TestNewSamplerFromEnv(t *testing.T) {
	describe := func(root string) string {
		return strings.Replace(ParentBased(AlwaysSample()).Description(), "AlwaysOnSampler", root, 1)
	}
	for _, tt := range []struct {
		name, arg, want string
		err             bool
	}{
		{"", "", describe("AlwaysOnSampler"), false},
		{"always_on", "", "AlwaysOnSampler", false},
		{" Always_Off ", "x", "AlwaysOffSampler", false},
		{"traceidratio", "", "TraceIDRatioBased{1}", false},
		{"traceidratio", "0.25", "TraceIDRatioBased{0.25}", false},
		{"traceidratio", "1.5", "TraceIDRatioBased{1}", true},
		{"traceidratio", "-1", "TraceIDRatioBased{1}", true},
		{"traceidratio", "NaN", "TraceIDRatioBased{1}", true},
		{"traceidratio", "many", "TraceIDRatioBased{1}", true},
		{"parentbased_always_on", "", describe("AlwaysOnSampler"), false},
		{"parentbased_always_off", "", describe("AlwaysOffSampler"), false},
		{"parentbased_traceidratio", "0.5", describe("TraceIDRatioBased{0.5}"), false},
		{"parentbased_traceidratio", "2", describe("TraceIDRatioBased{1}"), true},
		{"parentbased_", "", describe("AlwaysOnSampler"), true},
		{"jaeger_remote", "", describe("AlwaysOnSampler"), true},
	} {
		t.Setenv("OTEL_TRACES_SAMPLER", tt.name)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", tt.arg)
		s, err := NewSamplerFromEnv()
		if s.Description() != tt.want || (err != nil) != tt.err {
			t.Errorf("%q %q: %s, %v; want %s", tt.name, tt.arg, s.Description(), err, tt.want)
		}
		if got := NewTracerProvider(nil, quiet).sampler.Description(); got != tt.want {
			t.Errorf("provider has %s, want %s", got, tt.want)
		}
	}
	if got := NewTracerProvider(nil, WithSampler(NeverSample()), WithSampler(nil)).sampler; got != NeverSample() {
		t.Error("the environment beats the option")
	}
}

// TestVerdicts: which samplers need not be asked.
func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		sampler Sampler
		want    verdicts
	}{
		{AlwaysSample(), verdicts{RecordAndSample, RecordAndSample, RecordAndSample, RecordAndSample, RecordAndSample}},
		{ParentBased(AlwaysSample()), verdicts{RecordAndSample, RecordAndSample, Drop, RecordAndSample, Drop}},
		{ParentBased(TraceIDRatioBased(0.5), WithLocalParentSampled(NeverSample())), verdicts{ask, RecordAndSample, Drop, Drop, Drop}},
		{TraceIDRatioBased(0.5), verdicts{ask, ask, ask, ask, ask}},
		{ConsistentProbabilityBased(1), verdicts{ask, ask, ask, ask, ask}},
		{ParentBased(ConsistentProbabilityBased(1)), verdicts{ask, ask, ask, ask, ask}},
	} {
		if got := verdictsOf(tt.sampler); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.sampler.Description(), got, tt.want)
		}
	}
}
