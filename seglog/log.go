package seglog

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Position is a place in the log: the number of bytes before it since the log's
// beginning, over all segments that ever were. Frames lie side by side, and positions
// grow for ever; the same position never means another frame.
type Position uint64

var (
	// ErrFull says that there is no room: MaxBytes is reached, or the disk is full.
	// Later there may be.
	ErrFull = errors.New("the log is full")
	// ErrTooLarge says that no empty log would have room for the frame either.
	ErrTooLarge = errors.New("the frame is too large for the log")
	// ErrClosed says that the log takes no frame any more, and to a reader that there
	// will be none.
	ErrClosed = errors.New("the log is closed")
	// ErrGone says that the frame was deleted, by age, a limit, or since every cursor
	// had passed it.
	ErrGone = errors.New("the frame is not in the log any more")
	// ErrDamaged says that the bytes on the disk are not those that were written.
	ErrDamaged = errors.New("the log is damaged")
	// ErrLocked says that another process has the log open.
	ErrLocked = errors.New("the log is open in another process")
	// ErrHeld says that somebody holds the cursor.
	ErrHeld = errors.New("the cursor is held already")
	// ErrVersion says that a file is of a format that this version does not know.
	ErrVersion = errors.New("the file's format is of another version")
)

// Log is a bounded log of frames with cursors. All methods may be called from any
// number of goroutines.
type Log struct {
	opts   Options
	logger *slog.Logger
	disk   *disk // nil in memory

	mu sync.Mutex // guards all that follows

	memory   memory
	open     *chunk // reservations are taken from it; nil if there is none
	slots    []*slot
	reserved int   // reservations that are neither committed nor aborted, or wait for the disk
	waiting  int64 // their bytes

	// extents are the frames in memory, which cursors can read, by position. On disk
	// they are the latest, in memory they are the log.
	extents []extent

	oldest      Position
	oldestCount uint64 // cumulative count before oldest
	end         Position
	count       uint64 // cumulative count before end

	cursors map[string]*Cursor
	readers int // cursors whose Read waits
	sealed  bool
	closed  bool
	ended   chan struct{} // closed with a log in memory
	idle    sync.Cond     // reserved has become 0

	stats counters
}

// counters are what Stats shows of the time since the log was opened.
type counters struct {
	frames, refused uint64
	writes, syncs   uint64
	failures        uint64
	damages         uint64
	limit, age      uint64 // counts deleted by force
}

// Stats is what a log holds and did.
type Stats struct {
	Bytes    int64    // in the log, headers of frames included
	Segments int      // on disk: files; in memory: chunks
	Oldest   Position // of the first frame that is left
	End      Position // where the next frame goes
	// Count is the cumulative count of all frames ever appended, OldestCount of those
	// before Oldest. What is in the log is the difference.
	Count, OldestCount uint64
	MemoryBytes        int64 // that frames take in memory now, kept, waiting and being read

	// Since the log was opened:
	Frames        uint64 // appended
	Refused       uint64 // appends that were refused, for whatever reason
	Writes, Syncs uint64 // of segments
	Failures      uint64 // writes, syncs and the like that failed
	Damages       uint64 // places found damaged
	DroppedLimit  uint64 // count in segments deleted by MaxBytes that a cursor had not passed
	DroppedAge    uint64 // the same by MaxAge
	Fault         error  // why nothing can be appended now; nil if it can
}

// NewMemory returns a log without a disk. It ends with the process.
func NewMemory(o Options) (*Log, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("seglog: %w", err)
	}
	l := newLog(o.withDefaults(false))
	if l.opts.MaxAge > 0 {
		go l.expireLoop()
	}
	return l, nil
}

func newLog(o Options) *Log {
	l := &Log{opts: o, logger: o.Logger, cursors: map[string]*Cursor{}, ended: make(chan struct{})}
	l.idle.L = &l.mu
	l.memory.chunkBytes = int(min(o.SegmentBytes, mib))
	// As much as the log may take is kept at most, half of that in memory.
	l.memory.maxFree = int(min(o.MaxBytes/2, o.CacheBytes) / int64(l.memory.chunkBytes))
	return l
}

// Seal refuses appends from now on. Readers get what is left, and then [ErrClosed].
func (l *Log) Seal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = true
	l.wakeAll()
}

// Close refuses appends, waits for reservations that are not committed or aborted,
// makes everything durable, and stores the cursors. Reads return [ErrClosed] from now on,
// whatever is left (see Seal), commits of cursors too. Runs stay valid until they are
// released. The second call does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.sealed, l.closed = true, true
	l.wakeAll()
	for l.reserved > 0 {
		l.idle.Wait()
	}
	if l.disk == nil {
		close(l.ended)
		return nil
	}
	l.mu.Unlock()
	defer l.mu.Lock()
	if err := l.closeDisk(); err != nil {
		return fmt.Errorf("cannot close log %s: %w", l.disk.dir, err)
	}
	return nil
}

// Stats returns what the log holds now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.stats
	st := Stats{
		Bytes: int64(l.end - l.oldest), Segments: len(l.extents),
		Oldest: l.oldest, End: l.end, Count: l.count, OldestCount: l.oldestCount,
		MemoryBytes: l.memory.inUse,
		Frames:      s.frames, Refused: s.refused, Writes: s.writes, Syncs: s.syncs,
		Failures: s.failures, Damages: s.damages, DroppedLimit: s.limit, DroppedAge: s.age,
	}
	if d := l.disk; d != nil {
		st.Segments, st.Fault = len(d.segments), d.fault
	}
	return st
}

// now is the time that frames carry.
func now() int64 { return time.Now().UnixNano() }
