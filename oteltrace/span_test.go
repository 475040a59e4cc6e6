package oteltrace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

type kv = attribute.KeyValue

// TestAttributes: what setters do to the attributes of a span.
func TestAttributes(t *testing.T) {
	limited := defaultSpanLimits()
	limited.AttributeCountLimit = 2
	short := defaultSpanLimits()
	short.AttributeValueLengthLimit = 3
	none := SpanLimits{}
	unlimited := SpanLimits{-1, -1, -1, -1, -1, -1, -1}
	for _, tt := range []struct {
		name    string
		limits  SpanLimits
		start   []kv
		set     [][]kv
		want    []kv
		dropped uint32
	}{
		{name: "none", limits: defaultSpanLimits()},
		{
			name: "at start and later", limits: defaultSpanLimits(),
			start: []kv{attribute.Int("a", 1)},
			set:   [][]kv{{attribute.Int("b", 2)}, {attribute.Int("c", 3)}},
			want:  []kv{attribute.Int("a", 1), attribute.Int("b", 2), attribute.Int("c", 3)},
		},
		{
			name: "the last value of a key", limits: defaultSpanLimits(),
			start: []kv{attribute.Int("a", 1), attribute.Int("b", 1), attribute.Int("a", 2)},
			set:   [][]kv{{attribute.String("a", "x"), attribute.Bool("c", true)}, {attribute.Int("c", 4)}},
			want:  []kv{attribute.String("a", "x"), attribute.Int("b", 1), attribute.Int("c", 4)},
		},
		{
			name: "no key", limits: defaultSpanLimits(),
			start:   []kv{attribute.Int("", 1)},
			set:     [][]kv{{attribute.Int("a", 1), attribute.Int("", 2)}},
			want:    []kv{attribute.Int("a", 1)},
			dropped: 2,
		},
		{
			name: "the newest keys go, old ones change", limits: limited,
			set:     [][]kv{{attribute.Int("a", 1), attribute.Int("b", 1), attribute.Int("c", 1)}, {attribute.Int("d", 1), attribute.Int("b", 2)}},
			want:    []kv{attribute.Int("a", 1), attribute.Int("b", 2)},
			dropped: 2,
		},
		{name: "limit 0", limits: none, set: [][]kv{{attribute.Int("a", 1)}}, dropped: 1},
		{
			name: "characters, also in arrays", limits: short,
			set: [][]kv{{
				attribute.String("s", "äöüß"), attribute.String("ok", "äöü"), attribute.String("bad", "a\xffbc"),
				attribute.StringSlice("ss", []string{"abcd", "xyz", ""}),
				attribute.ByteSlice("b", []byte{1, 2, 3, 4}), attribute.Int("i", 123456),
				attribute.Slice("l", attribute.StringValue("abcd"), attribute.SliceValue(attribute.StringValue("efgh"))),
				attribute.Map("m", attribute.String("long key", "ijkl")),
			}},
			want: []kv{
				attribute.String("s", "äöü"), attribute.String("ok", "äöü"), attribute.String("bad", "a\uFFFDb"),
				attribute.StringSlice("ss", []string{"abc", "xyz", ""}),
				attribute.ByteSlice("b", []byte{1, 2, 3}), attribute.Int("i", 123456),
				attribute.Slice("l", attribute.StringValue("abc"), attribute.SliceValue(attribute.StringValue("efg"))),
				attribute.Map("m", attribute.String("long key", "ijk")),
			},
		},
		{
			name: "a map's keys are different", limits: unlimited,
			set:  [][]kv{{attribute.Map("m", attribute.Int("k", 1), attribute.Int("k", 2), attribute.Int("l", 3))}},
			want: []kv{attribute.Map("m", attribute.Int("k", 2), attribute.Int("l", 3))},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, WithRawSpanLimits(tt.limits))
			s := h.start(trace.WithAttributes(tt.start...))
			for _, kvs := range tt.set {
				s.SetAttributes(kvs...)
				clear(kvs) // the slice is the caller's
			}
			s.End()
			got := h.only()
			if !sameAttributes(got.Attributes, tt.want) {
				t.Errorf("attributes %v\nwant %v", got.Attributes, tt.want)
			}
			if got.DroppedAttributes != tt.dropped {
				t.Errorf("%d dropped, want %d", got.DroppedAttributes, tt.dropped)
			}
		})
	}
}

// TestManyAttributes crosses the number from which keys are looked up in a map,
// twice with one record, and with a limit beyond.
func TestManyAttributes(t *testing.T) {
	for _, n := range []int{manyAttributes - 1, manyAttributes, manyAttributes + 1, 128, 130, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := newHarness(t)
			for range 2 {
				s := h.start()
				for round := range 2 {
					for i := range n {
						s.SetAttributes(attribute.Int(fmt.Sprint("key", i), i+round))
					}
				}
				s.End()
			}
			for _, s := range h.spans() {
				kept := min(n, DefaultAttributeCountLimit)
				if len(s.Attributes) != kept || int(s.DroppedAttributes) != 2*(n-kept) {
					t.Fatalf("%d attributes, %d dropped; want %d, %d", len(s.Attributes), s.DroppedAttributes, kept, 2*(n-kept))
				}
				for i, kv := range s.Attributes {
					if string(kv.Key) != fmt.Sprint("key", i) || kv.Value.AsInt64() != int64(i+1) {
						t.Fatalf("attribute %d is %v", i, kv)
					}
				}
			}
		})
	}
}

func TestDepthLimit(t *testing.T) {
	nested := func(depth int) attribute.Value {
		v := attribute.Int64SliceValue([]int64{1})
		for range depth - 1 {
			v = attribute.SliceValue(v)
		}
		return v
	}
	empty := func(depth int) attribute.Value { // an empty value at that depth
		v := attribute.Value{}
		for range depth {
			v = attribute.SliceValue(v)
		}
		return v
	}
	for _, tt := range []struct{ value, want attribute.Value }{
		{nested(1), nested(1)},
		{nested(2), nested(2)},
		{nested(3), empty(2)},
		{nested(9), empty(2)},
		{attribute.MapValue(attribute.KeyValue{Key: "k", Value: nested(2)}), attribute.MapValue(attribute.KeyValue{Key: "k", Value: empty(1)})},
	} {
		if got := limitDepth(tt.value, 2); got.String() != tt.want.String() {
			t.Errorf("%s: got %s, want %s", tt.value.String(), got.String(), tt.want.String())
		}
		if got := limitDepth(tt.value, -1); got.String() != tt.value.String() {
			t.Errorf("%s without limit: got %s", tt.value.String(), got.String())
		}
	}
}

func TestStatus(t *testing.T) {
	type set struct {
		code        codes.Code
		description string
	}
	for _, tt := range []struct {
		name string
		sets []set
		want ringtail.Status
	}{
		{"nothing", nil, ringtail.Status{}},
		{"ok has no description", []set{{codes.Ok, "fine"}}, ringtail.Status{Code: codes.Ok}},
		{"error has one", []set{{codes.Error, "bad"}}, ringtail.Status{Code: codes.Error, Description: "bad"}},
		{"unset after error", []set{{codes.Error, "bad"}, {codes.Unset, "x"}}, ringtail.Status{Code: codes.Error, Description: "bad"}},
		{"the last error", []set{{codes.Error, "bad"}, {codes.Error, "worse"}}, ringtail.Status{Code: codes.Error, Description: "worse"}},
		{"ok beats error", []set{{codes.Error, "bad"}, {codes.Ok, ""}}, ringtail.Status{Code: codes.Ok}},
		{"ok is final", []set{{codes.Ok, ""}, {codes.Error, "bad"}, {codes.Unset, ""}}, ringtail.Status{Code: codes.Ok}},
		{"no such code", []set{{codes.Code(7), "x"}}, ringtail.Status{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			s := h.start()
			for _, set := range tt.sets {
				s.SetStatus(set.code, set.description)
			}
			// The encoder would mend a description that should not be there.
			if got := recordOf(s).out.Status; got != tt.want {
				t.Errorf("record has %v, want %v", got, tt.want)
			}
			s.End()
			if got := h.only().Status; got != tt.want {
				t.Errorf("status %v, want %v", got, tt.want)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	limits := defaultSpanLimits()
	limits.EventCountLimit, limits.AttributePerEventCountLimit, limits.AttributeValueLengthLimit = 3, 2, 4
	h := newHarness(t, WithRawSpanLimits(limits))
	s := h.start()
	before := time.Now()
	for i := range 8 {
		s.AddEvent(fmt.Sprint("event", i), trace.WithAttributes(attribute.Int("a", i)))
	}
	attrs := []kv{attribute.String("long", "abcdefgh"), attribute.Int("", 1), attribute.Int("b", 2), attribute.Int("c", 3)}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	s.AddEvent("last", trace.WithAttributes(attrs...), trace.WithTimestamp(at))
	clear(attrs)
	s.End()
	got := h.only()
	if got.DroppedEvents != 6 || len(got.Events) != 3 {
		t.Fatalf("%d events, %d dropped; want 3, 6", len(got.Events), got.DroppedEvents)
	}
	for i, name := range []string{"event6", "event7", "last"} {
		if got.Events[i].Name != name {
			t.Errorf("event %d is %q, want %q", i, got.Events[i].Name, name)
		}
	}
	if e := got.Events[0]; e.Time.Before(got.Start) || e.Time.After(got.End) || e.Time.Before(before.Add(-time.Second)) {
		t.Errorf("event at %v in a span from %v to %v", e.Time, got.Start, got.End)
	}
	last := got.Events[2]
	if !last.Time.Equal(at) {
		t.Errorf("last event at %v, want %v", last.Time, at)
	}
	if want := []kv{attribute.String("long", "abcd"), attribute.Int("b", 2)}; !sameAttributes(last.Attributes, want) || last.DroppedAttributes != 2 {
		t.Errorf("last event has %v, %d dropped; want %v, 2", last.Attributes, last.DroppedAttributes, want)
	}
}

func TestLinks(t *testing.T) {
	_, linked := remote(trace.FlagsSampled, "k=v")
	state, _ := trace.ParseTraceState("only=state")
	noIDs := trace.NewSpanContext(trace.SpanContextConfig{TraceState: state})
	attrs := []kv{attribute.Int("a", 1)}
	h := newHarness(t)
	s := h.start(trace.WithLinks(trace.Link{SpanContext: linked, Attributes: attrs}, trace.Link{}))
	clear(attrs)
	s.AddLink(trace.Link{Attributes: []kv{attribute.Int("b", 2)}})
	s.AddLink(trace.Link{SpanContext: noIDs})
	s.AddLink(trace.Link{}) // says nothing
	s.End()
	got := h.only()
	if len(got.Links) != 3 || got.DroppedLinks != 0 {
		t.Fatalf("links %v, %d dropped; want 3, 0", got.Links, got.DroppedLinks)
	}
	if l := got.Links[0]; !l.SpanContext.Equal(linked) || !sameAttributes(l.Attributes, []kv{attribute.Int("a", 1)}) {
		t.Errorf("first link %v", l)
	}
	if l := got.Links[1]; !sameAttributes(l.Attributes, []kv{attribute.Int("b", 2)}) {
		t.Errorf("second link %v", l)
	}
	if l := got.Links[2]; l.SpanContext.TraceState().String() != "only=state" {
		t.Errorf("third link %v", l)
	}

	limits := defaultSpanLimits()
	limits.LinkCountLimit, limits.AttributePerLinkCountLimit = 2, 1
	h = newHarness(t, WithRawSpanLimits(limits))
	s = h.start()
	for i := range 5 {
		s.AddLink(trace.Link{SpanContext: linked, Attributes: []kv{attribute.Int("i", i), attribute.Int("j", i)}})
	}
	s.End()
	got = h.only()
	if len(got.Links) != 2 || got.DroppedLinks != 3 {
		t.Fatalf("%d links, %d dropped; want 2, 3", len(got.Links), got.DroppedLinks)
	}
	for i, l := range got.Links {
		if !sameAttributes(l.Attributes, []kv{attribute.Int("i", 3+i)}) || l.DroppedAttributes != 1 {
			t.Errorf("link %d: %v", i, l)
		}
	}
}

func TestNothingIsKeptWithLimitsOfZero(t *testing.T) {
	h := newHarness(t, WithRawSpanLimits(SpanLimits{}))
	_, linked := remote(0, "")
	s := h.start(trace.WithLinks(trace.Link{SpanContext: linked}))
	s.AddEvent("e")
	s.RecordError(errors.New("x"))
	s.End()
	got := h.only()
	if len(got.Events)+len(got.Links) != 0 || got.DroppedEvents != 2 || got.DroppedLinks != 1 {
		t.Errorf("%+v", got)
	}
}

type valueError struct{}

func (valueError) Error() string { return "by value" }

func TestRecordError(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		opts []trace.EventOption
		want []kv
	}{
		{
			name: "a pointer", err: errors.New("it broke"),
			want: []kv{attribute.String("exception.type", "*errors.errorString"), attribute.String("exception.message", "it broke")},
		},
		{
			name: "a value", err: valueError{},
			want: []kv{attribute.String("exception.type", "github.com/ringtail-otel/ringtail/oteltrace.valueError"), attribute.String("exception.message", "by value")},
		},
		{
			name: "what is given goes first", err: valueError{},
			opts: []trace.EventOption{trace.WithAttributes(attribute.Int("n", 1), attribute.String("exception.message", "mine"))},
			want: []kv{attribute.Int("n", 1), attribute.String("exception.message", "mine"), attribute.String("exception.type", "github.com/ringtail-otel/ringtail/oteltrace.valueError")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			s := h.start()
			s.RecordError(nil)
			s.RecordError(tt.err, tt.opts...)
			s.End()
			got := h.only()
			if len(got.Events) != 1 || got.Events[0].Name != "exception" || !sameAttributes(got.Events[0].Attributes, tt.want) {
				t.Errorf("events %v\nwant one with %v", got.Events, tt.want)
			}
			if got.Status != (ringtail.Status{}) {
				t.Errorf("status %v", got.Status)
			}
		})
	}
}

func TestStackTrace(t *testing.T) {
	h := newHarness(t)
	s := h.start()
	s.RecordError(errors.New("x"), trace.WithStackTrace(true))
	s.End()
	kvs := h.only().Events[0].Attributes
	if len(kvs) != 3 || kvs[2].Key != "exception.stacktrace" || !strings.Contains(kvs[2].Value.AsString(), "TestStackTrace") {
		t.Errorf("attributes %v", kvs)
	}
}

func TestPanic(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   []Option
		end    []trace.SpanEndOption
		events int
		attrs  int
	}{
		{name: "recorded", events: 1, attrs: 2},
		{name: "with stack", end: []trace.SpanEndOption{trace.WithStackTrace(true)}, events: 1, attrs: 3},
		{name: "not recorded", opts: []Option{WithoutPanicRecording()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, tt.opts...)
			cause := errors.New("the cause")
			func() {
				defer func() {
					if v := recover(); v != cause {
						t.Errorf("recovered %v, want the cause", v)
					}
				}()
				s := h.start()
				defer s.End(tt.end...)
				panic(cause)
			}()
			got := h.only()
			if len(got.Events) != tt.events {
				t.Fatalf("events %v", got.Events)
			}
			if tt.events == 0 {
				return
			}
			e := got.Events[0]
			if e.Name != "exception" || len(e.Attributes) != tt.attrs || e.Attributes[0].Value.AsString() != "*errors.errorString" || e.Attributes[1].Value.AsString() != "the cause" {
				t.Errorf("event %v", e)
			}
		})
	}
	t.Run("of a string", func(t *testing.T) {
		h := newHarness(t)
		func() {
			defer func() { _ = recover() }()
			s := h.start()
			defer s.End()
			panic("text")
		}()
		if kvs := h.only().Events[0].Attributes; kvs[0].Value.AsString() != "string" || kvs[1].Value.AsString() != "text" {
			t.Errorf("attributes %v", kvs)
		}
	})
}

func TestTimes(t *testing.T) {
	h := newHarness(t)
	before := time.Now()
	h.start().End()
	after := time.Now()
	got := h.only()
	const slack = time.Millisecond // readings of the two clocks are not quite at one time
	if got.Start.Before(before.Add(-slack)) || got.End.Before(got.Start) || got.End.After(after.Add(slack)) {
		t.Errorf("from %v to %v, want between %v and %v", got.Start, got.End, before, after)
	}

	h = newHarness(t)
	start := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	h.start(trace.WithTimestamp(start)).End(trace.WithTimestamp(start.Add(time.Minute)))
	if got := h.only(); !got.Start.Equal(start) || !got.End.Equal(start.Add(time.Minute)) {
		t.Errorf("from %v to %v", got.Start, got.End)
	}
}

// TestAfterEnd: a span that has ended can be kept, and takes nothing any more, also
// when its record has become another span's.
func TestAfterEnd(t *testing.T) {
	h := newHarness(t)
	s := h.start(trace.WithAttributes(attribute.Int("mine", 1)))
	sc := s.SpanContext()
	if !s.IsRecording() {
		t.Error("a live span is not recording")
	}
	s.End()
	later := h.start()
	if s.IsRecording() || !s.SpanContext().Equal(sc) || s.TracerProvider() != h.TracerProvider {
		t.Error("an ended span is recording, or has changed")
	}
	s.SetAttributes(attribute.Int("late", 1))
	s.SetName("late")
	s.SetStatus(codes.Error, "late")
	s.AddEvent("late")
	s.AddLink(trace.Link{SpanContext: sc})
	s.RecordError(errors.New("late"))
	s.End(trace.WithTimestamp(time.Unix(1, 0)))
	later.End()
	spans := h.spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans, want 2", len(spans))
	}
	for i, got := range spans {
		if got.Name != "span" || got.Status.Code != 0 || len(got.Events)+len(got.Links) != 0 || len(got.Attributes) != 1-i || got.End.Unix() == 1 {
			t.Errorf("span %d: %+v", i, got)
		}
	}
}

// TestRecordsAreEmptied sends a span with everything, and then a bare one, through
// what is most likely one record.
func TestRecordsAreEmptied(t *testing.T) {
	h := newHarness(t)
	ctx, linked := remote(trace.FlagsSampled, "k=v")
	for range 50 {
		_, s := h.Tracer("full").Start(ctx, "full", trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.Int("a", 1), attribute.Int("", 1)), trace.WithLinks(trace.Link{SpanContext: linked}))
		s.SetStatus(codes.Error, "bad")
		s.AddEvent("e")
		s.End()
		h.start().End()
	}
	for i, s := range h.spans() {
		if s.Name == "full" {
			continue
		}
		if len(s.Attributes)+len(s.Events)+len(s.Links) != 0 || s.DroppedAttributes != 0 || s.Status.Code != 0 ||
			s.ParentID.IsValid() || s.ParentRemote || s.TraceState.Len() != 0 || s.Kind != trace.SpanKindInternal || s.Scope.Name != "test" {
			t.Fatalf("span %d has something of an earlier one: %+v", i, s)
		}
	}
	r := newRecord()
	defer r.release()
	for _, kv := range r.out.Attributes[:cap(r.out.Attributes)] {
		if kv.Key != "" {
			t.Fatalf("a pooled record keeps %v alive", kv)
		}
	}
	for _, e := range r.events.items[:cap(r.events.items)] {
		if e.Name != "" {
			t.Fatalf("a pooled record keeps %v alive", e)
		}
	}
}
