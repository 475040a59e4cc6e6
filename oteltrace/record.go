package oteltrace

import (
	"fmt"
	rt "runtime/trace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// record is what a live span gathers until End. Records are pooled. One belongs to
// the span in whose slot it is, and is used by one call at a time; the End that takes
// it from there is its last user. Nothing in it is ever given to anybody: what comes in
// is copied, and what goes out is encoded.
//
// A span that is never ended takes its record with it to the garbage collector.
type record struct {
	out    ringtail.Span // its Attributes have different, valid keys
	place  map[attribute.Key]int
	events evicting[ringtail.Event]
	links  evicting[ringtail.Link]
	began  time.Duration // by the monotonic clock
	wall   int64         // the same since 1970, in ns; 0 if out.Start was given
	ids    generator     // of the ids of all spans that get this record
	task   *rt.Task      // while the execution tracer runs
	shard  uint32        // of metrics: a record stays with a processor, mostly
	cut    uint32        // attributes that events and links have lost
}

const (
	// From so many attributes on, their keys are looked up in a map: before that,
	// comparing all of them is faster.
	manyAttributes = 32
	// Room that a record has from its first attribute on.
	usualAttributes = 8
	// A record with more room than this is not kept.
	maxKept = 128
)

var records = sync.Pool{New: func() any {
	r := &record{shard: shards.Add(1)}
	r.ids.seed()
	return r
}}

// shards numbers the records.
var shards atomic.Uint32

func newRecord() *record { return records.Get().(*record) }

// begin sets what Start knows, over what is left of an earlier span.
func (r *record) begin(name string, up *parent, cfg *trace.SpanConfig) {
	o := &r.out
	o.ParentID, o.ParentRemote = up.spanID, up.remote && up.valid()
	o.Name = name
	if cfg == &noConfig {
		o.Kind = trace.SpanKindInternal
		r.began, r.wall = startClock.now()
		return
	}
	o.Kind = trace.ValidateSpanKind(cfg.SpanKind())
	if at := cfg.Timestamp(); at.IsZero() {
		r.began, r.wall = startClock.now()
	} else {
		o.Start, r.wall = at, 0
	}
}

// startTime returns when the span started.
func (r *record) startTime() time.Time {
	if r.wall == 0 {
		return r.out.Start
	}
	return time.Unix(0, r.wall)
}

// timeIs returns when it is now, by the clock that the span runs by: the time of its
// start, and what the monotonic clock says since.
func (r *record) timeIs() time.Time {
	if r.wall == 0 {
		return r.out.Start.Add(time.Since(r.out.Start))
	}
	return time.Unix(0, r.wall+max(0, int64(startClock.mono()-r.began)))
}

// timeOf returns at by the clock that the span runs by. A time without a monotonic
// reading stays what it is.
func (r *record) timeOf(at time.Time) time.Time {
	switch {
	case r.wall == 0:
		return r.out.Start.Add(at.Sub(r.out.Start))
	case at == at.Round(0):
		return at
	}
	since := at.Sub(process) - r.began
	if since < 0 && since > -ahead {
		since = 0 // the two clocks are not quite the same
	}
	return time.Unix(0, r.wall+int64(since))
}

// release empties the record and gives it back. No string or slice of a user is
// kept alive by the pool, but for the name, until the next span.
func (r *record) release() {
	o := &r.out
	if cap(o.Attributes) > maxKept || cap(r.events.items) > maxKept || cap(r.links.items) > maxKept || r.task != nil {
		return
	}
	clear(o.Attributes)
	o.Attributes = o.Attributes[:0]
	o.DroppedAttributes, r.cut = 0, 0
	if o.TraceState.Len() != 0 {
		o.TraceState = trace.TraceState{}
	}
	if o.Status.Code != codes.Unset {
		o.Status = ringtail.Status{}
	}
	if len(r.place) > 0 {
		r.place = nil
	}
	if o.Events != nil || o.DroppedEvents != 0 {
		r.events.reset()
		o.Events, o.DroppedEvents = nil, 0
	}
	if o.Links != nil || o.DroppedLinks != 0 {
		r.links.reset()
		o.Links, o.DroppedLinks = nil, 0
	}
	records.Put(r)
}

// setAttributes sets kvs in their order. It does not keep the slice.
func (r *record) setAttributes(kvs []attribute.KeyValue, l *SpanLimits) {
	o := &r.out
	for i := range kvs {
		kv := &kvs[i]
		if kv.Key == "" {
			o.DroppedAttributes++
			continue
		}
		at := r.find(kv.Key)
		if at < 0 {
			if l.AttributeCountLimit >= 0 && len(o.Attributes) >= l.AttributeCountLimit {
				o.DroppedAttributes++
				continue
			}
			if at = len(o.Attributes); o.Attributes == nil {
				o.Attributes = make([]attribute.KeyValue, 0, usualAttributes)
			}
			o.Attributes = append(o.Attributes, *kv)
			r.index(at)
		} else {
			o.Attributes[at].Value = kv.Value
		}
		if t := kv.Value.Type(); t >= attribute.BOOLSLICE || t == attribute.STRING && l.AttributeValueLengthLimit >= 0 {
			o.Attributes[at].Value = l.limitValue(kv.Value)
		}
	}
}

// find returns the place of the attribute with that key, -1 if there is none.
func (r *record) find(key attribute.Key) int {
	kvs := r.out.Attributes
	if len(kvs) >= manyAttributes {
		if at, ok := r.place[key]; ok {
			return at
		}
		return -1
	}
	for i := range kvs {
		if kvs[i].Key == key {
			return i
		}
	}
	return -1
}

// index enters a new attribute into the map, once there are many.
func (r *record) index(at int) {
	kvs := r.out.Attributes
	switch {
	case len(kvs) == manyAttributes:
		r.place = make(map[attribute.Key]int, 2*manyAttributes)
		for i := range kvs {
			r.place[kvs[i].Key] = i
		}
	case len(kvs) > manyAttributes:
		r.place[kvs[at].Key] = at
	}
}

// setStatus follows the rule that Ok is final and beats Error, and Error beats Unset.
func (r *record) setStatus(code codes.Code, description string) {
	st := &r.out.Status
	if code < st.Code || code > codes.Ok {
		return
	}
	if code != codes.Error {
		description = ""
	}
	*st = ringtail.Status{Code: code, Description: description}
}

// addEvent adds an event. attrs becomes its own.
func (r *record) addEvent(name string, at time.Time, attrs []attribute.KeyValue, l *SpanLimits) {
	e := ringtail.Event{Name: name, Time: r.timeOf(at)}
	e.Attributes, e.DroppedAttributes = l.limitList(attrs, l.AttributePerEventCountLimit)
	r.cut += e.DroppedAttributes
	r.events.add(e, l.EventCountLimit)
	r.out.Events, r.out.DroppedEvents = r.events.items, r.events.dropped
}

// addPanic adds an event for what was panicked with.
func (r *record) addPanic(v any, stackTrace bool, l *SpanLimits) {
	r.addEvent(exceptionEvent, time.Now(), exception(nil, v, fmt.Sprint(v), stackTrace), l)
}

// addLink adds a link, unless it says nothing. It copies the attributes.
func (r *record) addLink(link trace.Link, l *SpanLimits) {
	if !link.SpanContext.IsValid() && len(link.Attributes) == 0 && link.SpanContext.TraceState().Len() == 0 {
		return
	}
	out := ringtail.Link{SpanContext: link.SpanContext}
	out.Attributes, out.DroppedAttributes = l.limitList(slices.Clone(link.Attributes), l.AttributePerLinkCountLimit)
	r.cut += out.DroppedAttributes
	r.links.add(out, l.LinkCountLimit)
	r.out.Links, r.out.DroppedLinks = r.links.items, r.links.dropped
}

// evicting is a list with a limit, at which a new element takes the oldest one's place.
type evicting[T any] struct {
	items   []T
	oldest  int // where the next one goes when the list is full
	dropped uint32
}

// add adds v; a limit below 0 is none.
func (e *evicting[T]) add(v T, limit int) {
	switch {
	case limit < 0 || len(e.items) < limit:
		e.items = append(e.items, v)
		return
	case limit > 0:
		e.items[e.oldest] = v
		e.oldest = (e.oldest + 1) % limit
	}
	e.dropped++
}

// order brings the elements into the order in which they came.
func (e *evicting[T]) order() {
	if e.oldest > 0 {
		slices.Reverse(e.items[:e.oldest])
		slices.Reverse(e.items[e.oldest:])
		slices.Reverse(e.items)
		e.oldest = 0
	}
}

func (e *evicting[T]) reset() {
	clear(e.items)
	*e = evicting[T]{items: e.items[:0]}
}
