package ringtail

import (
	"iter"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail/otlp"
)

// This file is encode.go's inverse, for those who want objects: exporters that
// print, and tests. Nothing on a span's way to an OTLP backend comes here.

// Spans iterates over the batch's spans, decoded, in the order of the batch. They
// do not refer to the batch's bytes and may be kept. Spans of one scope share
// their Scope and Resource. A tracestate that the API does not admit is left out.
func (b *Batch) Spans() iter.Seq[*Span] {
	return func(yield func(*Span) bool) {
		var envelope *otlp.Envelope
		var scope *Scope
		var resource *Resource
		for _, piece := range b.Parts() {
			for ref := range otlp.Spans(piece) {
				if ref.Envelope != envelope {
					if envelope == nil || !sameResource(envelope, ref.Envelope) {
						resource = decodeResource(ref.Envelope)
					}
					envelope = ref.Envelope
					scope = decodeScope(envelope)
				}
				v, err := otlp.ParseSpan(ref.Body)
				if err != nil {
					return // cannot be: the batch was validated, or made here
				}
				s := decodeSpan(&v)
				s.Scope, s.Resource = scope, resource
				if !yield(s) {
					return
				}
			}
		}
	}
}

func sameResource(a, b *otlp.Envelope) bool {
	return string(a.Resource) == string(b.Resource) && string(a.ResourceSchemaURL) == string(b.ResourceSchemaURL)
}

func decodeResource(e *otlp.Envelope) *Resource {
	v := otlp.ParseResource(e.Resource)
	return &Resource{
		SchemaURL:         string(e.ResourceSchemaURL),
		Attributes:        slices.Collect(v.Attributes()),
		DroppedAttributes: v.DroppedAttributes,
	}
}

func decodeScope(e *otlp.Envelope) *Scope {
	v := otlp.ParseScope(e.Scope)
	return &Scope{
		Name: string(v.Name), Version: string(v.Version),
		SchemaURL:         string(e.ScopeSchemaURL),
		Attributes:        slices.Collect(v.Attributes()),
		DroppedAttributes: v.DroppedAttributes,
	}
}

func decodeSpan(v *otlp.SpanView) *Span {
	s := &Span{
		TraceID: v.TraceID, SpanID: v.SpanID, ParentID: v.ParentSpanID,
		ParentRemote: v.Flags&flagIsRemote != 0,
		TraceState:   decodeTraceState(v.TraceState),
		Flags:        trace.TraceFlags(v.Flags),
		Name:         string(v.Name),
		Kind:         v.Kind,
		Start:        decodeTime(v.StartTimeUnixNano),
		End:          decodeTime(v.EndTimeUnixNano),
		Status:       Status{Code: v.StatusCode, Description: string(v.StatusMessage)},

		DroppedAttributes: v.DroppedAttributes,
		DroppedEvents:     v.DroppedEvents,
		DroppedLinks:      v.DroppedLinks,
	}
	s.Attributes = collect(v.AttributeCount, v.Attributes())
	if v.EventCount > 0 {
		s.Events = make([]Event, 0, v.EventCount)
		for e := range v.Events() {
			s.Events = append(s.Events, Event{
				Name: string(e.Name), Time: decodeTime(e.TimeUnixNano),
				Attributes: slices.Collect(e.Attributes()), DroppedAttributes: e.DroppedAttributes,
			})
		}
	}
	if v.LinkCount > 0 {
		s.Links = make([]Link, 0, v.LinkCount)
		for l := range v.Links() {
			s.Links = append(s.Links, Link{
				SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
					TraceID: l.TraceID, SpanID: l.SpanID, TraceFlags: trace.TraceFlags(l.Flags),
					TraceState: decodeTraceState(l.TraceState), Remote: l.Flags&flagIsRemote != 0,
				}),
				Attributes: slices.Collect(l.Attributes()), DroppedAttributes: l.DroppedAttributes,
			})
		}
	}
	return s
}

func collect(n int, kvs iter.Seq[attribute.KeyValue]) []attribute.KeyValue {
	if n == 0 {
		return nil
	}
	return slices.AppendSeq(make([]attribute.KeyValue, 0, n), kvs)
}

// decodeTime turns OTLP's 0, "unknown", into the zero time.
func decodeTime(ns uint64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns))
}

func decodeTraceState(b []byte) trace.TraceState {
	if len(b) == 0 {
		return trace.TraceState{}
	}
	ts, err := trace.ParseTraceState(string(b))
	if err != nil {
		return trace.TraceState{}
	}
	return ts
}
