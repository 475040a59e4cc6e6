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

// newTraceID and newSpanID take from the runtime's generator, which is seeded by the
// operating system, and local to the thread.
func newTraceID(id *trace.TraceID) {
	a, b := rand.Uint64(), rand.Uint64()
	for a|b == 0 {
		b = rand.Uint64()
	}
	binary.NativeEndian.PutUint64(id[:8], a)
	binary.NativeEndian.PutUint64(id[8:], b)
}

func newSpanID(id *trace.SpanID) {
	a := rand.Uint64()
	for a == 0 {
		a = rand.Uint64()
	}
	binary.NativeEndian.PutUint64(id[:], a)
}
