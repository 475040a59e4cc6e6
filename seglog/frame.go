package seglog

import (
	"encoding/binary"
	"hash/crc32"
)

// Layout of a frame's header; see the package documentation.
const (
	headerSize = 48

	frameMagic uint32 = 0x31465452 // "RTF1"

	atMagic    = 0
	atLength   = 4
	atPosition = 8
	atBefore   = 16
	atTime     = 24
	atCount    = 32
	atID       = 36
	atBodySum  = 40
	atSum      = 44
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what a frame says of itself.
type header struct {
	length   int      // of the body
	position Position // of the frame
	before   uint64   // cumulative count of all frames before it
	time     int64    // Unix nanoseconds when it was reserved
	count    uint32
	id       uint32 // of the segment
	bodySum  uint32
}

// put writes the header to the beginning of b.
func (h *header) put(b []byte) {
	_ = b[headerSize-1]
	le := binary.LittleEndian
	le.PutUint32(b[atMagic:], frameMagic)
	le.PutUint32(b[atLength:], uint32(h.length))
	le.PutUint64(b[atPosition:], uint64(h.position))
	le.PutUint64(b[atBefore:], h.before)
	le.PutUint64(b[atTime:], uint64(h.time))
	le.PutUint32(b[atCount:], h.count)
	le.PutUint32(b[atID:], h.id)
	le.PutUint32(b[atBodySum:], h.bodySum)
	le.PutUint32(b[atSum:], crc32.Checksum(b[:atSum], castagnoli))
}

// trustedHeader reads a header that this process has written itself.
func trustedHeader(b []byte) header {
	_ = b[headerSize-1]
	le := binary.LittleEndian
	return header{
		length:   int(le.Uint32(b[atLength:])),
		position: Position(le.Uint64(b[atPosition:])),
		before:   le.Uint64(b[atBefore:]),
		time:     int64(le.Uint64(b[atTime:])),
		count:    le.Uint32(b[atCount:]),
		id:       le.Uint32(b[atID:]),
		bodySum:  le.Uint32(b[atBodySum:]),
	}
}

// parseHeader reads the header at the beginning of b, and says whether it is one, and
// is at the position where it says it is.
func parseHeader(b []byte, at Position) (header, bool) {
	if len(b) < headerSize || binary.LittleEndian.Uint32(b) != frameMagic ||
		binary.LittleEndian.Uint32(b[atSum:]) != crc32.Checksum(b[:atSum], castagnoli) {
		return header{}, false
	}
	h := trustedHeader(b)
	return h, h.position == at && h.length <= largestBody
}

// size is what the frame takes in the log.
func (h *header) size() int { return headerSize + h.length }

// end is where the next frame begins.
func (h *header) end() Position { return h.position + Position(h.size()) }

// after is the cumulative count of all frames up to and with this one.
func (h *header) after() uint64 { return h.before + uint64(h.count) }

func bodySum(body []byte) uint32 { return crc32.Checksum(body, castagnoli) }
