package ringtailtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// NewBatch encodes spans into a batch, which stays valid for as long as it is kept.
// Unlike a submitted span, each keeps its own Resource; neighbours share one if
// the pointers are equal. A span may take 128 KiB. The error says which span could
// not be encoded.
func NewBatch(spans ...*ringtail.Span) (*ringtail.Batch, error) {
	var request []byte
	for len(spans) > 0 {
		n := 1
		for n < len(spans) && spans[n].Resource == spans[0].Resource {
			n++
		}
		var err error
		if request, err = appendRequest(request, spans[:n]); err != nil {
			return nil, err
		}
		spans = spans[n:]
	}
	return ringtail.NewBatch(request)
}

// appendRequest appends the request for spans of one resource: two requests laid
// side by side are one request.
func appendRequest(dst []byte, spans []*ringtail.Span) ([]byte, error) {
	resource := spans[0].Resource
	if resource == nil {
		resource = &ringtail.Resource{}
	}
	core, err := ringtail.NewCore(ringtail.WithResource(resource), ringtail.WithRingBits(10),
		ringtail.WithBatchSpans(1<<24), ringtail.WithBatchBytes(1<<30))
	if err != nil {
		return dst, err
	}
	p, err := core.Register()
	if err != nil {
		return dst, err
	}
	b := core.NewBuilder()
	for i, s := range spans {
		err := p.TrySubmit(s)
		if errors.Is(err, ringtail.ErrFull) {
			core.ConsumeUpTo(len(spans), b)
			err = p.TrySubmit(s)
		}
		if err != nil {
			return dst, fmt.Errorf("ringtailtest: cannot encode span %d: %w", i, err)
		}
	}
	core.ConsumeUpTo(len(spans), b)
	return append(dst, b.Batch().Bytes()...), nil
}

// Spans returns n made-up spans, the same ones for the same seed: traces of up to
// ten spans under one root, with attributes, some with an event, some failed.
func Spans(seed uint64, n int) []*ringtail.Span {
	r := rand.New(rand.NewPCG(seed, seed))
	resource := &ringtail.Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "made-up")}}
	scope := &ringtail.Scope{Name: "ringtailtest"}
	start := time.Unix(1_700_000_000, 0).UTC()
	spans := make([]*ringtail.Span, 0, n)
	var root *ringtail.Span
	for i := range n {
		begin := time.Duration(1+r.IntN(1000)) * time.Microsecond
		s := &ringtail.Span{
			SpanID: spanID(r), Name: fmt.Sprintf("operation %d", r.IntN(20)),
			Kind: trace.SpanKind(1 + r.IntN(5)), Flags: trace.FlagsSampled,
			Start: start.Add(begin), End: start.Add(begin + time.Duration(r.IntN(2000))*time.Microsecond),
			Scope: scope, Resource: resource,
			Attributes: []attribute.KeyValue{
				attribute.Int("index", i),
				attribute.String("url.path", fmt.Sprintf("/things/%d", r.IntN(1000))),
				attribute.Bool("cache.hit", r.IntN(2) == 0),
			},
		}
		if i%10 == 0 {
			root = s
			s.TraceID = traceID(r)
			s.Start, s.End = start, start.Add(5*time.Millisecond)
		} else {
			s.TraceID, s.ParentID = root.TraceID, root.SpanID
		}
		if r.IntN(5) == 0 {
			s.Status = ringtail.Status{Code: codes.Error, Description: "it did not work"}
		}
		if r.IntN(4) == 0 {
			s.Events = []ringtail.Event{{Name: "retry", Time: s.Start, Attributes: s.Attributes[:1:1]}}
		}
		spans = append(spans, s)
	}
	return spans
}

// The first byte of an id is not zero, and so the id is not.
func traceID(r *rand.Rand) (id trace.TraceID) {
	binary.LittleEndian.PutUint64(id[:8], r.Uint64()|1)
	binary.LittleEndian.PutUint64(id[8:], r.Uint64())
	return id
}

func spanID(r *rand.Rand) (id trace.SpanID) {
	binary.LittleEndian.PutUint64(id[:], r.Uint64()|1)
	return id
}
