package seglog

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Inspection is what a log's directory holds.
type Inspection struct {
	Segments []SegmentInfo // by position
	Cursors  []CursorInfo  // by name
	// End is the place behind the last frame that is readable, Count the cumulative count
	// there.
	End   Position
	Count uint64
	// Damage is what is not as it was written, in the order of positions.
	Damage []Damage
	// Aside are files that recovery has moved out of the way: torn ends, damaged files.
	Aside []string
}

// SegmentInfo is one segment file.
type SegmentInfo struct {
	File    string
	Base    Position // of its first frame
	End     Position // behind its last frame that is readable
	Bytes   int64    // of the file
	Frames  int
	Count   uint64    // of these frames
	Created time.Time // zero if its header is damaged
	// First and Last are when its first and its last frame were appended; zero without
	// a frame.
	First, Last time.Time
	// Tail is the bytes behind the last frame. In the last segment of a log that is in use, or
	// was not closed, that is what is being written, and zeros up to the end of a block.
	Tail int64
}

// CursorInfo is one cursor, as it was stored last.
type CursorInfo struct {
	Name               string
	File               string
	Position           Position
	LagBytes, LagCount uint64 // from Position to the end of the log
	Consumed           uint64
	Skipped            [3]uint64 // by SkippedLimit, SkippedAge, SkippedDamage
	State              []byte    // as [Cursor.State]
}

// Inspect reads a log's directory without a lock and without changing anything, so it
// may be used beside the process that has the log open: what it says is then of a moment
// ago. It reads headers only; see [Verify].
func Inspect(dir string) (*Inspection, error) { return inspect(osFS{}, dir, true) }

// Verify is [Inspect] that reads everything and checks it.
func Verify(dir string) (*Inspection, error) { return inspect(osFS{}, dir, false) }

func inspect(fs FS, dir string, quick bool) (*Inspection, error) {
	in := &Inspection{}
	// Cursors come first: what they have passed is in the segments that are listed later.
	durable, err := in.cursors(fs, dir)
	if err != nil {
		return nil, fmt.Errorf("cannot inspect log %s: %w", dir, err)
	}
	segments, err := in.listSegments(fs, dir)
	if err != nil {
		return nil, fmt.Errorf("cannot inspect log %s: %w", dir, err)
	}
	end := durable
	for i, s := range segments {
		limit := place{position: ^Position(0)}
		if i+1 < len(segments) {
			limit = place{segments[i+1].base, segments[i+1].count}
		}
		end, err = in.segment(fs, s, limit, quick)
		if isNotExist(err) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("cannot inspect log %s: %w", dir, err)
		}
		switch {
		case i+1 < len(segments) && end.position < limit.position:
			in.Damage = append(in.Damage, s.gapBefore(end, limit, textGap))
		case i+1 == len(segments) && end.position < durable.position:
			in.Damage = append(in.Damage, s.gapBefore(end, durable, textEnd))
			end = durable
		}
	}
	in.End, in.Count = end.position, end.count
	for i := range in.Cursors {
		c := &in.Cursors[i]
		c.LagBytes = uint64(in.End - min(c.Position, in.End))
		c.LagCount = in.Count - min(c.LagCount, in.Count) // it was the count at its position
	}
	return in, nil
}

func (in *Inspection) cursors(fs FS, dir string) (durable place, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return durable, err
	}
	slices.Sort(names)
	for _, file := range names {
		path := filepath.Join(dir, file)
		if strings.HasPrefix(file, tornPrefix) || strings.HasPrefix(file, damagedPrefix) {
			in.Aside = append(in.Aside, path)
		}
		name, ok := cursorName(file)
		if !ok {
			continue
		}
		r, err := loadRecord(fs, path)
		switch {
		case isNotExist(err):
			continue
		case errors.Is(err, errNoRecord):
			in.Damage = append(in.Damage, Damage{File: path, Text: err.Error()})
			continue
		case err != nil:
			return durable, fmt.Errorf("cannot read the cursor %s: %w", path, err)
		}
		c := CursorInfo{
			Name: name, File: path, Position: r.at.position, LagCount: r.at.count,
			Skipped: r.skipped, State: r.state, Consumed: r.at.count - r.start,
		}
		for _, n := range r.skipped {
			c.Consumed -= n
		}
		in.Cursors = append(in.Cursors, c)
		for _, p := range []place{r.at, r.end} {
			if p.position > durable.position {
				durable = p
			}
		}
	}
	return durable, nil
}

// listSegments reads the headers of all segments.
func (in *Inspection) listSegments(fs FS, dir string) ([]*segment, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []*segment
	for _, name := range names {
		base, ok := segmentBase(name)
		if !ok {
			continue
		}
		s := &segment{name: filepath.Join(dir, name), base: base}
		err := readSegmentHeader(fs, s)
		if errors.Is(err, ErrDamaged) {
			err = in.damagedHeader(fs, s, all)
			if errors.Is(err, errSegmentHeader) {
				continue // without a frame: a creation that a crash has caught, or all is lost
			}
		}
		switch {
		case isNotExist(err):
			continue
		case err != nil:
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (in *Inspection) damagedHeader(fs FS, s *segment, before []*segment) error {
	f, err := fs.Open(s.name, false)
	if err != nil {
		return err
	}
	defer f.Close()
	count := uint64(0)
	if k := len(before) - 1; k >= 0 {
		end, err := walkFile(fs, before[k], s.base, true, noVisit)
		if err != nil {
			return err
		}
		count = end.count
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	ok, err := learnHeader(s, f, count)
	if err == nil && !ok {
		err = errSegmentHeader
	}
	if size > segmentHeaderSize && (err == nil || errors.Is(err, errSegmentHeader)) {
		in.Damage = append(in.Damage, Damage{File: s.name, Bytes: segmentHeaderSize, Text: textSegmentHeader})
	}
	return err
}

// segment walks through a segment.
func (in *Inspection) segment(fs FS, s *segment, limit place, quick bool) (place, error) {
	info := SegmentInfo{File: s.name, Base: s.base}
	if s.time != 0 {
		info.Created = time.Unix(0, s.time)
	}
	end, err := walkFile(fs, s, limit.position, quick, func(at place, f found) error {
		if f.kind == foundDamage {
			in.Damage = append(in.Damage, s.holeIn(at, f))
			return nil
		}
		t := time.Unix(0, f.header.time)
		if info.Frames == 0 {
			info.First = t
		}
		info.Last = t
		info.Frames++
		info.Count += uint64(f.header.count)
		return nil
	})
	if err != nil {
		return end, err
	}
	f, err := fs.Open(s.name, false)
	if err != nil {
		return end, err
	}
	defer f.Close()
	if info.Bytes, err = f.Size(); err != nil {
		return end, err
	}
	info.End = end.position
	info.Tail = max(info.Bytes-s.offset(end.position), 0)
	in.Segments = append(in.Segments, info)
	return end, nil
}

// Frames returns the frames in a log's directory that are readable, from a position on.
// Like [Inspect] it takes no lock. A body is valid until the next frame. The iteration
// ends with the first error.
func Frames(dir string, from Position) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		if err := frames(osFS{}, dir, from, func(f Frame) bool { return yield(f, nil) }); err != nil {
			yield(Frame{}, fmt.Errorf("cannot read log %s: %w", dir, err))
		}
	}
}

var errEnough = errors.New("the caller has enough")

func frames(fs FS, dir string, from Position, yield func(Frame) bool) error {
	segments, err := new(Inspection).listSegments(fs, dir)
	if err != nil {
		return err
	}
	for i, s := range segments {
		limit := ^Position(0)
		if i+1 < len(segments) {
			limit = segments[i+1].base
		}
		if limit <= from {
			continue
		}
		_, err := walkFile(fs, s, limit, false, func(at place, f found) error {
			if f.kind == foundFrame && at.position >= from &&
				!yield(Frame{Position: at.position, Count: int(f.header.count), Body: f.body}) {
				return errEnough
			}
			return nil
		})
		switch {
		case errors.Is(err, errEnough):
			return nil
		case err != nil && !isNotExist(err):
			return err
		}
	}
	return nil
}
