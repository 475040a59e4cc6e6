package oteltrace

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// The limits that hold where neither an option nor the environment sets one.
const (
	DefaultAttributeValueLengthLimit   = -1 // no limit
	DefaultAttributeValueDepthLimit    = 64
	DefaultAttributeCountLimit         = 128
	DefaultEventCountLimit             = 128
	DefaultLinkCountLimit              = 128
	DefaultAttributePerEventCountLimit = 128
	DefaultAttributePerLinkCountLimit  = 128
)

// SpanLimits bounds what one span can gather. 0 keeps nothing of that kind, and
// below 0 there is no limit. What is cut off is counted in the span's dropped counts,
// except for values that are shortened. (Trace SDK, "Span Limits".)
type SpanLimits struct {
	// AttributeValueLengthLimit is the length of strings, in characters, and of
	// byte slices, in bytes, also inside arrays and maps. It holds for the attributes
	// of spans, events and links. Longer ones are cut off.
	AttributeValueLengthLimit int
	// AttributeValueDepthLimit is how deep arrays and maps may be nested, 1 being an
	// array of plain values. What is deeper becomes an empty value. 0 means the default.
	AttributeValueDepthLimit int
	// AttributeCountLimit is the number of different keys. When it is reached,
	// new keys are dropped; those that are there can still be changed.
	AttributeCountLimit int
	// EventCountLimit is the number of events. When it is reached, a new one takes the
	// place of the oldest.
	EventCountLimit int
	// LinkCountLimit is the number of links. When it is reached, a new one takes the
	// place of the oldest.
	LinkCountLimit int
	// AttributePerEventCountLimit is the number of attributes of one event; the
	// last ones are dropped.
	AttributePerEventCountLimit int
	// AttributePerLinkCountLimit is the number of attributes of one link; the last
	// ones are dropped.
	AttributePerLinkCountLimit int
}

func defaultSpanLimits() SpanLimits {
	return SpanLimits{
		AttributeValueLengthLimit:   DefaultAttributeValueLengthLimit,
		AttributeValueDepthLimit:    DefaultAttributeValueDepthLimit,
		AttributeCountLimit:         DefaultAttributeCountLimit,
		EventCountLimit:             DefaultEventCountLimit,
		LinkCountLimit:              DefaultLinkCountLimit,
		AttributePerEventCountLimit: DefaultAttributePerEventCountLimit,
		AttributePerLinkCountLimit:  DefaultAttributePerLinkCountLimit,
	}
}

// NewSpanLimits returns the limits of the environment, and the defaults for what
// it does not set: OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT, OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT
// (both also without SPAN_, which the longer name beats), OTEL_SPAN_EVENT_COUNT_LIMIT,
// OTEL_SPAN_LINK_COUNT_LIMIT, OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT and
// OTEL_LINK_ATTRIBUTE_COUNT_LIMIT. A value that is not a number counts as not set.
func NewSpanLimits() SpanLimits {
	l, _ := spanLimitsFromEnv()
	return l
}

// spanLimitsFromEnv is NewSpanLimits with the reason why a value was left out.
func spanLimitsFromEnv() (SpanLimits, error) {
	l := defaultSpanLimits()
	var errs []error
	for _, f := range []struct {
		limit *int
		keys  []string // the first that is set counts
	}{
		{&l.AttributeValueLengthLimit, []string{"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"}},
		{&l.AttributeCountLimit, []string{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"}},
		{&l.EventCountLimit, []string{"OTEL_SPAN_EVENT_COUNT_LIMIT"}},
		{&l.LinkCountLimit, []string{"OTEL_SPAN_LINK_COUNT_LIMIT"}},
		{&l.AttributePerEventCountLimit, []string{"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"}},
		{&l.AttributePerLinkCountLimit, []string{"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"}},
	} {
		for _, key := range f.keys {
			text := strings.TrimSpace(os.Getenv(key))
			if text == "" {
				continue
			}
			n, err := strconv.Atoi(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("oteltrace: %s=%q is not a number; the limit is %d", key, text, *f.limit))
			} else {
				*f.limit = n
			}
			break
		}
	}
	return l, errors.Join(errs...)
}

// limitValue returns v as the limits allow it.
func (l *SpanLimits) limitValue(v attribute.Value) attribute.Value {
	v = limitDepth(v, l.AttributeValueDepthLimit)
	if l.AttributeValueLengthLimit >= 0 {
		v = limitLength(v, l.AttributeValueLengthLimit)
	}
	return v
}

// limitList returns at most count of kvs, as the limits allow them, and how many
// were left out. Of a key that comes twice the last value counts. It changes kvs.
func (l *SpanLimits) limitList(kvs []attribute.KeyValue, count int) (kept []attribute.KeyValue, dropped uint32) {
	kept = kvs[:0]
	for _, kv := range kvs {
		at := slices.IndexFunc(kept, func(o attribute.KeyValue) bool { return o.Key == kv.Key })
		if !kv.Valid() || at < 0 && count >= 0 && len(kept) >= count {
			dropped++
			continue
		}
		kv.Value = l.limitValue(kv.Value)
		if at < 0 {
			kept = append(kept, kv)
		} else {
			kept[at] = kv // the last value of a key counts
		}
	}
	return kept, dropped
}

// limitDepth returns v with an empty value in place of what is nested deeper than
// depth, and with the last value only of keys that a map has twice: OTLP forbids these.
func limitDepth(v attribute.Value, depth int) attribute.Value {
	switch v.Type() {
	case attribute.BOOLSLICE, attribute.INT64SLICE, attribute.FLOAT64SLICE, attribute.STRINGSLICE, attribute.BYTESLICE:
		if depth == 0 {
			return attribute.Value{}
		}
	case attribute.SLICE:
		if depth == 0 {
			return attribute.Value{}
		}
		elems := v.AsSlice()
		for i := range elems {
			elems[i] = limitDepth(elems[i], depth-1)
		}
		return attribute.SliceValue(elems...)
	case attribute.MAP:
		if depth == 0 {
			return attribute.Value{}
		}
		kvs := v.AsMap()
		place := make(map[attribute.Key]int, len(kvs))
		unique := kvs[:0]
		for _, kv := range kvs {
			kv.Value = limitDepth(kv.Value, depth-1)
			if i, seen := place[kv.Key]; seen {
				unique[i] = kv
				continue
			}
			place[kv.Key] = len(unique)
			unique = append(unique, kv)
		}
		return attribute.MapValue(unique...)
	}
	return v
}

// limitLength returns v with its strings cut to n characters and its byte slices
// cut to n bytes.
func limitLength(v attribute.Value, n int) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		if s := v.AsString(); len(s) > n {
			return attribute.StringValue(truncate(s, n))
		}
	case attribute.STRINGSLICE:
		elems := v.AsStringSlice()
		for i := range elems {
			elems[i] = truncate(elems[i], n)
		}
		return attribute.StringSliceValue(elems)
	case attribute.BYTESLICE:
		if b := v.AsByteSlice(); len(b) > n {
			return attribute.ByteSliceValue(b[:n])
		}
	case attribute.SLICE:
		elems := v.AsSlice()
		for i := range elems {
			elems[i] = limitLength(elems[i], n)
		}
		return attribute.SliceValue(elems...)
	case attribute.MAP:
		kvs := v.AsMap()
		for i := range kvs {
			kvs[i].Value = limitLength(kvs[i].Value, n)
		}
		return attribute.MapValue(kvs...)
	}
	return v
}

// truncate returns the first n characters of s. A byte that is not UTF-8 counts as one.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
