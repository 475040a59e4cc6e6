package unary

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http2"
)

// Status is why a call did not succeed, as it is sent. It may be used for many calls.
type Status struct{ block []byte }

// The codes that this package uses itself. (gRPC, "Status codes".)
const (
	codeUnimplemented     = 12
	codeResourceExhausted = 8
	codeInvalidArgument   = 3
)

var (
	statusLargeHeader = newStatus("431", codeResourceExhausted, "the request's header is larger than "+strconv.Itoa(MaxHeader)+" bytes", nil)
	statusMethod      = newStatus("405", codeUnimplemented, "gRPC calls are made with POST", nil)
	statusType        = newStatus("415", codeInvalidArgument, "the content type is not application/grpc", nil)
)

// maxText bounds a status's text, as it is sent: it has to fit into a frame that every client
// takes, and requests that are refused cost as much to send as this, not more.
const maxText = 2 << 10

// NewStatus makes a status of a code, a text for people, and details: nil, or an encoded
// google.rpc.Status. (gRPC over HTTP/2, "Responses".)
func NewStatus(code uint32, text string, details []byte) *Status {
	return newStatus("200", code, text, details)
}

func newStatus(http string, code uint32, text string, details []byte) *Status {
	block := appendField([]byte{noTable}, ":status", http)
	block = append(block, contentType...)
	block = appendField(block, "grpc-status", strconv.Itoa(int(code)))
	block = appendField(block, "grpc-message", escape(text))
	if len(details) > 0 && len(details) <= 2*maxText {
		block = appendField(block, "grpc-status-details-bin", base64.RawStdEncoding.EncodeToString(details))
	}
	return &Status{block}
}

// append appends the whole answer of a call.
func (s *Status) append(dst []byte, stream uint32) []byte {
	dst = appendFrame(dst, len(s.block), http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, stream)
	return append(dst, s.block...)
}

var (
	contentType = appendField(nil, "content-type", "application/grpc")

	successHeader  = append(appendField([]byte{noTable}, ":status", "200"), contentType...)
	successTrailer = appendField(nil, "grpc-status", "0")
)

// appendSuccess appends the whole answer of a call that succeeded with an empty message.
func appendSuccess(dst []byte, stream uint32) []byte {
	dst = appendFrame(dst, len(successHeader), http2.FrameHeaders, http2.FlagHeadersEndHeaders, stream)
	dst = append(dst, successHeader...)
	dst = appendFrame(dst, emptyMessage, http2.FrameData, 0, stream)
	dst = append(dst, make([]byte, emptyMessage)...)
	dst = appendFrame(dst, len(successTrailer), http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, stream)
	return append(dst, successTrailer...)
}

// noTable begins a header: nothing of it is to be remembered. A client that has asked for a smaller
// table than usual may insist on hearing that. (RFC 7541, sections 4.2 and 6.3.)
const noTable = 0x20

// appendField appends a field as it is: not compressed, and not to be remembered. Then it
// does not matter what was sent before. (RFC 7541, section 6.2.2.)
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, 0)
	dst = appendText(dst, name)
	return appendText(dst, value)
}

// appendText appends a string. (RFC 7541, sections 5.1 and 5.2.)
func appendText(dst []byte, s string) []byte {
	n := len(s)
	if n < 127 {
		dst = append(dst, byte(n))
	} else {
		dst = append(dst, 127)
		for n -= 127; n >= 128; n >>= 7 {
			dst = append(dst, byte(n)|128)
		}
		dst = append(dst, byte(n))
	}
	return append(dst, s...)
}

// escape makes a text fit for a header, and not longer than maxText. (gRPC over HTTP/2,
// "Percent-Encoded".)
func escape(text string) string {
	const digits = "0123456789ABCDEF"
	text = strings.ToValidUTF8(text[:min(len(text), maxText)], "?")
	out := make([]byte, 0, len(text)+16)
	for i := range len(text) {
		if utf8.RuneStart(text[i]) && len(out) > maxText-3*utf8.UTFMax {
			break
		}
		if b := text[i]; b < ' ' || b > '~' || b == '%' {
			out = append(out, '%', digits[b>>4], digits[b&15])
		} else {
			out = append(out, b)
		}
	}
	return string(out)
}
