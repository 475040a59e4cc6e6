package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// The span that everybody records: a server's, with a parent, and either bare or
// with five attributes.

const spanName = "GET /users/{id}"

// attributes are three strings, an int and a bool; with them the span takes about
// 220 bytes as OTLP.
func attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("url.path", "/users/12345"),
		attribute.String("server.address", "users.svc"),
		attribute.Int("http.response.status_code", 200),
		attribute.Bool("cache.hit", true),
	}
}

func prebuilt(attrs []attribute.KeyValue) *ringtail.Span {
	now := time.Now()
	return &ringtail.Span{
		TraceID:  trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		SpanID:   trace.SpanID{1, 2, 3, 4, 5, 6, 7, 8},
		ParentID: trace.SpanID{8, 7, 6, 5, 4, 3, 2, 1},
		Flags:    trace.FlagsSampled,
		Name:     spanName, Kind: trace.SpanKindServer,
		Start: now, End: now.Add(time.Millisecond),
		Attributes: attrs,
	}
}

// remake makes a span anew in the place of an old one: new ids, two looks at the
// clock, and the attributes in a new slice, as instrumented code has them.
func remake(s *ringtail.Span) {
	s.Start = time.Now()
	binary.LittleEndian.PutUint64(s.TraceID[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(s.TraceID[8:], rand.Uint64())
	binary.LittleEndian.PutUint64(s.SpanID[:], rand.Uint64()|1)
	s.Attributes = attributes()
	s.End = time.Now()
}

// counter is an exporter that counts and does nothing else.
type counter struct{ spans, bytes atomic.Uint64 }

func (c *counter) Export(_ context.Context, b *ringtail.Batch) error {
	c.bytes.Add(uint64(len(b.Bytes())))
	c.spans.Add(uint64(b.Len()))
	return nil
}

func (c *counter) Shutdown(context.Context) error { return nil }
