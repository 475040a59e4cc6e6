// Package seglog is a segment log with cursors, in memory or on disk. It holds bytes and
// knows no spans: a producer appends frames, each consumer reads them from a place of its
// own, and space is freed when the slowest consumer has passed.
//
//	        oldest                    cursor "b"        cursor "a"   end
//	          │                        │                 │            │
//	┌─────────▼──────┬─────────────────▼───┬─────────────▼────────────▼┄┄┄┐
//	│ segment        │ segment             │ segment, being written       │
//	└────────────────┴─────────────────────┴───────────────────────────┄┄┄┘
//	  goes when all                 Read, Commit ──▶      Reserve, Commit ──▶
//	  have passed it
//
// A [Position] counts bytes since the log's beginning and is never used twice. Every frame
// carries a count, of spans for a tracing daemon, and the log keeps the cumulative count:
// the difference of two places is what lies between them, also where frames are damaged
// or gone. So for every cursor, at any time and after any crash:
//
//	Count of the log = Start + Consumed + Skipped, by reason + LagCount
//
// # Files
//
// All integers are little endian; checksums are CRC-32C. A directory holds
//
//	00000000000000000000.seg  segments, named after the position of their first frame
//	cursor-otlp%2fbackend     a cursor; bytes other than a-z, 0-9, - and _ are escaped
//	lock                      locked by the process that has the log open; holds its pid
//	torn-…                    what a crash has left behind the last frame; for people
//	damaged-…                 a file that nothing could be read from; for people
//
// A segment is a header and frames, side by side:
//
//	offset
//	 0   8  "RINGTLOG"
//	 8   4  format version, 1
//	12   4  id: random, in every frame of the segment
//	16   8  base: position of the first frame
//	24   8  cumulative count before base
//	32   8  when the segment was made, Unix nanoseconds
//	40  20  zeros
//	60   4  checksum of the above
//	64      frames; position p is at offset 64 + p - base
//	        zeros, less than 4 KiB, in the last segment of a log that was not closed
//
// Magic, version and the last checksum will be there in every later version.
//
//	 0   4  "RTF1"
//	 4   4  length of the body
//	 8   8  position
//	16   8  cumulative count of all frames before
//	24   8  when it was reserved, Unix nanoseconds
//	32   4  count
//	36   4  id of the segment
//	40   4  checksum of the body
//	44   4  checksum of the above
//	48      body
//
// A cursor's file is two slots of 8 KiB, one commit in each. Commits go to them in turn, so
// that the one before is whole while one is written:
//
//	  0   4  "RTC1"
//	  4   4  format version, 1
//	  8   8  sequence number of the commit; the slot is this modulo 2
//	 16  16  committed: position, cumulative count there
//	 32   8  cumulative count where the cursor was made
//	 40  24  count skipped by limit, age, damage
//	 64  24  forced out up to: position, cumulative count there, reason
//	 88  16  end of the log at that time: position, cumulative count
//	104   4  length of the state
//	108  16  zeros
//	124   4  checksum of all others, and of the state
//	128      state
//
// # Why nothing that was acknowledged is lost
//
// What is assumed: after a sync returned without an error, the bytes of the file are on
// the disk, and after a directory's sync its names. What was not synced may be there in any
// part and order; a block of the disk that is written again with the same beginning keeps
// that. A sync that fails may have lost anything since the last one, and the next one may
// succeed all the same.
//
// An append is acknowledged when its group was written and synced ([SyncGroup]), into
// a file whose header and name were synced before. Until then no cursor sees it. If there
// is no room for it the file is cut back to the last acknowledged frame. If that fails, or a
// write for another reason, or a sync, the file is never written to again: the next segment begins where the file was
// trusted to end, and as a segment ends where the next one begins, this cuts off what was
// refused for everybody, after a crash too. Between the refusal and the next segment, or
// Close, a crash can bring a refused frame back; Close reports if it could not prevent that.
//
// Recovery walks through the last segment. Behind the last valid frame is what a crash has
// torn, and nobody was told of it: it is moved aside and cut off. Only if a cursor's file
// says that the log was durable further than that, the disk has lost something: it is
// reported and counted, and the log goes on in a new segment behind it, because positions
// are not used twice.
//
// A frame whose body is damaged is skipped, and its header says what it counted. After a
// damaged header the next one is looked for that is valid, has the id of the segment and
// says that it is where it is; its cumulative count says what was lost in between. The
// same holds for the end of a segment and for a missing one, as the next header says where
// and with what count it begins. A segment header that is damaged is replaced by what its
// frames say.
//
// A cursor's commit and its state are one record with one checksum. A crash while it is
// written leaves the other slot. A segment is deleted when the stored positions, not the
// committed ones, of all cursors have passed it, oldest first. When it is forced out, those
// who lose it are stored first, with what they skip and why.
//
// # Memory
//
// Frames are filled in chunks of memory in parallel and become part of the log in the order
// of their commits; a slow one delays nobody. Runs alias the chunks, which are counted,
// and reused only when everybody has left. In memory, the bound is on the
// chunks that the log itself has; what only runs hold, since it was forced out, is beside it. On
// disk, the latest chunks are a cache, so that cursors that keep up read no file, and others
// read blocks of 1 MiB.
package seglog
