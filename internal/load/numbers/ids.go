// Package numbers tells spans apart by running numbers that their ids carry, so that whoever receives
// them knows exactly which are missing and which came twice.
//
// A run of the load generator numbers its spans 1, 2, 3, … in the order in which they are first sent.
//
//	trace id   72 69 6e 67  rr rr rr rr  mm mm mm mm mm mm mm mm
//	           "ring"       run id       trace number, mixed
//	span id    nn nn nn nn nn nn nn nn
//	           span number
//
// All are big-endian. The mixing is one-to-one and makes the last eight bytes look random, as samplers
// and partitioners expect of a trace id; [Traces] says which spans share a trace. An id that was not
// made here has the four marking bytes by chance once in 2^32.
//
// Files: ids.go, the encoding; traces.go, which spans share a trace; set.go, sets of numbers;
// tracker.go, sets by run; ranges.go, the file of acknowledged numbers.
package numbers

import (
	"encoding/binary"

	"go.opentelemetry.io/otel/trace"
)

// A Run identifies one run of the load generator.
type Run uint32

const marker = 'r'<<24 | 'i'<<16 | 'n'<<8 | 'g'

// SpanID returns the id of the span with that number. Numbers begin with 1: the zero id is invalid.
func SpanID(number uint64) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], number)
	return id
}

// TraceID returns the id of a trace of a run. Traces are numbered from 0.
func TraceID(run Run, number uint64) (id trace.TraceID) {
	binary.BigEndian.PutUint32(id[:], marker)
	binary.BigEndian.PutUint32(id[4:], uint32(run))
	binary.BigEndian.PutUint64(id[8:], MixTrace(number))
	return id
}

// Of returns the run and the number of a span; ok is false when its ids were not made by this package.
// The slices are the encoded ids, 16 and 8 bytes long.
func Of(traceID, spanID []byte) (run Run, number uint64, ok bool) {
	number = binary.BigEndian.Uint64(spanID)
	ok = binary.BigEndian.Uint32(traceID) == marker && number != 0
	return Run(binary.BigEndian.Uint32(traceID[4:])), number, ok
}

// TraceNumber is what [TraceID] was given.
func TraceNumber(id trace.TraceID) uint64 { return unmix(binary.BigEndian.Uint64(id[8:])) }

// MixTrace returns the last eight bytes of a trace's id. The function is splitmix64's finaliser: a
// bijection in which each bit of the input changes half of those of the output.
func MixTrace(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// unmix is the inverse: the multipliers are the inverses modulo 2^64.
func unmix(n uint64) uint64 {
	n = (n ^ n>>31 ^ n>>62) * 0x319642b2d24d8ec3
	n = (n ^ n>>27 ^ n>>54) * 0x96de1b173f119089
	n ^= n>>30 ^ n>>60
	return n - 0x9e3779b97f4a7c15
}
