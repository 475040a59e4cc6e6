package otlp

// MaxDepth is how deep messages may be nested below a request: a span is at depth 3, the value of its
// attribute at 5, each array adds 2 and each key-value list 3. Deeper requests are refused, because
// receivers refuse them: 100 is the default limit of protobuf in C++, Java, Python and Rust (prost);
// Go's is 10 000. It bounds this package's recursion.
const MaxDepth = 100

const (
	depthSpan = 3
)

// Counts says what a request holds.
type Counts struct {
	ResourceSpans int
	ScopeSpans    int
	Spans         int
	// InvalidIDs is the number of spans whose trace id or span id is absent or all zero. Such a
	// request is well formed and receivers take it, but the specification calls these spans invalid
	// and lets receivers drop them.
	InvalidIDs int
}

// Validate walks an encoded ExportTraceServiceRequest once and reports what it holds, or why a
// receiver would refuse it. What it accepts can be joined with other requests by concatenation
// without spoiling the result.
//
// It checks, down to the last attribute value: tags, varints and lengths; the wire type of every known
// field; UTF-8 in every string; trace ids of 16 bytes and span ids of 8 (or none, see
// [Counts.InvalidIDs]); nesting up to [MaxDepth]. Fields that the schema does not have are stepped
// over. Values are not checked: any enum number and any time is well formed. That is stricter than
// protobuf for Go in three things, each because the OpenTelemetry Collector or another protobuf refuses
// what Go lets pass: a known field of the wrong wire type, an id of the wrong length, deep nesting.
//
// An error is a [*SyntaxError]. Validate neither keeps nor changes req and allocates only for an
// error; it may be called from any goroutine. An empty req is a valid request of no spans.
func Validate(req []byte) (Counts, error) {
	var c Counts
	if c.request(req) {
		return c, nil
	}
	return Counts{}, explain(requestMsg, req)
}

// Count returns the number of spans in a request, touching nothing inside them. Of a request that
// [Validate] refuses it counts what comes before the malformed part.
func Count(req []byte) int {
	n := 0
	rs := fields(req)
	for rs.next() {
		if rs.tag != tag(1, BytesType) {
			continue
		}
		ss := fields(rs.body)
		for ss.next() {
			if ss.tag != tag(2, BytesType) {
				continue
			}
			s := fields(ss.body)
			for s.next() {
				if s.tag == tag(2, BytesType) {
					n++
				}
			}
		}
	}
	return n
}

// The walk: one method a message, each true when the message is well formed. They are written out,
// and not driven by the schema tables, because a table costs about three times as much a field;
// the tables' own check (explain) is what they are tested against.

func (c *Counts) request(b []byte) bool {
	for i := 0; i < len(b); {
		t, j := tagAt(b, i)
		switch t {
		case tag(1, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !c.resourceSpans(b[j:j+n]) {
				return false
			}
			c.ResourceSpans++
			i = j + n
		default:
			if i = walkUnknown(b, j, t, requestMsg, 0); i < 0 {
				return false
			}
		}
	}
	return true
}

// fieldDeprecatedScopeSpans is where ResourceSpans had its spans before OTLP 0.15. The schema has
// reserved the number and other receivers step over it, but the OpenTelemetry Collector still
// decodes it, so garbage in it would spoil a batch there.
const fieldDeprecatedScopeSpans = 1000

func (c *Counts) resourceSpans(b []byte) bool {
	for i := 0; i < len(b); {
		t, j := tagAt(b, i)
		switch t {
		case tag(1, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !walkResource(b[j:j+n]) {
				return false
			}
			i = j + n
		case tag(2, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !c.scopeSpans(b[j:j+n]) {
				return false
			}
			c.ScopeSpans++
			i = j + n
		case tag(3, BytesType):
			if i = walkString(b, j); i < 0 {
				return false
			}
		case tag(fieldDeprecatedScopeSpans, BytesType):
			n, j := length(b, j)
			var uncounted Counts
			if n > len(b)-j || !uncounted.scopeSpans(b[j:j+n]) {
				return false
			}
			i = j + n
		default:
			if t>>3 == fieldDeprecatedScopeSpans {
				return false
			}
			if i = walkUnknown(b, j, t, resourceSpansMsg, 1); i < 0 {
				return false
			}
		}
	}
	return true
}

func (c *Counts) scopeSpans(b []byte) bool {
	for i := 0; i < len(b); {
		t, j := tagAt(b, i)
		switch t {
		case tag(2, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !c.span(b[j:j+n]) {
				return false
			}
			c.Spans++
			i = j + n
		case tag(1, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !walkScope(b[j:j+n]) {
				return false
			}
			i = j + n
		case tag(3, BytesType):
			if i = walkString(b, j); i < 0 {
				return false
			}
		default:
			if i = walkUnknown(b, j, t, scopeSpansMsg, 2); i < 0 {
				return false
			}
		}
	}
	return true
}

func (c *Counts) span(b []byte) bool {
	var trace, span bool
	for i := 0; i < len(b); {
		t, j := uint32(b[i]), i+1
		if t >= 0x80 {
			t, j = tagSlow(b, i)
		}
		switch t {
		case tag(9, BytesType): // attributes
			if k := plainAttributes(b[i:]); k > 0 {
				i += k
				continue
			}
			n, j := length(b, j)
			if n > len(b)-j || !walkKeyValue(b[j:j+n], depthSpan+1) {
				return false
			}
			i = j + n
		case tag(1, BytesType): // trace_id
			n, j := length(b, j)
			if n > len(b)-j || n != 16 && n != 0 {
				return false
			}
			trace = n == 16 && [16]byte(b[j:j+16]) != [16]byte{}
			i = j + n
		case tag(2, BytesType): // span_id
			n, j := length(b, j)
			if n > len(b)-j || n != 8 && n != 0 {
				return false
			}
			span = n == 8 && [8]byte(b[j:j+8]) != [8]byte{}
			i = j + n
		case tag(4, BytesType): // parent_span_id
			n, j := length(b, j)
			if n > len(b)-j || n != 8 && n != 0 {
				return false
			}
			i = j + n
		case tag(3, BytesType), tag(5, BytesType): // trace_state, name
			if i = walkString(b, j); i < 0 {
				return false
			}
		case tag(7, Fixed64Type), tag(8, Fixed64Type): // start, end
			if i = fixed(b, j, 8); i < 0 {
				return false
			}
		case tag(16, Fixed32Type): // flags
			if i = fixed(b, j, 4); i < 0 {
				return false
			}
		case tag(6, VarintType), tag(10, VarintType), tag(12, VarintType), tag(14, VarintType):
			// kind and the dropped counts
			if i = skipVarint(b, j); i < 0 {
				return false
			}
		case tag(11, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !walkEvent(b[j:j+n]) {
				return false
			}
			i = j + n
		case tag(13, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !walkLink(b[j:j+n]) {
				return false
			}
			i = j + n
		case tag(15, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !walkStatus(b[j:j+n]) {
				return false
			}
			i = j + n
		default:
			if i = walkUnknown(b, j, t, spanMsg, depthSpan); i < 0 {
				return false
			}
		}
	}
	if !trace || !span {
		c.InvalidIDs++
	}
	return true
}

func walkEvent(b []byte) bool {
	for i := 0; i < len(b); {
		t, j := tagAt(b, i)
		switch t {
		case tag(1, Fixed64Type):
			if i = fixed(b, j, 8); i < 0 {
				return false
			}
		case tag(2, BytesType):
			if i = walkString(b, j); i < 0 {
				return false
			}
		case tag(3, BytesType):
			n, j := length(b, j)
			if n > len(b)-j || !walkKeyValue(b[j:j+n], depthSpan+2) {
				return false
			}
			i = j + n
		case tag(4, VarintType):
			if i = skipVarint(b, j); i < 0 {
				return false
			}
		default:
			if i = walkUnknown(b, j, t, eventMsg, depthSpan+1); i < 0 {
				return false
			}
		}
	}
	return true
}

// Messages of which a request has few go by the tables.
func walkResource(b []byte) bool { return check(resourceMsg, b, 2) }
func walkScope(b []byte) bool    { return check(scopeMsg, b, 3) }
func walkLink(b []byte) bool     { return check(linkMsg, b, depthSpan+1) }
func walkStatus(b []byte) bool   { return check(spanStatusMsg, b, depthSpan+1) }

// walkString steps over a string field's value.
func walkString(b []byte, i int) int {
	n, i := length(b, i)
	if n > len(b)-i || !validUTF8(b[i:i+n]) {
		return errTruncated
	}
	return i + n
}

// walkUnknown steps over a field of which the caller has no case: unknown, or known under another
// wire type.
func walkUnknown(b []byte, i int, t uint32, m *message, depth int) int {
	if t == 0 || m.field(t>>3) >= 0 {
		return errTruncated
	}
	return skip(b, i, t, depth)
}
