package otelsdk

import (
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ringtail-otel/ringtail/oteltrace"
)

// NewSampler makes a sampler of the SDK one of package oteltrace, for example as the
// root of [oteltrace.ParentBased].
func NewSampler(s sdktrace.Sampler) oteltrace.Sampler {
	if back, ok := s.(toSDK); ok {
		return back.Sampler
	}
	return fromSDK{s}
}

// NewSDKSampler makes a sampler of package oteltrace one of the SDK.
func NewSDKSampler(s oteltrace.Sampler) sdktrace.Sampler {
	if back, ok := s.(fromSDK); ok {
		return back.Sampler
	}
	return toSDK{s}
}

type fromSDK struct{ sdktrace.Sampler }

func (s fromSDK) ShouldSample(p oteltrace.SamplingParameters) oteltrace.SamplingResult {
	r := s.Sampler.ShouldSample(sdktrace.SamplingParameters{
		ParentContext: p.ParentContext, TraceID: p.TraceID, Name: p.Name, Kind: p.Kind,
		Attributes: p.Attributes, Links: p.Links,
	})
	out := oteltrace.SamplingResult{Attributes: r.Attributes, Tracestate: r.Tracestate}
	switch r.Decision {
	case sdktrace.RecordOnly:
		out.Decision = oteltrace.RecordOnly
	case sdktrace.RecordAndSample:
		out.Decision = oteltrace.RecordAndSample
	}
	return out
}

type toSDK struct{ oteltrace.Sampler }

func (s toSDK) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	r := s.Sampler.ShouldSample(oteltrace.SamplingParameters{
		ParentContext: p.ParentContext, TraceID: p.TraceID, Name: p.Name, Kind: p.Kind,
		Attributes: p.Attributes, Links: p.Links,
	})
	out := sdktrace.SamplingResult{Attributes: r.Attributes, Tracestate: r.Tracestate}
	switch r.Decision {
	case oteltrace.RecordOnly:
		out.Decision = sdktrace.RecordOnly
	case oteltrace.RecordAndSample:
		out.Decision = sdktrace.RecordAndSample
	}
	return out
}
