package seglog

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"
)

// Policy says what an append does when the log is full.
type Policy uint8

const (
	// Refuse returns [ErrFull]: the log keeps what it has.
	Refuse Policy = iota
	// DropOldest makes room by deleting the oldest segment, also while somebody holds runs
	// of it, which stay whole. Each cursor that had not passed it counts what it did not get.
	DropOldest
)

// SyncPolicy says what has happened to a frame when Commit returns.
type SyncPolicy uint8

const (
	// SyncGroup: it is on the disk. All who wait share one sync.
	SyncGroup SyncPolicy = iota
	// SyncInterval: the operating system has it, and it is on the disk within
	// Options.SyncEvery. It survives the end of the process, not that of the machine.
	SyncInterval
	// SyncNever: the operating system has it and writes it when it sees fit. Close
	// syncs the segment that is being written.
	SyncNever
)

// Options says how large a log grows and what it promises. Its zero value is useful.
type Options struct {
	// SegmentBytes is the size of a segment, the unit in which space is given back.
	// Default 64 MiB on disk and 1 MiB in memory, and an eighth of MaxBytes at most.
	SegmentBytes int64
	// MaxBytes bounds the log: on disk the bytes of its segments, in memory the memory
	// they take. Runs of what was forced out since are beside it until they are released: who
	// reads says how many that are. Default 1 GiB on disk, 64 MiB in memory.
	MaxBytes int64
	// MaxAge deletes segments whose newest frame is older. 0 means never. Time is
	// measured while the log is open, and taken from the clock only between the end of one
	// process and the begin of the next; a clock that was set back can make frames live
	// longer, never shorter.
	MaxAge time.Duration
	// MaxFrameBytes bounds the body of one frame. Default 64 MiB. Half of MaxBytes is a
	// bound too.
	MaxFrameBytes int

	// WhenFull is what happens to an append when MaxBytes is reached. Default [Refuse].
	WhenFull Policy

	// Sync is what a commit waits for. Default [SyncGroup]. Not used in memory.
	Sync SyncPolicy
	// SyncEvery is the time between syncs for [SyncInterval]. Default 1 s.
	SyncEvery time.Duration
	// CommitEvery is how long the commit of a cursor may stay in memory before it is
	// written to the disk. Default 200 ms.
	CommitEvery time.Duration
	// CacheBytes is how much of what was written last is kept in memory, so that
	// cursors that keep up read nothing from the disk. What waits for the disk may take as
	// much; beyond that appends get [ErrFull]. Default 32 MiB.
	CacheBytes int64

	// FS is where the files are. Default: the operating system's.
	FS FS
	// Logger is told of repairs, damage, and a disk that fails. Default slog.Default().
	Logger *slog.Logger
}

const (
	mib = 1 << 20

	// largestBody is what the length field of a frame holds, with room to add to it.
	largestBody = 1 << 30
	// smallestSegment keeps the number of files and chunks within reason.
	smallestSegment = 4 << 10
)

// Validate returns an error that names the first field that makes no sense, and its
// value.
func (o Options) Validate() error {
	switch {
	case o.SegmentBytes < 0 || o.SegmentBytes > 0 && o.SegmentBytes < smallestSegment:
		return fmt.Errorf("Options.SegmentBytes is %d, must be %d or more", o.SegmentBytes, smallestSegment)
	case o.MaxBytes < 0 || o.MaxBytes > 0 && o.MaxBytes < 4*smallestSegment:
		return fmt.Errorf("Options.MaxBytes is %d, must be %d or more", o.MaxBytes, 4*smallestSegment)
	case o.MaxBytes > 0 && o.SegmentBytes > o.MaxBytes/2:
		return fmt.Errorf("Options.SegmentBytes is %d, must be half of MaxBytes (%d) at most", o.SegmentBytes, o.MaxBytes)
	case o.MaxAge < 0:
		return fmt.Errorf("Options.MaxAge is %v, must not be negative", o.MaxAge)
	case o.MaxFrameBytes < 0 || o.MaxFrameBytes > largestBody:
		return fmt.Errorf("Options.MaxFrameBytes is %d, must be from 1 to %d", o.MaxFrameBytes, largestBody)
	case o.WhenFull > DropOldest:
		return fmt.Errorf("Options.WhenFull is %d, unknown", o.WhenFull)
	case o.Sync > SyncNever:
		return fmt.Errorf("Options.Sync is %d, unknown", o.Sync)
	case o.SyncEvery < 0:
		return fmt.Errorf("Options.SyncEvery is %v, must not be negative", o.SyncEvery)
	case o.CommitEvery < 0:
		return fmt.Errorf("Options.CommitEvery is %v, must not be negative", o.CommitEvery)
	case o.CacheBytes < 0:
		return fmt.Errorf("Options.CacheBytes is %d, must not be negative", o.CacheBytes)
	}
	return nil
}

// withDefaults fills in what is zero.
func (o Options) withDefaults(onDisk bool) Options {
	segment, bound := int64(mib), int64(64*mib)
	if onDisk {
		segment, bound = 64*mib, 1024*mib
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = max(bound, 8*o.SegmentBytes)
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, max(min(segment, o.MaxBytes/8), smallestSegment))
	o.MaxFrameBytes = cmp.Or(o.MaxFrameBytes, 64*mib)
	o.MaxFrameBytes = int(min(int64(o.MaxFrameBytes), o.MaxBytes/2-headerSize))
	o.SyncEvery = cmp.Or(o.SyncEvery, time.Second)
	o.CommitEvery = cmp.Or(o.CommitEvery, 200*time.Millisecond)
	o.CacheBytes = cmp.Or(o.CacheBytes, 32*mib)
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
