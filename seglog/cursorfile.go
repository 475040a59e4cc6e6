package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"
)

// Layout of a cursor's file: two slots, written in turn; see the package documentation.
const (
	cursorSlot       = 8 << 10
	cursorRecordSize = 128 // without the state
	cursorVersion    = 1

	cursorMagic uint32 = 0x31435452 // "RTC1"

	curAtVersion  = 4
	curAtSequence = 8
	curAtPosition = 16
	curAtCount    = 24
	curAtStart    = 32
	curAtSkipped  = 40
	curAtForced   = 64
	curAtEnd      = 88
	curAtState    = 104
	curAtSum      = 124
)

// record is what a cursor's file holds: one of its commits, complete.
type record struct {
	sequence uint64
	at       place
	start    uint64
	skipped  [skippedReasons]uint64
	forced   forced
	end      place // of the log when the record was made: all before it was durable
	state    []byte
}

func (r *record) put() []byte {
	b := make([]byte, cursorRecordSize, cursorRecordSize+len(r.state))
	le := binary.LittleEndian
	le.PutUint32(b, cursorMagic)
	le.PutUint32(b[curAtVersion:], cursorVersion)
	le.PutUint64(b[curAtSequence:], r.sequence)
	le.PutUint64(b[curAtPosition:], uint64(r.at.position))
	le.PutUint64(b[curAtCount:], r.at.count)
	le.PutUint64(b[curAtStart:], r.start)
	for i, n := range r.skipped {
		le.PutUint64(b[curAtSkipped+8*i:], n)
	}
	le.PutUint64(b[curAtForced:], uint64(r.forced.to.position))
	le.PutUint64(b[curAtForced+8:], r.forced.to.count)
	le.PutUint64(b[curAtForced+16:], uint64(r.forced.reason))
	le.PutUint64(b[curAtEnd:], uint64(r.end.position))
	le.PutUint64(b[curAtEnd+8:], r.end.count)
	le.PutUint32(b[curAtState:], uint32(len(r.state)))
	b = append(b, r.state...)
	le.PutUint32(b[curAtSum:], recordSum(b))
	return b
}

// recordSum is of everything but itself.
func recordSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:curAtSum], castagnoli), castagnoli, b[cursorRecordSize:])
}

func parseRecord(b []byte) (r record, ok bool, err error) {
	le := binary.LittleEndian
	if len(b) < cursorRecordSize || le.Uint32(b) != cursorMagic {
		return r, false, nil
	}
	n := le.Uint32(b[curAtState:])
	if n > MaxState || int(n) > len(b)-cursorRecordSize {
		return r, false, nil
	}
	b = b[:cursorRecordSize+int(n)]
	if le.Uint32(b[curAtSum:]) != recordSum(b) {
		return r, false, nil
	}
	if v := le.Uint32(b[curAtVersion:]); v != cursorVersion {
		return r, false, fmt.Errorf("%w: %d, this program knows %d; use the program that wrote it", ErrVersion, v, cursorVersion)
	}
	r.sequence = le.Uint64(b[curAtSequence:])
	r.at = place{Position(le.Uint64(b[curAtPosition:])), le.Uint64(b[curAtCount:])}
	r.start = le.Uint64(b[curAtStart:])
	for i := range r.skipped {
		r.skipped[i] = le.Uint64(b[curAtSkipped+8*i:])
	}
	r.forced.to = place{Position(le.Uint64(b[curAtForced:])), le.Uint64(b[curAtForced+8:])}
	r.forced.reason = Skipped(le.Uint64(b[curAtForced+16:]))
	r.end = place{Position(le.Uint64(b[curAtEnd:])), le.Uint64(b[curAtEnd+8:])}
	r.state = append([]byte(nil), b[cursorRecordSize:]...)
	return r, r.forced.reason < skippedReasons, nil
}

// errNoRecord says that a cursor's file has no slot that is whole.
var errNoRecord = errors.New("the cursor's file holds no valid record")

// loadRecord reads the later one of a file's slots.
func loadRecord(fs FS, name string) (best record, err error) {
	f, err := fs.Open(name, false)
	if err != nil {
		return best, err
	}
	defer f.Close()
	b := make([]byte, cursorRecordSize+MaxState)
	found := false
	for slot := range 2 {
		n, err := readAt(f, b, int64(slot)*cursorSlot)
		if err != nil {
			return best, err
		}
		r, ok, err := parseRecord(b[:n])
		if err != nil {
			return best, err
		}
		if ok && (!found || r.sequence > best.sequence) {
			best, found = r, true
		}
	}
	if !found {
		return best, errNoRecord
	}
	return best, nil
}

const cursorPrefix = "cursor-"

// cursorFile is the file of a cursor. What some file system could take for something else
// is escaped: a letter's case, a slash, a dot at the end.
func cursorFile(dir, name string) string {
	const hex = "0123456789abcdef"
	b := []byte(cursorPrefix)
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return filepath.Join(dir, string(b))
}

// cursorName is the inverse of cursorFile.
func cursorName(file string) (string, bool) {
	s, ok := strings.CutPrefix(file, cursorPrefix)
	if !ok {
		return "", false
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			var v byte
			if i+2 >= len(s) {
				return "", false
			}
			if _, err := fmt.Sscanf(s[i+1:i+3], "%02x", &v); err != nil {
				return "", false
			}
			c = v
			i += 2
		}
		b = append(b, c)
	}
	name := string(b)
	return name, validName(name) == nil && cursorFile("", name) == file
}
