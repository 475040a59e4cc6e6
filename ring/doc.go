// Package ring has bounded lock-free queues for telemetry: one typed, one of
// bytes, and a channel from many producers to one consumer made of the former. It
// needs nothing but the standard library.
//
//	NewSPSC[T]   values of one type, one producer, one consumer
//	NewMPSC[T]   the same for many producers: a ring each, one consumer polls them all
//	NewBytes     records of any length in one region without Go pointers, which may
//	             be a mapped file and outlive the process (OpenBytes)
//
// All share one protocol:
//
//	        head                     tail
//	         │ in use, or visible     │ free
//	┌────────▼───────────────────────▼─────────────┐
//	│        ████████████████████████              │
//	└──────────────────────────────────────────────┘
//	  consumer: Read, Release ──▶   producer: Reserve, Commit ──▶
//
// Head and tail are positions that only grow and are masked on access, so full
// and empty are never confused. The producer alone moves tail, the consumer alone
// moves head, and each keeps a copy of the other's position that it renews only
// when the ring looks full, or empty. Reserve hands out memory of the ring to
// write in place, Commit publishes all of it at once; the consumer gets what is visible
// as memory of the ring and gives it back with one store.
//
// # Closing
//
// Either side, and any goroutine, may close. Bit 0 of the tail word says so, and a
// commit is a compare-and-swap of that word, so every commit comes before the
// close or after it:
//
//   - Push or Commit returned true: whoever drains the ring after closing it
//     gets the record.
//   - It returned false: the record was not published and nobody will ever see it.
//
// A drained ring that is closed can be reopened for its next producer with the
// same memory.
//
// # Which answers go stale
//
// The two sides run at the same time, so some answers may be out of date when
// they are returned:
//
//	answer                                     may be outdated   never outdated
//	Reserve, Push: is there room?              no                yes (it is there, and is yours)
//	Read, Next, Pop: is there something?       no                yes
//	Closed                                     false             true
//	Done                                       false             true
//	producer's Len, Backlog                    too large         never too small
//	consumer's Len, Pending                    too small         never too large
//
// # Waiting
//
// Nothing here blocks, spins or wakes anybody: a full ring refuses, an empty
// one returns nothing, and what to do then is the caller's decision.
package ring
