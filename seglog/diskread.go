package seglog

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// readSegment adds frames from the segment that the gathering has come to. More is false
// if the log was moved on and has no such segment any more.
func (c *Cursor) readSegment(g *gathering) (more bool, err error) {
	l := c.log
	l.mu.Lock()
	seg, limit := l.segmentAt(g.at.position)
	if len(l.extents) > 0 {
		// From there on frames are in memory.
		if e := &l.extents[0]; e.base > g.at.position && e.base < limit.position {
			limit = place{e.base, e.count}
		}
	}
	l.mu.Unlock()
	if seg == nil {
		return false, nil
	}
	rd, err := l.disk.readers.acquire(seg)
	if isNotExist(err) {
		return c.missing(g, seg, limit)
	}
	if err != nil {
		return false, fmt.Errorf("cannot read the log: %w", err)
	}
	defer l.disk.readers.release(rd)

	b := blockLoader{cursor: c, seg: seg, file: rd.file, limit: limit.position}
	w := walker{load: b.load, at: g.at, limit: limit.position, id: seg.id}
	for !g.full && g.at.position < limit.position {
		got, err := w.next()
		if err != nil {
			return false, fmt.Errorf("cannot read segment %s: %w", seg.name, err)
		}
		switch got.kind {
		case foundFrame:
			if g.add(&got.header, got.body[:len(got.body):len(got.body)]) {
				c.holdBlock(g.run)
			}
			continue
		case foundEnd, foundBadRest:
			got.to = limit
			if got.text == "" {
				got.text = "the rest of the segment is missing"
			}
		}
		l.report(g.at.position, seg.holeIn(g.at, got))
		g.skip(got.to)
	}
	return true, nil
}

// missing deals with a segment that has no file: deleted since nobody needs it; or by
// somebody who should not have; or the whole directory is gone, and may come back.
func (c *Cursor) missing(g *gathering, seg *segment, limit place) (more bool, err error) {
	l := c.log
	names, err := l.disk.fs.List(l.disk.dir)
	if err != nil {
		return false, fmt.Errorf("cannot read the log: %w", err)
	}
	l.mu.Lock()
	_, known := slices.BinarySearchFunc(l.disk.segments, seg.base, func(s *segment, p Position) int {
		switch {
		case s.base < p:
			return -1
		case s.base > p:
			return 1
		}
		return 0
	})
	l.mu.Unlock()
	if !known || slices.Contains(names, filepath.Base(seg.name)) {
		return false, nil
	}
	l.report(g.at.position, seg.gapBefore(g.at, limit, "the segment is missing"))
	g.skip(limit)
	return true, nil
}

// blockLoader loads from a segment into the cursor's block.
type blockLoader struct {
	cursor *Cursor
	seg    *segment
	file   File
	limit  Position // what is behind it may still be written
}

func (b *blockLoader) load(p Position, n int) ([]byte, error) {
	c := b.cursor
	l := c.log
	left := func(at Position, n int) int { return int(min(Position(n), b.limit-at)) }
	n = left(p, n)
	if k := c.block; k != nil && p >= c.blockBase && p+Position(n) <= c.blockBase+Position(k.used) {
		return k.buf[p-c.blockBase : left(c.blockBase, k.used)], nil
	}
	l.mu.Lock()
	c.dropBlock()
	k := l.memory.take(n)
	l.trimCache()
	l.mu.Unlock()
	m, err := readAt(b.file, k.buf[:left(p, len(k.buf))], b.seg.offset(p))
	if err != nil {
		l.mu.Lock()
		l.memory.drop(k)
		l.mu.Unlock()
		return nil, err
	}
	k.used = m
	c.block, c.blockBase = k, p
	return k.buf[:m], nil
}

// holdBlock gives the run a reference to the block.
func (c *Cursor) holdBlock(r *Run) {
	if n := len(r.holds); n > 0 && r.holds[n-1] == c.block {
		return
	}
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.memory.lend(c.block)
	r.holds = append(r.holds, c.block)
}

// dropBlock gives the block back. Log.mu is held.
func (c *Cursor) dropBlock() {
	if c.block != nil {
		c.log.memory.drop(c.block)
		c.block = nil
	}
}

// ReadAt returns the body and the count of the frame at p. The body is in dst if that has
// the capacity for it, or else in new memory. Errors are [ErrGone], [ErrDamaged], and one
// that says that no frame begins at p.
func (l *Log) ReadAt(p Position, dst []byte) (body []byte, count int, err error) {
	l.mu.Lock()
	if p < l.oldest || l.closed {
		defer l.mu.Unlock()
		if l.closed {
			return nil, 0, ErrClosed
		}
		return nil, 0, fmt.Errorf("cannot read at %d: %w", p, ErrGone)
	}
	if e := l.extentAt(p); e != nil {
		if h, ok := parseHeader(e.data[p-e.base:], p); ok {
			chunk, start := e.chunk, e.start+int(p-e.base)+headerSize
			chunk.refs++
			l.mu.Unlock()
			dst = append(dst[:0], chunk.buf[start:start+h.length]...)
			l.mu.Lock()
			l.memory.drop(chunk)
			l.mu.Unlock()
			return dst, int(h.count), nil
		}
	}
	if l.disk == nil || p >= l.end {
		l.mu.Unlock()
		return nil, 0, fmt.Errorf("cannot read at %d: no frame begins there", p)
	}
	seg, limit := l.segmentAt(p)
	l.disk.lookedBack = time.Now()
	l.mu.Unlock()
	rd, err := l.disk.readers.acquire(seg)
	if err == nil {
		body, count, err = readFrame(rd.file, seg, p, limit.position, dst)
		l.disk.readers.release(rd)
	}
	if err == nil {
		return body, count, nil
	}
	l.mu.Lock()
	gone := p < l.oldest
	l.mu.Unlock()
	if gone {
		err = ErrGone // and its file too, meanwhile
	}
	return nil, 0, fmt.Errorf("cannot read at %d: %w", p, err)
}

// readFrame reads one frame from a file.
func readFrame(f File, seg *segment, p, limit Position, dst []byte) ([]byte, int, error) {
	var b [headerSize]byte
	n, err := readAt(f, b[:], seg.offset(p))
	if err != nil {
		return nil, 0, err
	}
	h, ok := parseHeader(b[:n], p)
	if !ok || h.end() > limit || seg.id != 0 && h.id != seg.id {
		return nil, 0, fmt.Errorf("%w, or no frame begins there", ErrDamaged)
	}
	if dst = dst[:0]; cap(dst) < h.length {
		dst = make([]byte, 0, h.length)
	}
	n, err = readAt(f, dst[:h.length], seg.offset(p)+headerSize)
	if err != nil {
		return nil, 0, err
	}
	if n < h.length || bodySum(dst[:n]) != h.bodySum {
		return nil, 0, fmt.Errorf("%w: %s", ErrDamaged, textBody)
	}
	return dst[:n], int(h.count), nil
}
