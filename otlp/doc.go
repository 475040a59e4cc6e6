// Package otlp reads and writes OTLP traces, the OpenTelemetry protocol, as bytes: protobuf and JSON in,
// protobuf and JSON out. It does no network I/O and builds no span objects. It depends on the
// OpenTelemetry API alone, whose types it uses for ids and attributes.
//
// An encoded request looks like this; indentation is containment, and every line is a field: tag, length,
// contents.
//
//	0a len  ResourceSpans                    repeated
//	  0a len  Resource                       attributes of who sends
//	  12 len  ScopeSpans                     repeated
//	    0a len  InstrumentationScope
//	    12 len  Span                         repeated; this line is a "framed" span
//	      0a 10 trace id, 12 08 span id, 2a len name, 39 start, 41 end, …
//	      4a len  KeyValue                   repeated
//	        0a len key, 12 len AnyValue
//	    1a len  schema URL
//	  1a len  schema URL
//
// What follows from that layout is the whole package:
//
//   - Two requests laid side by side are one request, so joining is append.
//   - A span with its tag and length can be cut out and put elsewhere unchanged: [Spans] finds them,
//     [Split] and [AppendRequest] put them into other envelopes.
//   - One walk over the bytes tells whether a receiver would take them: [Validate]. Everything else here
//     that reads a request expects it validated; of malformed bytes it reads a part, and never panics.
//   - A span's fields can be read where they lie: [ParseSpan], [SpanView.Attribute]. What these return as
//     []byte is part of the request and lives as long as it does; strings and attribute values are copies.
//   - JSON is the same tree in other clothes: [AppendJSON] and [AppendFromJSON] transcode it without a
//     tree in between.
//
// Functions called Append… append to their first argument and return it, so that buffers can be reused.
// All functions may be called from any goroutine, as long as nobody changes the bytes they read.
//
// The protocol is OTLP 1.11 (https://opentelemetry.io/docs/specs/otlp/).
package otlp
