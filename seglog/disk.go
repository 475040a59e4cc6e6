package seglog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail/internal/throttle"
)

// disk is what a log on disk has beyond one in memory.
type disk struct {
	dir  string
	fs   FS
	lock io.Closer

	// Guarded by Log.mu.
	segments     []*segment // by base; the last one is written to
	ready        []*slot    // committed, for the committer
	idle         bool       // the committer waits for ready
	want         int        // to have so many frames
	rolling      bool       // the last segment is to end
	doomed       []doomed   // forced out, and still to be deleted
	fault        error      // why the last group failed
	retry        time.Time  // until then appends are refused for it
	patience     time.Duration
	mostPatience time.Duration
	mostGather   time.Duration
	found        map[Position]bool // damage that was reported
	stuck        error             // why segments that should go are still there
	lookedBack   time.Time         // when ReadAt read a file

	commit  chan struct{} // wakes the committer; holds one
	keep    chan struct{} // wakes the keeper, for something that can wait; holds one
	keepNow chan struct{} // the same, for something that can not
	stop    chan struct{} // ends the keeper
	ended   sync.WaitGroup

	readers readers
	writer  writer
	pace    pace
	direct  bool // the group goes past the cache; the committer's

	// storing guards the files of cursors.
	storing sync.Mutex

	faults, damage, stores throttle.Log
}

// Open opens the log in a directory, which is made if there is none, and repairs
// what a crash has left. One process can have it open: others get an [ErrLocked] that
// names it, where the file system has locks; where it has none, the logger is told. A file of another version is an [ErrVersion]. Damage is reported and is no
// error: what is readable is served.
func Open(dir string, o Options) (*Log, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("seglog: %w", err)
	}
	l := newLog(o.withDefaults(true))
	d := &disk{
		dir: dir, fs: l.opts.FS, found: map[Position]bool{},
		commit: make(chan struct{}, 1), keep: make(chan struct{}, 1), keepNow: make(chan struct{}, 1),
		stop: make(chan struct{}), mostPatience: mostPatience, mostGather: mostGather,
	}
	l.disk = d
	d.readers.fs = d.fs
	if err := d.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("cannot make the log's directory: %w", err)
	}
	var err error
	if d.lock, err = d.fs.Lock(filepath.Join(dir, lockName)); err != nil {
		return nil, fmt.Errorf("cannot open log %s: %w", dir, err)
	}
	if lock, ok := d.lock.(interface{ Void() bool }); ok && lock.Void() {
		l.logger.Warn("ringtail: the file system of the log has no locks: see to it that no second process opens the directory, "+
			"since two destroy each other's log; or keep the log on a file system that has locks", slog.String("directory", dir))
	}
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open log %s: %w", dir, err), d.lock.Close())
	}
	d.ended.Add(2)
	go l.commitLoop()
	go l.keepLoop()
	return l, nil
}

const lockName = "lock"

// doomed is a segment that is not in the log any more, but in the directory.
type doomed struct {
	*segment
	end Position
}

// segmentAt returns the segment that holds a position, and where that ends. Log.mu is
// held.
func (l *Log) segmentAt(p Position) (*segment, place) {
	segments := l.disk.segments
	for i := len(segments) - 1; i >= 0; i-- {
		if s := segments[i]; s.base <= p {
			if i+1 < len(segments) {
				return s, place{segments[i+1].base, segments[i+1].count}
			}
			return s, place{l.end, l.count}
		}
	}
	return nil, place{}
}

// Damage is a place where the disk has not kept what was written.
type Damage struct {
	File   string
	Offset int64 // in the file
	Bytes  int64
	Count  uint64 // lost; 0 if that is not known
	Text   string // what is wrong
}

func (d Damage) String() string {
	return fmt.Sprintf("%s at offset %d: %s (%d bytes, count %d)", d.File, d.Offset, d.Text, d.Bytes, d.Count)
}

// maxFound bounds the memory of what was reported.
const maxFound = 4096

// report logs damage, once for all cursors that find it.
func (l *Log) report(at Position, dmg Damage) {
	l.mu.Lock()
	known := l.disk.found[at]
	if !known && len(l.disk.found) < maxFound {
		l.disk.found[at] = true
	}
	if !known {
		l.stats.damages++
	}
	l.mu.Unlock()
	if !known {
		l.disk.damage.Warn(l.logger, "the log is damaged",
			slog.String("file", dmg.File), slog.Int64("offset", dmg.Offset), slog.Int64("bytes", dmg.Bytes),
			slog.Uint64("count", dmg.Count), slog.String("problem", dmg.Text))
	}
}

// closeDisk ends the disk's goroutines and files. Nothing is reserved any more.
func (l *Log) closeDisk() error {
	d := l.disk
	kick(d.commit)
	close(d.stop)
	d.ended.Wait()
	err := l.closeWriter()
	err = errors.Join(err, l.store(), d.lock.Close())
	d.readers.close()
	return err
}

// kick wakes the goroutine that listens, or does when it comes back.
func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// writeAt is WriteAt that takes no short write for an answer.
func writeAt(f File, b []byte, at int64) error {
	n, err := f.WriteAt(b, at)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func isExist(err error) bool { return errors.Is(err, fs.ErrExist) }
