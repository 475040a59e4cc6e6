package seglog

import (
	"cmp"
	"encoding/binary"
	"fmt"
)

// walker finds the frames of one segment, in order, and what is damaged between them. It
// trusts nothing in the file.
type walker struct {
	// load returns the bytes at a position: n or more, and fewer only at the end of
	// the file. They are valid until the next call.
	load func(p Position, n int) ([]byte, error)

	at    place // where the next frame should be
	limit Position
	quick bool // bodies are not looked at
	// id is what frames must carry. 0 when the segment's header is damaged: the first
	// valid frame tells it then.
	id uint32
}

// found is what a walker has come to.
type found struct {
	kind   foundKind
	header header
	body   []byte // valid as long as what load returned
	// to is where damage ends, and the count there. With damagedRest it is not known.
	to   place
	text string // what is wrong
}

type foundKind uint8

const (
	foundEnd     foundKind = iota // nothing is left
	foundFrame                    // a frame
	foundDamage                   // a hole, with something valid behind it
	foundBadRest                  // there is no valid header any more
)

const (
	textBody   = "the checksum of a frame's body is wrong"
	textHeader = "there is no valid frame header where one should be"
	textShort  = "the file ends inside a frame"
	textCount  = "frames are missing before this one"
)

// next goes on by one frame, or one hole.
func (w *walker) next() (found, error) {
	if w.at.position >= w.limit {
		return found{kind: foundEnd}, nil
	}
	b, err := w.load(w.at.position, headerSize)
	if err != nil {
		return found{}, err
	}
	if len(b) == 0 {
		return found{kind: foundEnd}, nil
	}
	h, ok := w.header(b, w.at.position)
	if !ok {
		return w.scan()
	}
	if h.before > w.at.count {
		w.at.count, h = h.before, header{}
		return found{kind: foundDamage, to: w.at, text: textCount}, nil
	}
	if w.quick {
		w.at = place{h.end(), h.after()}
		return found{kind: foundFrame, header: h}, nil
	}
	if b, err = w.load(h.position, h.size()); err != nil {
		return found{}, err
	}
	if len(b) < h.size() {
		w.at = place{w.limit, h.after()}
		return found{kind: foundBadRest, header: h, text: textShort}, nil
	}
	w.at = place{h.end(), h.after()}
	if body := b[headerSize:h.size()]; bodySum(body) == h.bodySum {
		return found{kind: foundFrame, header: h, body: body}, nil
	}
	return found{kind: foundDamage, header: h, to: w.at, text: textBody}, nil
}

// header reads a header that fits this place in this segment.
func (w *walker) header(b []byte, p Position) (header, bool) {
	h, ok := parseHeader(b, p)
	if !ok || h.before < w.at.count || h.end() > w.limit || w.id != 0 && h.id != w.id {
		return h, false
	}
	w.id = h.id
	return h, true
}

// scanStep is how much is looked through at once.
const scanStep = 64 << 10

// scan looks for the next header that is valid and says its own position.
func (w *walker) scan() (found, error) {
	for p := w.at.position + 1; p < w.limit; {
		b, err := w.load(p, scanStep)
		if err != nil {
			return found{}, err
		}
		for i := 0; i+headerSize <= len(b) && p+Position(i) < w.limit; i++ {
			if binary.LittleEndian.Uint32(b[i:]) != frameMagic {
				continue
			}
			if h, ok := w.header(b[i:], p+Position(i)); ok {
				w.at = place{h.position, h.before}
				return found{kind: foundDamage, to: w.at, text: textHeader}, nil
			}
		}
		if len(b) < scanStep {
			break
		}
		p += Position(len(b) - headerSize + 1)
	}
	w.at.position = w.limit
	return found{kind: foundBadRest, text: textHeader}, nil
}

// fileLoader loads from a file into memory of its own.
type fileLoader struct {
	seg  *segment
	file File
	buf  []byte
	base Position
	step int // what is read at once; default loadStep
}

const loadStep = 256 << 10

func (l *fileLoader) load(p Position, n int) ([]byte, error) {
	if p >= l.base && p+Position(n) <= l.base+Position(len(l.buf)) {
		return l.buf[p-l.base:], nil
	}
	if want := max(n, cmp.Or(l.step, loadStep)); cap(l.buf) < want {
		l.buf = make([]byte, want)
	}
	l.buf = l.buf[:cap(l.buf)]
	l.base = p
	k, err := readAt(l.file, l.buf, l.seg.offset(p))
	l.buf = l.buf[:k]
	return l.buf, err
}

// walkFile walks through a segment's file up to limit and shows what it finds: every
// frame, and every hole that has a frame behind it. It returns the place behind the last
// frame.
func walkFile(fs FS, s *segment, limit Position, quick bool, visit func(at place, f found) error) (end place, err error) {
	f, err := fs.Open(s.name, false)
	if err != nil {
		return end, err
	}
	defer f.Close()
	loader := fileLoader{seg: s, file: f}
	if quick {
		loader.step = page
	}
	size, err := f.Size()
	if err != nil {
		return end, err
	}
	limit = min(limit, s.base+Position(max(size-segmentHeaderSize, 0)))
	end = place{s.base, s.count}
	w := walker{load: loader.load, limit: limit, at: end, id: s.id, quick: quick}
	type hole struct {
		at place
		f  found
	}
	var holes []hole
	for {
		at := w.at
		got, err := w.next()
		if err != nil {
			return end, fmt.Errorf("cannot read segment %s: %w", s.name, err)
		}
		switch got.kind {
		case foundEnd, foundBadRest:
			return end, nil
		case foundDamage:
			holes = append(holes, hole{at, got})
		case foundFrame:
			for _, h := range holes {
				if err := visit(h.at, h.f); err != nil {
					return end, err
				}
			}
			holes = holes[:0]
			if err := visit(at, got); err != nil {
				return end, err
			}
			end = w.at
		}
	}
}

// learnHeader finds out from a segment's frames what its damaged header should say. Before
// is the cumulative count at the end of the segment before it, if that is known. It returns
// false if there is no frame.
func learnHeader(s *segment, f File, before uint64) (bool, error) {
	s.id, s.time = 0, 0
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	loader := fileLoader{seg: s, file: f}
	w := walker{load: loader.load, limit: s.base + Position(max(size-segmentHeaderSize, 0)), at: place{s.base, before}}
	got, err := w.next()
	if err != nil || got.kind != foundFrame && got.kind != foundDamage {
		return false, err
	}
	s.id, s.count = w.id, before
	if before == 0 {
		// Without a segment before it, what was lost before its first frame is not known.
		s.count = w.at.count - uint64(got.header.count)
	}
	return true, nil
}

// holeIn describes a hole.
func (s *segment) holeIn(at place, f found) Damage {
	return Damage{
		File: s.name, Offset: s.offset(at.position), Bytes: int64(f.to.position - at.position),
		Count: f.to.count - at.count, Text: f.text,
	}
}

// gapBefore describes what is missing between the end of a segment's frames and a place
// where the log goes on.
func (s *segment) gapBefore(end, next place, text string) Damage {
	return Damage{
		File: s.name, Offset: s.offset(end.position), Bytes: int64(next.position - end.position),
		Count: next.count - end.count, Text: text,
	}
}

// missingBefore describes what a cursor wants that lay before the oldest segment there is.
func (s *segment) missingBefore(from place) Damage {
	return Damage{
		File: s.name, Bytes: int64(s.base - from.position), Count: s.count - min(from.count, s.count), Text: textBefore,
	}
}

const (
	textBefore = "segments before this one are missing"
	textGap    = "the end of this segment, or those behind it, are missing"
	textEnd    = "the end of the log is not readable"
)
