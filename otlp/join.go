package otlp

// Two encoded requests are joined by laying their bytes side by side: a request is one repeated field,
// and protobuf decodes the concatenation of two messages as their merge. So there is no function for
// it; append(a, b...) is the join.

// A ScopeRun is the spans of one instrumentation scope, encoded.
type ScopeRun struct {
	Scope     []byte // encoded InstrumentationScope, without tag and length; nil for none
	SchemaURL string
	Spans     []byte // framed spans one after another, as [SpanRef.Framed] is: tag 0x12, length, Span
}

// AppendRequest appends to dst a request of one ResourceSpans, with the scopes given, and returns the
// extended slice. resource is an encoded Resource, without tag and length; nil for none. Nothing of it
// is checked: what it is given must have been encoded here or validated.
//
// With no scope runs it appends an envelope without spans, which the specification asks not to send.
func AppendRequest(dst, resource []byte, resourceSchemaURL string, scopes ...ScopeRun) []byte {
	size := messageSize(resource) + stringSize(resourceSchemaURL)
	for i := range scopes {
		size += framedSize(scopes[i].size())
	}
	dst = appendFrame(dst, 1, size)
	if resource != nil {
		dst = AppendBytes(dst, 1, resource)
	}
	for i := range scopes {
		s := &scopes[i]
		dst = appendFrame(dst, 2, s.size())
		if s.Scope != nil {
			dst = AppendBytes(dst, 1, s.Scope)
		}
		dst = append(dst, s.Spans...)
		dst = appendURL(dst, s.SchemaURL)
	}
	return appendURL(dst, resourceSchemaURL)
}

func (s *ScopeRun) size() int {
	return messageSize(s.Scope) + len(s.Spans) + stringSize(s.SchemaURL)
}

func messageSize(body []byte) int {
	if body == nil {
		return 0
	}
	return framedSize(len(body))
}

func stringSize(s string) int {
	if s == "" {
		return 0
	}
	return framedSize(len(s))
}

// framedSize is the size of a length-delimited field with a one-byte tag and a body of n bytes.
func framedSize(n int) int { return 1 + SizeVarint(uint64(n)) + n }

// appendFrame appends the tag and the length of a length-delimited field of n bytes.
func appendFrame(dst []byte, num, n int) []byte {
	return AppendVarint(AppendTag(dst, num, BytesType), uint64(n))
}

// appendURL appends a schema URL, field 3, or nothing when it is empty, as proto3 has it. It does not go by
// AppendString, which may lengthen what is not UTF-8 after its size has been reckoned.
func appendURL(dst []byte, url string) []byte {
	if url == "" {
		return dst
	}
	return append(appendFrame(dst, 3, len(url)), url...)
}
