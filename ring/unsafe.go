package ring

import (
	"sync/atomic"
	"unsafe"
)

// This file holds the package's only uses of package unsafe. A byte ring's
// region is a plain []byte, because it may be a mapped file, and the language
// has no other way to ask where such memory begins or to operate atomically
// on words inside it.

// line is the distance kept between words that different goroutines write.
// Processors of today prefetch cache lines in adjacent pairs, so 64 bytes
// apart is not apart.
const line = 128

// alignedBytes returns n zero bytes that start on a multiple of line. The
// address is only looked at, never kept as a number, and Go's heap does not
// move objects, so the alignment lasts.
func alignedBytes(n int) []byte {
	buf := make([]byte, n+line-1)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf))) % line)
	return buf[skip : skip+n : skip+n]
}

// aligned reports whether b starts on a multiple of 8, which atomic
// operations on words at multiples of 8 inside it need.
func aligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 == 0
}

// word returns the eight bytes at region[offset:] as an atomic word. The
// slicing panics unless all eight lie in region; the caller has made sure that
// region is aligned and that offset is a multiple of 8. The result is an interior
// pointer, so it keeps region's memory alive for as long as it is held. All
// later access to these eight bytes goes through it.
func word(region []byte, offset int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(region[offset : offset+8])))
}
