package otlp

// AppendTraceResponse appends an encoded ExportTraceServiceResponse: one with partial_success when spans
// were rejected or there is something to say (a warning, when none was rejected), and otherwise the
// empty message, which is success.
func AppendTraceResponse(dst []byte, rejected int64, message string) []byte {
	if rejected == 0 && message == "" {
		return dst
	}
	dst = AppendTag(dst, 1, BytesType)
	at := len(dst)
	if rejected != 0 {
		dst = AppendUint(dst, 1, uint64(rejected))
	}
	return InsertLength(appendText(dst, 2, message), at)
}

// ParseTraceResponse reads an ExportTraceServiceResponse: how many spans the receiver rejected for good
// and what it has to say. Nothing rejected and no message is success, rejected spans are not to be sent
// again (OTLP specification, "Partial Success").
func ParseTraceResponse(b []byte) (rejected int64, message string, err error) {
	if !check(responseMsg, b, 0) {
		return 0, "", explain(responseMsg, b)
	}
	f := fields(b)
	for f.next() {
		if f.tag != tag(1, BytesType) {
			continue
		}
		f := fields(f.body)
		for f.next() {
			switch f.tag {
			case tag(1, VarintType):
				rejected = int64(f.num)
			case tag(2, BytesType):
				message = string(f.body)
			}
		}
	}
	return rejected, message, nil
}

// AppendTraceResponseJSON is [AppendTraceResponse] in OTLP JSON; success is {}.
func AppendTraceResponseJSON(dst []byte, rejected int64, message string) []byte {
	return appendMessageJSON(dst, responseMsg, AppendTraceResponse(nil, rejected, message))
}

// ParseTraceResponseJSON is [ParseTraceResponse] of OTLP JSON.
func ParseTraceResponseJSON(b []byte) (rejected int64, message string, err error) {
	pb, err := appendMessageFromJSON(nil, responseMsg, b)
	if err != nil {
		return 0, "", err
	}
	return ParseTraceResponse(pb)
}

// AppendStatus appends an encoded google.rpc.Status, the body of every OTLP/HTTP answer that is an error.
// code is a gRPC status code.
func AppendStatus(dst []byte, code int32, message string) []byte {
	if code != 0 {
		dst = AppendUint(dst, 1, uint64(int64(code))) // a negative int32 takes ten bytes in protobuf
	}
	return appendText(dst, 2, message)
}

// ParseStatus reads a google.rpc.Status. Its details are not looked at.
func ParseStatus(b []byte) (code int32, message string, err error) {
	if !check(rpcStatusMsg, b, 0) {
		return 0, "", explain(rpcStatusMsg, b)
	}
	f := fields(b)
	for f.next() {
		switch f.tag {
		case tag(1, VarintType):
			code = int32(f.num)
		case tag(2, BytesType):
			message = string(f.body)
		}
	}
	return code, message, nil
}

// AppendStatusJSON is [AppendStatus] in JSON.
func AppendStatusJSON(dst []byte, code int32, message string) []byte {
	return appendMessageJSON(dst, rpcStatusMsg, AppendStatus(nil, code, message))
}

// ParseStatusJSON is [ParseStatus] of JSON.
func ParseStatusJSON(b []byte) (code int32, message string, err error) {
	pb, err := appendMessageFromJSON(nil, rpcStatusMsg, b)
	if err != nil {
		return 0, "", err
	}
	return ParseStatus(pb)
}

// appendText appends a string field, or nothing when s is empty, as proto3 has it.
func appendText(dst []byte, num int, s string) []byte {
	if s == "" {
		return dst
	}
	return AppendString(dst, num, s)
}
