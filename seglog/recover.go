package seglog

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// recover reads the directory and repairs what a crash has left. The log is not in use
// yet.
func (l *Log) recover() error {
	d := l.disk
	names, err := d.fs.List(d.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	durable, err := l.recoverCursors(names)
	if err != nil {
		return err
	}
	if err := l.recoverSegments(names); err != nil {
		return err
	}
	if err := l.recoverEnd(durable); err != nil {
		return err
	}
	if err := d.fs.SyncDir(d.dir); err != nil {
		return err
	}
	l.oldest, l.oldestCount = d.segments[0].base, d.segments[0].count
	for _, c := range l.cursors {
		if from := c.wants(); from.position < l.oldest && !c.lost {
			l.report(from.position, d.segments[0].missingBefore(from))
		}
		c.rewind()
	}
	return nil
}

// recoverCursors reads the cursors' files and returns up to where the log was durable when
// the last of them was written.
func (l *Log) recoverCursors(names []string) (durable place, err error) {
	d := l.disk
	for _, file := range names {
		name, ok := cursorName(file)
		if !ok {
			continue
		}
		path := filepath.Join(d.dir, file)
		r, err := loadRecord(d.fs, path)
		if errors.Is(err, errNoRecord) {
			if err := l.recoverLostCursor(name, path); err != nil {
				return durable, err
			}
			continue
		}
		if err != nil {
			return durable, fmt.Errorf("cannot read the cursor %s: %w", path, err)
		}
		c := l.newCursor(name)
		c.sequence = r.sequence
		c.at, c.start, c.skipped, c.forced, c.state = r.at, r.start, r.skipped, r.forced, r.state
		c.stored, c.storedForced, c.storedEnd = r.at.position, r.forced.to.position, r.end.position
		l.cursors[name] = c
		for _, p := range []place{r.at, r.end} {
			if p.position > durable.position {
				durable = p
			}
		}
	}
	return durable, nil
}

// recoverLostCursor deals with a file that holds no record. Zeros are a cursor whose
// creation was not finished: nobody was told that there is one. Anything else was one:
// it begins again at the oldest frame, and rather delivers twice than not at all.
func (l *Log) recoverLostCursor(name, path string) error {
	d := l.disk
	blank, err := isBlank(d.fs, path)
	if err != nil {
		return err
	}
	if blank {
		return d.fs.Remove(path)
	}
	aside := filepath.Join(d.dir, damagedPrefix+filepath.Base(path))
	if err := d.fs.Rename(path, aside); err != nil {
		return err
	}
	l.stats.damages++
	l.logger.Warn("ringtail: a cursor's file is damaged; it begins again at the oldest frame",
		slog.String("cursor", name), slog.String("moved_to", aside))
	c := l.newCursor(name)
	c.lost, c.dirty = true, true
	l.cursors[name] = c
	return nil
}

const (
	damagedPrefix = "damaged-"
	tornPrefix    = "torn-"
	maxTorn       = 8
)

func isBlank(fs FS, name string) (bool, error) {
	f, err := fs.Open(name, false)
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, 2*cursorSlot)
	n, err := readAt(f, b, 0)
	return allZero(b[:n]), err
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// recoverSegments lists the segments, and finds out what damaged headers said.
func (l *Log) recoverSegments(names []string) error {
	d := l.disk
	opened := time.Now()
	for _, name := range names {
		base, ok := segmentBase(name)
		if !ok {
			continue
		}
		s := &segment{name: filepath.Join(d.dir, name), base: base, newest: opened}
		err := readSegmentHeader(d.fs, s)
		if errors.Is(err, ErrDamaged) {
			var keep bool
			if keep, err = l.recoverHeader(s); err == nil && !keep {
				continue
			}
		}
		if err != nil {
			return err
		}
		if k := len(d.segments) - 1; k >= 0 {
			d.segments[k].newest = bornAt(s.time, opened)
			if err := l.reportGap(d.segments[k], s); err != nil {
				return err
			}
		}
		d.segments = append(d.segments, s)
	}
	return nil
}

// reportGap says what is missing between two segments. Cursors count it when they come to
// it.
func (l *Log) reportGap(s, next *segment) error {
	f, err := l.disk.fs.Open(s.name, false)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if s.offset(next.base) <= size {
		return nil // perhaps it has more: what was refused and could not be cut off
	}
	end, err := walkFile(l.disk.fs, s, next.base, false, noVisit)
	if err != nil {
		return err
	}
	l.report(end.position, s.gapBefore(end, place{next.base, next.count}, textGap))
	return nil
}

// bornAt turns a time of the wall clock into one of this process.
func bornAt(wall int64, opened time.Time) time.Time {
	if wall == 0 {
		return opened
	}
	return opened.Add(-max(opened.Sub(time.Unix(0, wall)), 0))
}

func readSegmentHeader(fs FS, s *segment) error {
	f, err := fs.Open(s.name, false)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, segmentHeaderSize)
	n, err := readAt(f, b, 0)
	if err != nil {
		return err
	}
	return s.parse(b[:n])
}

// recoverHeader learns from the frames what a segment's header should say. A file
// without a frame is none: a crash has caught its creation, or all in it is lost.
func (l *Log) recoverHeader(s *segment) (keep bool, err error) {
	d := l.disk
	f, err := d.fs.Open(s.name, false)
	if err != nil {
		return false, err
	}
	defer f.Close()
	before := uint64(0)
	if k := len(d.segments) - 1; k >= 0 {
		end, err := walkFile(d.fs, d.segments[k], s.base, false, noVisit)
		if err != nil {
			return false, err
		}
		before = end.count
	}
	if keep, err = learnHeader(s, f, before); err != nil {
		return false, err
	}
	if keep {
		l.report(s.base, Damage{File: s.name, Bytes: segmentHeaderSize, Text: textSegmentHeader})
		return true, nil
	}
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	if size <= segmentHeaderSize {
		return false, d.fs.Remove(s.name)
	}
	aside := filepath.Join(d.dir, damagedPrefix+filepath.Base(s.name))
	l.report(s.base, Damage{File: s.name, Bytes: size, Text: "nothing in the segment is readable; it was moved to " + aside})
	return false, d.fs.Rename(s.name, aside)
}

const textSegmentHeader = "the segment's header is not readable"

func noVisit(place, found) error { return nil }

// recoverEnd finds the end of the log in the last segment, cuts off what a crash has torn,
// and opens the file for writing.
func (l *Log) recoverEnd(durable place) error {
	d := l.disk
	if len(d.segments) == 0 {
		return l.beginAt(durable)
	}
	s := d.segments[len(d.segments)-1]
	var last int64
	end, err := walkFile(d.fs, s, ^Position(0), false, func(at place, f found) error {
		if f.kind == foundDamage {
			l.report(at.position, s.holeIn(at, f))
		} else {
			last = f.header.time
		}
		return nil
	})
	if err != nil {
		return err
	}
	if last != 0 {
		s.newest = bornAt(last, time.Now())
	}
	if end.position < durable.position {
		// What is missing was durable: it is damaged, and not torn.
		l.report(end.position, s.gapBefore(end, durable, textEnd))
		return l.beginAt(durable)
	}
	f, err := d.fs.Open(s.name, true)
	if err != nil {
		return fmt.Errorf("cannot write to the log: %w", err)
	}
	if err := l.cut(s, f, s.offset(end.position)); err != nil {
		return errors.Join(fmt.Errorf("cannot cut off what is torn at the end of %s: %w", s.name, err), f.Close())
	}
	l.end, l.count = end.position, end.count
	d.writer = writer{seg: s, file: f, size: s.offset(end.position), last: time.Now()}
	if s.id == 0 {
		return l.beginAt(end) // without an id nothing can be appended here
	}
	return nil
}

// beginAt makes a segment at a place.
func (l *Log) beginAt(p place) error {
	l.end, l.count = p.position, p.count
	l.disk.writer.distrusted = l.disk.writer.file != nil
	return l.roll()
}

// cut moves what is behind the last frame into a file of its own. What was acknowledged
// is not in there; but to throw bytes away is not for us to decide.
func (l *Log) cut(s *segment, f File, at int64) error {
	d := l.disk
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size <= at {
		// A frame that a killed process has written may not be on the disk yet, and
		// is served from now on.
		return f.Sync()
	}
	rest := make([]byte, min(size-at, l.opts.MaxBytes))
	n, err := readAt(f, rest, at)
	if err != nil {
		return err
	}
	if rest = rest[:n]; !allZero(rest) {
		name := filepath.Join(d.dir, fmt.Sprintf("%s%020d-%d", tornPrefix, uint64(s.base), at))
		err := saveAside(d.fs, d.dir, name, rest)
		if outOfSpace(err) {
			// To refuse to start would keep the disk full: what is in the log has to go out.
			name, err = "nowhere, the disk is full", nil
		}
		if err != nil {
			return err
		}
		l.logger.Warn("ringtail: a crash has torn the end of the log: what was not acknowledged was moved aside",
			slog.String("file", s.name), slog.Int64("offset", at), slog.Int64("bytes", size-at), slog.String("moved_to", name))
	}
	if err := f.Truncate(at); err != nil {
		return err
	}
	return f.Sync()
}

// saveAside keeps torn bytes for whoever wants to look, and the last few such files.
func saveAside(fs FS, dir, name string, b []byte) error {
	f, err := fs.Create(name)
	if isExist(err) {
		if err = fs.Remove(name); err == nil {
			f, err = fs.Create(name)
		}
	}
	if err != nil {
		return err
	}
	if err := errors.Join(writeAt(f, b, 0), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, fs.Remove(name))
	}
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, tornPrefix) })
	slices.Sort(names)
	for len(names) > maxTorn {
		if err := fs.Remove(filepath.Join(dir, names[0])); err != nil {
			return err
		}
		names = names[1:]
	}
	return fs.SyncDir(dir)
}
