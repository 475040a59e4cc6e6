package otlp

import "iter"

// Split iterates over requests that together hold the spans of req, in order, each of at most maxBytes
// bytes. Where a ResourceSpans or ScopeSpans is cut, what describes it is repeated in each part, fields
// unknown to us included; those without spans are left out, and so are unknown fields of the request
// itself.
//
// A span that does not fit even alone, with its resource and scope, is yielded in a request of its own
// that is longer than maxBytes: it is the caller's to send or to drop and count. A req that already fits
// is yielded as it is, an empty one not at all; all other parts are new slices, which the caller may
// keep. req must have been validated.
func Split(req []byte, maxBytes int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(req) <= maxBytes {
			if len(req) > 0 {
				yield(req)
			}
			return
		}
		var p part
		left := len(req) // bounds what the next part can need
		for ref := range Spans(req) {
			if p.env != nil && p.sizeWith(ref) > maxBytes {
				if !yield(p.close()) {
					return
				}
				p = part{}
			}
			if p.env == nil {
				alone := len(ref.Envelope.resourceHeader) + len(ref.Envelope.scopeHeader) + len(ref.Framed) + 12
				p.out = make([]byte, 0, max(alone, min(maxBytes, left)))
			}
			p.add(ref)
			left -= len(ref.Framed)
		}
		if p.env != nil {
			yield(p.close())
		}
	}
}

// A part is a request under construction. Its last ResourceSpans and ScopeSpans are open: their lengths
// are not written yet.
type part struct {
	out      []byte
	resource int       // where in out the body of the open ResourceSpans begins; its tag stands before it
	scope    int       // likewise of the open ScopeSpans
	env      *Envelope // of the open ScopeSpans; nil when the part is empty
}

// sizeWith is the size that the part, closed, has with one more span.
func (p *part) sizeWith(ref SpanRef) int {
	n := len(ref.Framed)
	scope := len(p.out) - p.scope
	if ref.Envelope == p.env {
		return p.sizeOf(framedSize(scope + n))
	}
	newScope := framedSize(len(ref.Envelope.scopeHeader) + n)
	if ref.Envelope.resourceIndex == p.env.resourceIndex {
		return p.sizeOf(framedSize(scope) + newScope)
	}
	return p.sizeOf(framedSize(scope)) + framedSize(len(ref.Envelope.resourceHeader)+newScope)
}

// sizeOf is the size of the part when the open ScopeSpans, framed, and what follows it take n bytes.
func (p *part) sizeOf(n int) int {
	beforeResource := p.resource - 1
	return beforeResource + framedSize(p.scope-1-p.resource+n)
}

func (p *part) add(ref SpanRef) {
	if env := ref.Envelope; env != p.env {
		if p.env != nil {
			p.out = InsertLength(p.out, p.scope)
		}
		if p.env == nil || env.resourceIndex != p.env.resourceIndex {
			if p.env != nil {
				p.out = InsertLength(p.out, p.resource)
			}
			p.out = AppendTag(p.out, 1, BytesType)
			p.resource = len(p.out)
			p.out = append(p.out, env.resourceHeader...)
		}
		p.out = AppendTag(p.out, 2, BytesType)
		p.scope = len(p.out)
		p.out = append(p.out, env.scopeHeader...)
		p.env = env
	}
	p.out = append(p.out, ref.Framed...)
}

func (p *part) close() []byte {
	return InsertLength(InsertLength(p.out, p.scope), p.resource)
}
