package oteltrace

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// NewSamplerFromEnv returns the sampler that OTEL_TRACES_SAMPLER and
// OTEL_TRACES_SAMPLER_ARG ask for: always_on, always_off, traceidratio, or one of these
// behind parentbased_. It always returns one: with an error beside it, the sampler is
// the default, parentbased_always_on, if the name is not known, and has the ratio 1 if
// the argument is not a number from 0 to 1.
func NewSamplerFromEnv() (Sampler, error) {
	name := strings.ToLower(strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER")))
	kind, parentBased := strings.CutPrefix(name, "parentbased_")
	var s Sampler
	var err error
	switch kind {
	case "always_on":
		s = AlwaysSample()
	case "always_off":
		s = NeverSample()
	case "traceidratio":
		s, err = ratioFromEnv()
	default:
		if name != "" {
			err = fmt.Errorf("oteltrace: OTEL_TRACES_SAMPLER=%q is not a sampler known here; using parentbased_always_on", name)
		}
		return ParentBased(AlwaysSample()), err
	}
	if parentBased {
		s = ParentBased(s)
	}
	return s, err
}

func ratioFromEnv() (Sampler, error) {
	text := strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if text == "" {
		return TraceIDRatioBased(1), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return TraceIDRatioBased(1), fmt.Errorf("oteltrace: OTEL_TRACES_SAMPLER_ARG=%q is not a number from 0 to 1; using 1", text)
	}
	return TraceIDRatioBased(f), nil
}
