package oteltrace

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/sample"
)

// Sampler decides, as a span starts, whether it is recorded, and whether it is
// exported. It is called by any number of goroutines at once. (Trace SDK, "Sampler".)
type Sampler interface {
	ShouldSample(SamplingParameters) SamplingResult
	// Description names the sampler and its configuration, for people.
	Description() string
}

// SamplingParameters is what a [Sampler] knows of a span. The slices are valid for the
// call, and must not be changed.
type SamplingParameters struct {
	ParentContext context.Context // carries the parent, if there is one
	TraceID       trace.TraceID
	Name          string
	Kind          trace.SpanKind
	Attributes    []attribute.KeyValue
	Links         []trace.Link
}

// SamplingDecision is what is to be done with a span.
type SamplingDecision uint8

// The decisions.
const (
	Drop            SamplingDecision = iota // IsRecording is false
	RecordOnly                              // IsRecording is true, and nothing is exported
	RecordAndSample                         // recorded, exported, and the sampled flag set
)

// String returns the name that the specification has for d.
func (d SamplingDecision) String() string {
	switch d {
	case Drop:
		return "DROP"
	case RecordOnly:
		return "RECORD_ONLY"
	case RecordAndSample:
		return "RECORD_AND_SAMPLE"
	}
	return fmt.Sprintf("SamplingDecision(%d)", uint8(d))
}

// SamplingResult is a [Sampler]'s answer.
type SamplingResult struct {
	Decision SamplingDecision
	// Attributes are set on the span before those of its Start. They are copied.
	Attributes []attribute.KeyValue
	// Tracestate becomes the span's. A sampler that has nothing to say returns
	// the parent's: an empty one clears it.
	Tracestate trace.TraceState
}

// ancestry is what most samplers ask of a span's parent.
type ancestry uint8

const (
	isRoot ancestry = iota
	remoteSampled
	remoteNotSampled
	localSampled
	localNotSampled
	numAncestries
)

func ancestryOf(sc trace.SpanContext) ancestry {
	return kinship(sc.IsValid(), sc.IsRemote(), sc.IsSampled())
}

func (p *parent) kin() ancestry {
	return kinship(p.valid(), p.remote, p.flags.IsSampled())
}

func kinship(valid, remote, sampled bool) ancestry {
	switch {
	case !valid:
		return isRoot
	case remote && sampled:
		return remoteSampled
	case remote:
		return remoteNotSampled
	case sampled:
		return localSampled
	}
	return localNotSampled
}

// decider is a sampler that goes by trace id and parent alone, and leaves the
// tracestate as it is. It is spared the making of its parameters.
type decider interface {
	decide(trace.TraceID, ancestry) SamplingDecision
}

// shouldSample is the ShouldSample of a decider.
func shouldSample(d decider, p SamplingParameters) SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	return SamplingResult{
		Decision:   d.decide(p.TraceID, ancestryOf(parent)),
		Tracestate: parent.TraceState(),
	}
}

// ask is the verdict of a sampler that has to be asked.
const ask SamplingDecision = 255

// verdicts are the decisions that are known beforehand: with the usual samplers, all.
type verdicts [numAncestries]SamplingDecision

func verdictsOf(s Sampler) (v verdicts) {
	for i := range v {
		v[i] = ask
		part := s
		if p, ok := s.(*parentBasedDecider); ok {
			part = p.parentBased[i]
		}
		if c, ok := part.(constant); ok {
			v[i] = c.decision
		}
	}
	return v
}

// constant decides the same way for every span.
type constant struct {
	decision    SamplingDecision
	description string
}

func (s constant) decide(trace.TraceID, ancestry) SamplingDecision  { return s.decision }
func (s constant) ShouldSample(p SamplingParameters) SamplingResult { return shouldSample(s, p) }
func (s constant) Description() string                              { return s.description }

// AlwaysSample keeps every span.
func AlwaysSample() Sampler { return constant{RecordAndSample, "AlwaysOnSampler"} }

// NeverSample keeps none.
func NeverSample() Sampler { return constant{Drop, "AlwaysOffSampler"} }

type ratio struct {
	bound       uint64
	description string
}

// TraceIDRatioBased keeps a fraction of all traces, 0 to 1, by their trace id: those
// that the official Go SDK keeps, and of a lower fraction always a part of those of a
// higher one. It does not ask the parent; see [ParentBased]. A fraction beyond 0
// or 1 counts as that, and one that is not a number as 0.
func TraceIDRatioBased(fraction float64) Sampler {
	switch {
	case fraction >= 1:
		return constant{RecordAndSample, "TraceIDRatioBased{1}"}
	case !(fraction > 0):
		return constant{Drop, "TraceIDRatioBased{0}"}
	}
	return ratio{uint64(fraction * (1 << 63)), fmt.Sprintf("TraceIDRatioBased{%g}", fraction)}
}

func (s ratio) decide(id trace.TraceID, _ ancestry) SamplingDecision {
	if binary.BigEndian.Uint64(id[8:])>>1 < s.bound {
		return RecordAndSample
	}
	return Drop
}

func (s ratio) ShouldSample(p SamplingParameters) SamplingResult { return shouldSample(s, p) }
func (s ratio) Description() string                              { return s.description }

// RateLimited keeps at most so many spans a second, and burst of them at once after a
// pause. It judges single spans: as the root of [ParentBased] it keeps whole traces.
// A burst below 1 counts as 1; a perSecond that is not above 0 keeps nothing.
func RateLimited(perSecond float64, burst int) Sampler {
	return rateLimited{sample.RateLimited(perSecond, burst, nil).Sample, fmt.Sprintf("RateLimited{%g}", perSecond)}
}

type rateLimited struct {
	take        func(*ringtail.Span) bool // does not look at the span
	description string
}

func (s rateLimited) decide(trace.TraceID, ancestry) SamplingDecision {
	if s.take(nil) {
		return RecordAndSample
	}
	return Drop
}

func (s rateLimited) ShouldSample(p SamplingParameters) SamplingResult { return shouldSample(s, p) }
func (s rateLimited) Description() string                              { return s.description }

// AlwaysRecord turns root's Drop into RecordOnly.
func AlwaysRecord(root Sampler) Sampler { return alwaysRecord{root} }

type alwaysRecord struct{ root Sampler }

func (s alwaysRecord) ShouldSample(p SamplingParameters) SamplingResult {
	r := s.root.ShouldSample(p)
	if r.Decision == Drop {
		r = SamplingResult{Decision: RecordOnly, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	}
	return r
}

func (s alwaysRecord) Description() string { return "AlwaysRecord{root:" + s.root.Description() + "}" }

// parentBased has a sampler for each kind of parent.
type parentBased [numAncestries]Sampler

// A ParentBasedSamplerOption replaces one of the samplers of [ParentBased].
type ParentBasedSamplerOption func(*parentBased)

// WithRemoteParentSampled sets the sampler of spans with a remote parent that was
// sampled. Default AlwaysSample().
func WithRemoteParentSampled(s Sampler) ParentBasedSamplerOption {
	return func(p *parentBased) { p[remoteSampled] = s }
}

// WithRemoteParentNotSampled sets the sampler of spans with a remote parent that
// was not sampled. Default NeverSample().
func WithRemoteParentNotSampled(s Sampler) ParentBasedSamplerOption {
	return func(p *parentBased) { p[remoteNotSampled] = s }
}

// WithLocalParentSampled sets the sampler of spans with a local parent that was
// sampled. Default AlwaysSample().
func WithLocalParentSampled(s Sampler) ParentBasedSamplerOption {
	return func(p *parentBased) { p[localSampled] = s }
}

// WithLocalParentNotSampled sets the sampler of spans with a local parent that
// was not sampled. Default NeverSample().
func WithLocalParentNotSampled(s Sampler) ParentBasedSamplerOption {
	return func(p *parentBased) { p[localNotSampled] = s }
}

// ParentBased decides as was decided for the parent, unless options say otherwise,
// and asks root for spans that have no parent. A nil sampler counts as the default, which
// for root is AlwaysSample(). (Trace SDK, "ParentBased".)
func ParentBased(root Sampler, opts ...ParentBasedSamplerOption) Sampler {
	p := &parentBased{isRoot: root}
	for _, o := range opts {
		o(p)
	}
	defaults := parentBased{AlwaysSample(), AlwaysSample(), NeverSample(), AlwaysSample(), NeverSample()}
	var d parentBasedDecider
	for i := range p {
		if p[i] == nil {
			p[i] = defaults[i]
		}
	}
	for i, s := range p {
		part, ok := s.(decider)
		if !ok {
			return p
		}
		d.parts[i] = part
	}
	d.parentBased = p
	return &d
}

func (p *parentBased) ShouldSample(params SamplingParameters) SamplingResult {
	parent := trace.SpanContextFromContext(params.ParentContext)
	return p[ancestryOf(parent)].ShouldSample(params)
}

func (p *parentBased) Description() string {
	var b strings.Builder
	for i, name := range [numAncestries]string{"ParentBased{root:", ",remoteParentSampled:", ",remoteParentNotSampled:",
		",localParentSampled:", ",localParentNotSampled:"} {
		b.WriteString(name)
		b.WriteString(p[i].Description())
	}
	return b.String() + "}"
}

// parentBasedDecider is a parentBased all of whose samplers are deciders.
type parentBasedDecider struct {
	*parentBased
	parts [numAncestries]decider
}

func (p *parentBasedDecider) decide(id trace.TraceID, a ancestry) SamplingDecision {
	return p.parts[a].decide(id, a)
}
