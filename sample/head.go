// Package sample decides which spans are kept. Its samplers are pure decisions:
// no I/O, no goroutines, and the clock, where one is needed, is passed in.
//
// Head samplers look at one span, in front of a submit:
//
//	ringtail.New(exporter, ringtail.WithSampler(sample.ParentBased(sample.Ratio(0.1))))
//
// A span that they turn down costs no encoding, and counts as
// [ringtail.ReasonSampled]. All of them may be used by any number of goroutines.
package sample

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/ringtail-otel/ringtail"
)

type always bool

func (a always) Sample(*ringtail.Span) bool { return bool(a) }

func (a always) String() string {
	if a {
		return "AlwaysOnSampler"
	}
	return "AlwaysOffSampler"
}

// Always keeps every span. (Trace SDK, AlwaysOn.)
func Always() ringtail.Sampler { return always(true) }

// Never keeps none. (Trace SDK, AlwaysOff.)
func Never() ringtail.Sampler { return always(false) }

type ratio struct {
	fraction float64
	bound    uint64
}

// Ratio keeps the given fraction of all traces, 0 to 1, by their trace id: all
// of a trace's spans or none, in every process that samples by the same or a
// higher fraction. It asks neither the parent nor the sampled flag; see
// [ParentBased]. A fraction outside 0 to 1 is taken as the nearer of the two, and
// one that is not a number as 0. (Trace SDK, TraceIDRatioBased; the same ids
// are kept as by the official Go SDK.)
func Ratio(fraction float64) ringtail.Sampler {
	switch {
	case fraction >= 1:
		return Always()
	case !(fraction > 0):
		fraction = 0
	}
	return ratio{fraction: fraction, bound: uint64(fraction * (1 << 63))}
}

func (r ratio) Sample(s *ringtail.Span) bool {
	return binary.BigEndian.Uint64(s.TraceID[8:16])>>1 < r.bound
}

func (r ratio) String() string { return fmt.Sprintf("TraceIDRatioBased{%g}", r.fraction) }

// Parents says what to do with spans that have a parent, by where the parent is
// and whether it was sampled. A nil field stands for the default: keep what was
// sampled, drop what was not.
type Parents struct {
	RemoteSampled, RemoteNotSampled ringtail.Sampler
	LocalSampled, LocalNotSampled   ringtail.Sampler
}

type parentBased struct {
	root    ringtail.Sampler
	parents Parents
}

// ParentBased follows the parent: a span whose sampled flag is set is kept, one
// whose flag is not set is dropped, and root spans are for the given sampler.
// (Trace SDK, ParentBased.)
func ParentBased(root ringtail.Sampler) ringtail.Sampler {
	return ParentBasedOn(root, Parents{})
}

// ParentBasedOn is [ParentBased] with samplers for the spans that have a parent.
func ParentBasedOn(root ringtail.Sampler, p Parents) ringtail.Sampler {
	for _, d := range []struct {
		field    *ringtail.Sampler
		fallback always
	}{
		{&p.RemoteSampled, true}, {&p.RemoteNotSampled, false},
		{&p.LocalSampled, true}, {&p.LocalNotSampled, false},
	} {
		if *d.field == nil {
			*d.field = d.fallback
		}
	}
	return parentBased{root: root, parents: p}
}

func (p parentBased) Sample(s *ringtail.Span) bool {
	sampled := s.Flags.IsSampled()
	switch {
	case !s.ParentID.IsValid():
		return p.root.Sample(s)
	case s.ParentRemote && sampled:
		return p.parents.RemoteSampled.Sample(s)
	case s.ParentRemote:
		return p.parents.RemoteNotSampled.Sample(s)
	case sampled:
		return p.parents.LocalSampled.Sample(s)
	}
	return p.parents.LocalNotSampled.Sample(s)
}

func (p parentBased) String() string {
	return fmt.Sprintf("ParentBased{root:%v,remoteParentSampled:%v,remoteParentNotSampled:%v,localParentSampled:%v,localParentNotSampled:%v}",
		p.root, p.parents.RemoteSampled, p.parents.RemoteNotSampled, p.parents.LocalSampled, p.parents.LocalNotSampled)
}

// rateLimited is the generic cell rate algorithm: one word says when the bucket
// will be full again, so that a decision is one load and one compare-and-swap.
type rateLimited struct {
	perSecond float64
	interval  int64 // ns a span
	burst     int64 // ns that full may lie ahead
	now       func() time.Time
	base      time.Time
	full      atomic.Int64 // ns since base
}

// RateLimited keeps at most so many spans a second, and burst of them at once
// after a pause. It judges single spans: in front of root spans only, as in
// ParentBased(RateLimited(100, 100, nil)), it keeps whole traces. A burst below 1 is
// taken as 1; a perSecond that is not above 0 keeps nothing. now may be nil for
// [time.Now].
func RateLimited(perSecond float64, burst int, now func() time.Time) ringtail.Sampler {
	if !(perSecond > 0) {
		return Never()
	}
	if now == nil {
		now = time.Now
	}
	interval := math.Max(1, float64(time.Second)/perSecond)
	return &rateLimited{
		perSecond: perSecond,
		interval:  int64(math.Min(interval, math.MaxInt64/4)),
		burst:     int64(math.Min(interval*float64(max(burst, 1)), math.MaxInt64/4)),
		now:       now,
		base:      now(),
	}
}

func (r *rateLimited) Sample(*ringtail.Span) bool {
	now := int64(r.now().Sub(r.base))
	for {
		full := r.full.Load()
		next := max(full, now) + r.interval
		if next > now+r.burst {
			return false
		}
		if r.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

func (r *rateLimited) String() string { return fmt.Sprintf("RateLimited{%g}", r.perSecond) }
