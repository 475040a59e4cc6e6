package oteltrace

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

const (
	randomBits  = 56
	maxOTLength = 256 // of the value of tracestate's ot entry
)

// ConsistentProbabilityBased keeps a trace with a probability from 0 to 1, and says
// so in the tracestate, by which a backend can count what a span stands for. A trace
// has a random number R of 56 bits, the sub-key rv of the tracestate's ot entry or else
// the end of its trace id, and is kept if R ≥ T = (1 − probability) · 2^56. A kept
// span has T as the sub-key th; on one that is dropped, th is removed, for it would be
// wrong. (Specification: "TraceState: Probability Sampling", in development.)
//
// It keeps the opposite end of what [TraceIDRatioBased] keeps: use one of them
// throughout a system. It does not ask the parent; as the root of [ParentBased]
// it decides once a trace. A probability beyond 0 or 1 counts as that.
func ConsistentProbabilityBased(probability float64) Sampler {
	if !(probability > 0) { // or not a number
		probability = 0
	}
	probability = min(probability, 1)
	const all = 1 << randomBits
	s := &consistent{
		// Scaling by a power of two is exact: only bits below 2^-56 are rounded away.
		threshold:   all - uint64(math.Round(probability*all)),
		description: fmt.Sprintf("ConsistentProbabilityBased{%g}", probability),
	}
	if s.threshold < all {
		s.th = "th:" + hexThreshold(s.threshold)
	}
	return s
}

type consistent struct {
	threshold   uint64
	th          string // the sub-key; "" if nothing is kept
	description string
}

func (s *consistent) Description() string { return s.description }

func (s *consistent) ShouldSample(p SamplingParameters) SamplingResult {
	state := trace.SpanContextFromContext(p.ParentContext).TraceState()
	ot := state.Get("ot")
	r, ok := randomValue(ot)
	if !ok {
		r = binary.BigEndian.Uint64(p.TraceID[8:]) & (1<<randomBits - 1)
	}
	if r >= s.threshold {
		return SamplingResult{Decision: RecordAndSample, Tracestate: withThreshold(state, ot, s.th)}
	}
	return SamplingResult{Decision: Drop, Tracestate: withThreshold(state, ot, "")}
}

// hexThreshold returns t as 14 hex digits without the zeros at the end; 0 is "0".
func hexThreshold(t uint64) string {
	s := strings.TrimRight(fmt.Sprintf("%014x", t), "0")
	if s == "" {
		return "0"
	}
	return s
}

// randomValue returns the sub-key rv of an ot entry: exactly 14 lowercase hex digits.
func randomValue(ot string) (uint64, bool) {
	for part := range strings.SplitSeq(ot, ";") {
		text, ok := strings.CutPrefix(part, "rv:")
		if !ok {
			continue
		}
		if len(text) != randomBits/4 || strings.ToLower(text) != text {
			return 0, false
		}
		r, err := strconv.ParseUint(text, 16, 64)
		return r, err == nil
	}
	return 0, false
}

// withThreshold returns state with th in its ot entry, in place of what th there was;
// an empty th removes it. Where the entry gets too long, sub-keys other than rv go.
func withThreshold(state trace.TraceState, ot, th string) trace.TraceState {
	parts := make([]string, 0, 4)
	size := 0
	add := func(part string) {
		if part != "" && size+len(part)+1 <= maxOTLength+1 {
			parts, size = append(parts, part), size+len(part)+1
		}
	}
	add(th)
	var others []string
	for part := range strings.SplitSeq(ot, ";") {
		switch key, _, _ := strings.Cut(part, ":"); key {
		case "th":
		case "rv":
			add(part)
		default:
			others = append(others, part)
		}
	}
	for _, part := range others {
		add(part)
	}
	if len(parts) == 0 {
		if ot == "" {
			return state
		}
		return state.Delete("ot")
	}
	value := strings.Join(parts, ";")
	if value == ot {
		return state // in its place: an entry moves to the front only when it is changed
	}
	out, err := state.Insert("ot", value)
	if err != nil { // what came with the parent is not valid: better nothing than a wrong th
		return state.Delete("ot")
	}
	return out
}
