package unary

import (
	"errors"
	"strings"

	"golang.org/x/net/http2/hpack"
)

const (
	// tableSize is what header compression may remember of a connection's headers.
	tableSize = 4 << 10

	// maxContinued bounds the frames that a header is cut into.
	maxContinued = 64
)

// Header is what a call says of itself.
type Header struct {
	Path     string // "/service/method"
	Encoding string // how messages are compressed that say that they are: "grpc-encoding"

	method, contentType string
	size                int // of all fields, as HTTP/2 counts them
}

// grpc says whether this is a call at all. (gRPC over HTTP/2, "Requests".)
func (h *Header) grpc() bool {
	rest, ok := strings.CutPrefix(h.contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// header is a header that is coming.
type header struct {
	Header
	decoder *hpack.Decoder

	stream    uint32 // whose; 0: none is coming
	last      bool   // nothing comes behind it
	block     []byte // what has come of it, if it comes in several frames
	continued int    // frames
	began     uint64 // ticks: of it, or of another frame without content, or of the connection
}

// emit takes one field. Of a header that is too large the rest is not looked at, but it
// must be decoded, since later ones refer to it.
func (h *header) emit(f hpack.HeaderField) {
	h.size += int(f.Size())
	if h.size > MaxHeader {
		h.decoder.SetEmitEnabled(false)
		return
	}
	switch f.Name {
	case ":path":
		h.Path = f.Value
	case ":method":
		h.method = f.Value
	case "content-type":
		h.contentType = f.Value
	case "grpc-encoding":
		h.Encoding = f.Value
	}
}

var errHeader = errors.New("a header cannot be unpacked")

// decode unpacks a whole block.
func (h *header) decode(block []byte) error {
	h.Header = Header{}
	h.decoder.SetEmitEnabled(true)
	if _, err := h.decoder.Write(block); err != nil {
		return errHeader
	}
	if h.decoder.Close() != nil {
		return errHeader
	}
	return nil
}
