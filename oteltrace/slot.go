package oteltrace

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// slot holds a span's record, and is its lock: one word, which is nil when there is no
// record, that is after End or for a span that was dropped; busy, while one of the
// span's methods uses the record; and else the record. A mutex beside a pointer would
// put the span into the next size class, and cost End, of which every span has one,
// a second atomic operation.
//
// Whoever finds it busy yields and looks again: it is held for some copying, and never
// while a user's code runs.
//
// The word is an unsafe.Pointer and not an atomic.Pointer, so that Start can set it
// by a plain store: nobody else knows the span by then. It is only ever converted from
// and to a *record.
type slot struct{ word unsafe.Pointer }

var busy record

// put sets the record of a new span, which no other goroutine has seen yet.
func (s *slot) put(r *record) { s.word = unsafe.Pointer(r) }

// empty reports whether there is no record, which then stays so.
func (s *slot) empty() bool { return atomic.LoadPointer(&s.word) == nil }

// acquire returns the record for the caller alone, until release; nil if there is none.
func (s *slot) acquire() *record { return s.swap(&busy) }

func (s *slot) release(r *record) { atomic.StorePointer(&s.word, unsafe.Pointer(r)) }

// take returns the record for good, to one caller only.
func (s *slot) take() *record { return s.swap(nil) }

// swap puts with in the place of the record, once that is there.
func (s *slot) swap(with *record) *record {
	for {
		word := atomic.LoadPointer(&s.word)
		if word == nil {
			return nil
		}
		if word != unsafe.Pointer(&busy) && atomic.CompareAndSwapPointer(&s.word, word, unsafe.Pointer(with)) {
			return (*record)(word)
		}
		runtime.Gosched()
	}
}
