package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Layout of a segment file's header; see the package documentation.
const (
	segmentHeaderSize = 64

	segmentMagic   = "RINGTLOG"
	segmentVersion = 1

	segAtVersion = 8
	segAtID      = 12
	segAtBase    = 16
	segAtCount   = 24
	segAtTime    = 32
	segAtSum     = 60
)

// segment is one file of the log. Its fields do not change while it is in the log, but for
// newest, which Log.mu guards.
type segment struct {
	name  string // path
	base  Position
	count uint64 // cumulative count before base
	id    uint32 // every frame in the file carries it; 0 if it is not known
	time  int64  // Unix nanoseconds when it was made; 0 if it is not known

	// newest is when the last frame came, on the clock of this process, which nobody
	// can set back. For a segment of an earlier process it is derived from the wall clock
	// once, and never later than the opening.
	newest time.Time
}

const segmentSuffix = ".seg"

func segmentName(dir string, base Position) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", uint64(base), segmentSuffix))
}

// segmentBase is what a file's name says of it.
func segmentBase(name string) (Position, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return Position(n), err == nil
}

// offset is where a position is in the file.
func (s *segment) offset(p Position) int64 { return int64(p-s.base) + segmentHeaderSize }

// putHeader returns the bytes that the file begins with.
func (s *segment) putHeader() []byte {
	b := make([]byte, segmentHeaderSize)
	le := binary.LittleEndian
	copy(b, segmentMagic)
	le.PutUint32(b[segAtVersion:], segmentVersion)
	le.PutUint32(b[segAtID:], s.id)
	le.PutUint64(b[segAtBase:], uint64(s.base))
	le.PutUint64(b[segAtCount:], s.count)
	le.PutUint64(b[segAtTime:], uint64(s.time))
	le.PutUint32(b[segAtSum:], crc32.Checksum(b[:segAtSum], castagnoli))
	return b
}

var errSegmentHeader = fmt.Errorf("%w: the segment's header is not readable", ErrDamaged)

// parse reads a header. The file's name says what base should be.
func (s *segment) parse(b []byte) error {
	if len(b) < segmentHeaderSize || string(b[:len(segmentMagic)]) != segmentMagic ||
		binary.LittleEndian.Uint32(b[segAtSum:]) != crc32.Checksum(b[:segAtSum], castagnoli) {
		return errSegmentHeader
	}
	le := binary.LittleEndian
	if v := le.Uint32(b[segAtVersion:]); v != segmentVersion {
		return fmt.Errorf("cannot read %s: %w: %d, this program knows %d; use the program that wrote it",
			s.name, ErrVersion, v, segmentVersion)
	}
	if Position(le.Uint64(b[segAtBase:])) != s.base {
		return fmt.Errorf("%w: it is of position %d", errSegmentHeader, le.Uint64(b[segAtBase:]))
	}
	s.id, s.count, s.time = le.Uint32(b[segAtID:]), le.Uint64(b[segAtCount:]), int64(le.Uint64(b[segAtTime:]))
	return nil
}

// createSegment makes a segment's file, durably. What a failed attempt has left under
// that name is replaced: no frame in it was ever acknowledged.
func createSegment(fs FS, dir string, base Position, count uint64) (*segment, File, error) {
	s := &segment{
		name: segmentName(dir, base), base: base, count: count,
		id: rand.Uint32() | 1, time: now(), newest: time.Now(),
	}
	f, err := fs.Create(s.name)
	if isExist(err) {
		if err = fs.Remove(s.name); err == nil {
			f, err = fs.Create(s.name)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot create a segment: %w", err)
	}
	if err = writeAt(f, s.putHeader(), 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		err = fmt.Errorf("cannot create segment %s: %w", s.name, err)
		return nil, nil, errors.Join(err, f.Close(), fs.Remove(s.name))
	}
	return s, f, nil
}
