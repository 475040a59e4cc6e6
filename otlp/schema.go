package otlp

// The messages of OTLP traces as tables, for everything that goes by schema and not by speed: naming
// the place of an error, and JSON in both directions. Taken from opentelemetry-proto 1.11
// (collector/trace/v1, trace/v1, resource/v1, common/v1) and google/rpc/status.proto.

// A kind is how a field's value is written on the wire, checked, and shown in JSON.
type kind uint8

const (
	kindString kind = iota
	kindBytes
	kindTraceID // bytes: 16 or none; hex in JSON
	kindSpanID  // bytes: 8 or none; hex in JSON
	kindMessage
	kindBool
	kindEnum
	kindInt32
	kindUint32
	kindInt64 // varint; a decimal string in JSON
	kindFixed32
	kindFixed64 // a decimal string in JSON
	kindDouble
)

// The wire types that OTLP does not use, but unknown fields may.
const (
	startGroupType WireType = 3
	endGroupType   WireType = 4
)

func (k kind) wireType() WireType {
	switch k {
	case kindString, kindBytes, kindTraceID, kindSpanID, kindMessage:
		return BytesType
	case kindFixed32:
		return Fixed32Type
	case kindFixed64, kindDouble:
		return Fixed64Type
	default:
		return VarintType
	}
}

type field struct {
	num      uint32
	name     string // as in the .proto file: snake case
	json     string // lowerCamelCase of name
	kind     kind
	repeated bool
	always   bool             // present in JSON even when absent on the wire, as the Collector writes it
	oneof    bool             // a member of the message's oneof: its zero value is a value
	msg      *message         // of kindMessage
	enum     map[string]int32 // of kindEnum
}

// maxFields is the largest number of fields that a message has; arrays of that size stand on the
// stack where a message's fields are gathered.
const maxFields = 16

type message struct {
	name   string
	fields []field // in the order of the .proto file, which is the Collector's order in JSON
	byNum  [maxFields + 1]int8
}

// field returns the index of field number num, or -1.
func (m *message) field(num uint32) int {
	if num >= uint32(len(m.byNum)) {
		return -1
	}
	return int(m.byNum[num])
}

var (
	spanKinds = map[string]int32{
		"SPAN_KIND_UNSPECIFIED": 0, "SPAN_KIND_INTERNAL": 1, "SPAN_KIND_SERVER": 2,
		"SPAN_KIND_CLIENT": 3, "SPAN_KIND_PRODUCER": 4, "SPAN_KIND_CONSUMER": 5,
	}
	statusCodes = map[string]int32{
		"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2,
	}

	anyValueMsg   = &message{name: "AnyValue"} // filled by init: it contains itself
	keyValueMsg   = define("KeyValue", str(1, "key"), always(sub(2, "value", anyValueMsg)), scalar(3, "key_strindex", kindInt32))
	arrayValueMsg = define("ArrayValue", repeated(sub(1, "values", anyValueMsg)))
	kvListMsg     = define("KeyValueList", repeated(sub(1, "values", keyValueMsg)))

	entityRefMsg = define("EntityRef",
		str(1, "schema_url"), str(2, "type"), repeated(str(3, "id_keys")), repeated(str(4, "description_keys")))
	resourceMsg = define("Resource",
		repeated(sub(1, "attributes", keyValueMsg)), scalar(2, "dropped_attributes_count", kindUint32),
		repeated(sub(3, "entity_refs", entityRefMsg)))
	scopeMsg = define("InstrumentationScope",
		str(1, "name"), str(2, "version"), repeated(sub(3, "attributes", keyValueMsg)),
		scalar(4, "dropped_attributes_count", kindUint32))

	eventMsg = define("Event",
		scalar(1, "time_unix_nano", kindFixed64), str(2, "name"),
		repeated(sub(3, "attributes", keyValueMsg)), scalar(4, "dropped_attributes_count", kindUint32))
	linkMsg = define("Link",
		scalar(1, "trace_id", kindTraceID), scalar(2, "span_id", kindSpanID), str(3, "trace_state"),
		repeated(sub(4, "attributes", keyValueMsg)), scalar(5, "dropped_attributes_count", kindUint32),
		scalar(6, "flags", kindFixed32))
	spanStatusMsg = define("Status", str(2, "message"), enum(3, "code", statusCodes))
	spanMsg       = define("Span",
		scalar(1, "trace_id", kindTraceID), scalar(2, "span_id", kindSpanID), str(3, "trace_state"),
		scalar(4, "parent_span_id", kindSpanID), scalar(16, "flags", kindFixed32), str(5, "name"),
		enum(6, "kind", spanKinds), scalar(7, "start_time_unix_nano", kindFixed64),
		scalar(8, "end_time_unix_nano", kindFixed64), repeated(sub(9, "attributes", keyValueMsg)),
		scalar(10, "dropped_attributes_count", kindUint32), repeated(sub(11, "events", eventMsg)),
		scalar(12, "dropped_events_count", kindUint32), repeated(sub(13, "links", linkMsg)),
		scalar(14, "dropped_links_count", kindUint32), always(sub(15, "status", spanStatusMsg)))

	scopeSpansMsg = define("ScopeSpans",
		always(sub(1, "scope", scopeMsg)), repeated(sub(2, "spans", spanMsg)), str(3, "schema_url"))
	resourceSpansMsg = define("ResourceSpans",
		always(sub(1, "resource", resourceMsg)), repeated(sub(2, "scope_spans", scopeSpansMsg)), str(3, "schema_url"))
	requestMsg = define("ExportTraceServiceRequest", repeated(sub(1, "resource_spans", resourceSpansMsg)))

	partialSuccessMsg = define("ExportTracePartialSuccess",
		scalar(1, "rejected_spans", kindInt64), str(2, "error_message"))
	responseMsg = define("ExportTraceServiceResponse", sub(1, "partial_success", partialSuccessMsg))

	// google.rpc.Status without its details, which are messages of any type: in JSON they need the
	// schema of what they hold.
	rpcStatusMsg = define("Status", scalar(1, "code", kindInt32), str(2, "message"))
)

func init() {
	anyValueMsg.fill(
		oneof(str(1, "string_value")), oneof(scalar(2, "bool_value", kindBool)),
		oneof(scalar(3, "int_value", kindInt64)), oneof(scalar(4, "double_value", kindDouble)),
		oneof(sub(5, "array_value", arrayValueMsg)), oneof(sub(6, "kvlist_value", kvListMsg)),
		oneof(scalar(7, "bytes_value", kindBytes)), oneof(scalar(8, "string_value_strindex", kindInt32)))
}

func define(name string, fields ...field) *message {
	m := &message{name: name}
	m.fill(fields...)
	return m
}

func (m *message) fill(fields ...field) {
	m.fields = fields
	for i := range m.byNum {
		m.byNum[i] = -1
	}
	for i := range fields {
		m.byNum[fields[i].num] = int8(i)
	}
}

func scalar(num uint32, name string, k kind) field {
	return field{num: num, name: name, json: lowerCamel(name), kind: k}
}

func str(num uint32, name string) field { return scalar(num, name, kindString) }

func enum(num uint32, name string, values map[string]int32) field {
	f := scalar(num, name, kindEnum)
	f.enum = values
	return f
}

func sub(num uint32, name string, m *message) field {
	f := scalar(num, name, kindMessage)
	f.msg = m
	return f
}

func repeated(f field) field { f.repeated = true; return f }
func always(f field) field   { f.always = true; return f }
func oneof(f field) field    { f.oneof = true; return f }

func lowerCamel(snake string) string {
	out := make([]byte, 0, len(snake))
	upper := false
	for _, c := range []byte(snake) {
		switch {
		case c == '_':
			upper = true
		case upper:
			out = append(out, c-'a'+'A')
			upper = false
		default:
			out = append(out, c)
		}
	}
	return string(out)
}
