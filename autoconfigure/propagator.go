package autoconfigure

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
)

const defaultPropagators = "tracecontext,baggage"

// propagator makes one of those that OTEL_PROPAGATORS names. Where it names none
// that is known, it is ignored.
func (c *config) propagator() propagation.TextMapPropagator {
	const name = "OTEL_PROPAGATORS"
	names := c.env.list(name, defaultPropagators)
	if slices.Equal(names, []string{"none"}) {
		return propagation.NewCompositeTextMapPropagator()
	}
	var chosen []propagation.TextMapPropagator
	for _, n := range names {
		if p := c.propagators[n]; p != nil {
			chosen = append(chosen, p)
			continue
		}
		known := strings.Join(slices.Sorted(maps.Keys(c.propagators)), ", ")
		c.env.ignore(name, n, fmt.Sprintf("none, or of %s; or pass one: autoconfigure.WithPropagator(%q, …)", known, n))
	}
	if len(chosen) == 0 {
		for n := range strings.SplitSeq(defaultPropagators, ",") {
			chosen = append(chosen, c.propagators[n])
		}
	}
	return propagation.NewCompositeTextMapPropagator(chosen...)
}
