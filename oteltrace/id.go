package oteltrace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// IDGenerator makes the ids of spans. It is called by any number of goroutines at
// once. (Trace SDK, "Id Generators".)
//
// A generator with a method RandomTraceIDs() bool that returns true gets the W3C
// random flag set on root spans: it promises that the low 56 bits of its trace ids
// are random.
type IDGenerator interface {
	// NewIDs returns a trace id and a span id for a root span, neither of them zero.
	NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID)
	// NewSpanID returns a span id for a trace that exists; it is not zero.
	NewSpanID(ctx context.Context, traceID trace.TraceID) trace.SpanID
}

// randomIDs reports whether trace ids of g are random; nil is this package's own
// generator.
func randomIDs(g IDGenerator) bool {
	if g == nil {
		return true
	}
	r, ok := g.(interface{ RandomTraceIDs() bool })
	return ok && r.RandomTraceIDs()
}

// generator makes random ids for the spans whose records have it, one at a time: it is
// in a pooled record, with a seed of 128 bits that is the record's own. The runtime's
// generator, from which seeds come, is seeded by the operating system; asking it for each
// number costs three times as much (-bench Floor/ids). A nil one asks it.
type generator struct{ rand.PCG }

func (g *generator) seed() { g.Seed(rand.Uint64(), rand.Uint64()) }

func (g *generator) next() uint64 {
	if g == nil {
		return rand.Uint64()
	}
	return g.Uint64()
}

func (g *generator) traceID(id *trace.TraceID) {
	a, b := g.next(), g.next()
	for a|b == 0 {
		b = g.next()
	}
	binary.NativeEndian.PutUint64(id[:8], a)
	binary.NativeEndian.PutUint64(id[8:], b)
}

func (g *generator) spanID(id *trace.SpanID) {
	a := g.next()
	for a == 0 {
		a = g.next()
	}
	binary.NativeEndian.PutUint64(id[:], a)
}
