package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The region of a byte ring, version 1. Every field is in the byte order of
// the machine that made it; a region does not travel between byte orders, and
// the magic number tells when one did.
//
//	offset  size  field
//	     0     8  magic, the number 0x52494e475441494c ("RINGTAIL")
//	     8     4  layout version, 1
//	    12     4  offset of the first record, 512
//	    16     8  capacity: bytes for records, a power of two
//	   128     8  tail: where the next record will start; bit 0 set: closed
//	   256     8  head: where the oldest record in use starts
//	   512     …  records, capacity bytes
//
// Bytes not named are zero. Tail is written by the producer (and once by
// whoever closes), head by the consumer; each has 128 bytes to itself.
//
// Positions are unbounded 64-bit byte counts that only grow, and wrap at 2^64.
// They are multiples of 8. The record at position p is found at offset 512 +
// p mod capacity:
//
//	offset  size  field
//	     0     8  header: low half, length of the payload in bytes, or
//	              0xffffffff for padding; high half, the application's tag
//	     8     …  payload, then up to 7 bytes without meaning
//
// A record never continues at the start of the region. Where it would not fit
// before the end, a padding header says that the rest of the region holds
// nothing, and the record follows at the start.
const (
	magic         uint64 = 0x52494e475441494c
	layoutVersion uint32 = 1

	magicAt    = 0
	versionAt  = 8
	firstAt    = 12
	capacityAt = 16
	tailAt     = 1 * line
	headAt     = 2 * line
	recordsAt  = 4 * line

	headerSize        = 8
	padding    uint32 = 1<<32 - 1 // in the place of a length
	closedBit  uint64 = 1

	minBytes = 1 << 10
	maxBytes = 1 << 30
)

// Errors that [OpenBytes] wraps.
var (
	// ErrNotRing: the region does not begin as a byte ring of this machine does.
	ErrNotRing = errors.New("not a byte ring")
	// ErrVersion: the region has a layout that this version does not read.
	ErrVersion = errors.New("unknown layout version")
	// ErrCorrupt: the region is a byte ring, and its contents contradict
	// one another.
	ErrCorrupt = errors.New("corrupt byte ring")
)

// recordSize is the room that a record with n bytes of payload takes.
func recordSize(n uint64) uint64 { return (headerSize + n + 7) &^ 7 }

// maxRecord is the longest payload that a ring of this capacity takes. Half
// the capacity, because the worst position wastes almost as much as the record
// needs before it finds a contiguous place.
func maxRecord(capacity uint64) uint64 { return capacity/2 - headerSize }

// putHeader writes the header of a record, or of padding.
func putHeader(b []byte, length, tag uint32) {
	binary.NativeEndian.PutUint64(b, uint64(length)|uint64(tag)<<32)
}

// header reads what putHeader wrote.
func header(b []byte) (length, tag uint32) {
	h := binary.NativeEndian.Uint64(b)
	return uint32(h), uint32(h >> 32)
}

// format writes the header of an empty ring into region, which is zero.
func format(region []byte, capacity, start uint64) {
	binary.NativeEndian.PutUint64(region[magicAt:], magic)
	binary.NativeEndian.PutUint32(region[versionAt:], layoutVersion)
	binary.NativeEndian.PutUint32(region[firstAt:], recordsAt)
	binary.NativeEndian.PutUint64(region[capacityAt:], capacity)
	word(region, tailAt).Store(start)
	word(region, headAt).Store(start)
}

// inspect validates a region that this process did not make and returns its
// capacity and positions. It reads nothing outside region.
func inspect(region []byte) (capacity, head, tail uint64, err error) {
	fail := func(kind error, format string, args ...any) (uint64, uint64, uint64, error) {
		return 0, 0, 0, fmt.Errorf("cannot open byte ring: %w: %s", kind, fmt.Sprintf(format, args...))
	}
	if len(region) < recordsAt {
		return fail(ErrNotRing, "%d bytes are fewer than the header's %d", len(region), recordsAt)
	}
	if !aligned(region) {
		return fail(ErrNotRing, "the region does not start on a multiple of 8")
	}
	if m := binary.NativeEndian.Uint64(region[magicAt:]); m != magic {
		return fail(ErrNotRing, "magic number %#x, want %#x", m, magic)
	}
	if v := binary.NativeEndian.Uint32(region[versionAt:]); v != layoutVersion {
		return fail(ErrVersion, "version %d, want %d", v, layoutVersion)
	}
	if first := binary.NativeEndian.Uint32(region[firstAt:]); first != recordsAt {
		return fail(ErrCorrupt, "records start at offset %d, want %d", first, recordsAt)
	}
	capacity = binary.NativeEndian.Uint64(region[capacityAt:])
	if capacity < minBytes || capacity > maxBytes || capacity&(capacity-1) != 0 {
		return fail(ErrCorrupt, "capacity %d is not a power of two from %d to %d", capacity, minBytes, maxBytes)
	}
	if have := uint64(len(region) - recordsAt); have < capacity {
		return fail(ErrCorrupt, "capacity %d, but the region has only %d bytes of records", capacity, have)
	}
	// Head first: a live producer can only move tail away from it.
	head = word(region, headAt).Load()
	tail = word(region, tailAt).Load() &^ closedBit
	if head%8 != 0 || tail%8 != 0 || tail-head > capacity {
		return fail(ErrCorrupt, "head %d and tail %d do not fit a capacity of %d", head, tail, capacity)
	}
	records := region[recordsAt : recordsAt+capacity]
	for pos := head; pos != tail; {
		offset := pos & (capacity - 1)
		size := capacity - offset
		if n, _ := header(records[offset:]); n != padding {
			if uint64(n) > maxRecord(capacity) || recordSize(uint64(n)) > size {
				return fail(ErrCorrupt, "record at position %d (offset %d) claims %d bytes", pos, recordsAt+offset, n)
			}
			size = recordSize(uint64(n))
		}
		if size > tail-pos {
			return fail(ErrCorrupt, "record at position %d (offset %d) ends %d bytes beyond tail", pos, recordsAt+offset, size-(tail-pos))
		}
		pos += size
	}
	return capacity, head, tail, nil
}
