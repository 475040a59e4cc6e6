package seglog

import (
	"context"
	"sort"
	"time"
)

// Want says how much a Read should return. Its zero value returns what is there, up to
// 1 MiB.
type Want struct {
	// MaxBytes and MaxCount bound a run: it ends before the frame with which the sum of
	// bodies, or of counts, would be larger. One frame it always has. Default 1 MiB, and
	// any count.
	MaxBytes, MaxCount int
	// MinBytes is what to wait for, for as long as Linger; MaxCount is enough too. It
	// includes the headers of frames.
	MinBytes int
	// Linger is how long to wait after the first frame is there.
	Linger time.Duration
}

// Frame is one frame of a [Run].
type Frame struct {
	Position Position
	Count    int
	Body     []byte
}

// Run is a row of frames. It belongs to who reads it until Release.
type Run struct {
	Frames     []Frame
	Start, End Position // of the run; commit End when all of it is done
	Count      int      // of all frames
	Bytes      int      // of all bodies

	log   *Log
	holds []*chunk
	kept  bool
}

// Keep, before Release, says that the bodies may be read after it, until nobody knows when. The log
// does not write to their memory again then, and leaves it to the garbage collector. From the
// moment when nobody else needs it, it counts no more towards the log's bounds.
func (r *Run) Keep() { r.kept = true }

// Release gives the memory back. The bodies must not be touched after it, unless Keep was
// called. The second call does nothing.
func (r *Run) Release() {
	if len(r.holds) == 0 {
		return
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for _, c := range r.holds {
		c.kept = c.kept || r.kept
		r.log.memory.restore(c)
	}
	r.holds = nil
}

// Read returns the frames behind those it has returned before. It waits for one, and for
// as many as w asks for. Their bodies are the log's memory: no copy. Errors are that of
// the context, and [ErrClosed] when the cursor or the log is closed, or the log is sealed
// and there is nothing left. What was read and not committed is remembered with 16 bytes a
// frame.
func (c *Cursor) Read(ctx context.Context, w Want) (*Run, error) {
	if w.MaxBytes <= 0 {
		w.MaxBytes = mib
	}
	w.MinBytes = max(min(w.MinBytes, w.MaxBytes), 1)
	l := c.log
	for {
		l.mu.Lock()
		err := c.await(ctx, w)
		from, end := place{c.read, c.readCount}, l.end
		c.reading = err == nil
		l.mu.Unlock()
		if err != nil {
			return nil, err
		}
		r, skips, err := c.gather(from, end, w)
		if err != nil {
			r, skips = &Run{}, nil
		}
		if c.accept(from, r, skips) {
			return r, nil
		}
		r.Release()
		if err != nil {
			return nil, err
		}
	}
}

// accept makes what was gathered the cursor's, unless it was moved on meanwhile, or
// there is nothing to return.
func (c *Cursor) accept(from place, r *Run, skips []skip) bool {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	c.reading = false
	if !c.held || l.closed {
		c.dropBlock()
		return false
	}
	if c.read != from.position {
		return false
	}
	k := 0
	for i := range r.Frames {
		f := &r.Frames[i]
		for k < len(skips) && skips[k].from.position == c.read {
			c.pass(skips[k].to, skips[k].reason)
			k++
		}
		c.marks = append(c.marks, mark{f.Position, c.readCount})
		c.read = f.Position + Position(headerSize+len(f.Body))
		c.readCount += uint64(f.Count)
	}
	for ; k < len(skips); k++ {
		c.pass(skips[k].to, skips[k].reason)
	}
	return len(r.Frames) > 0
}

// await returns when there is something to read. Log.mu is held before and after.
func (c *Cursor) await(ctx context.Context, w Want) error {
	l := c.log
	var timer *time.Timer
	var late <-chan time.Time
	over := w.Linger <= 0
	for {
		bytes, count := uint64(l.end-c.read), l.count-c.readCount
		switch {
		case l.closed || !c.held:
			return ErrClosed
		case bytes > 0 && (over || l.sealed || bytes >= uint64(w.MinBytes) || w.MaxCount > 0 && count >= uint64(w.MaxCount)):
			return nil
		case bytes == 0 && l.sealed && l.reserved == 0:
			return ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c.need = need{waiting: true, bytes: 1}
		l.readers++
		if bytes > 0 {
			c.need = need{waiting: true, bytes: uint64(w.MinBytes), count: uint64(max(w.MaxCount, 0))}
			if timer == nil {
				timer = time.NewTimer(w.Linger)
				defer timer.Stop()
				late = timer.C
			}
		}
		l.mu.Unlock()
		select {
		case <-c.wake:
		case <-ctx.Done():
		case <-late:
			over = true
		}
		l.mu.Lock()
		c.stopWaiting()
	}
}

func (c *Cursor) stopWaiting() {
	if c.need.waiting {
		c.need.waiting = false
		c.log.readers--
	}
}

// signal wakes a Read that waits.
func (c *Cursor) signal() {
	c.stopWaiting()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// wakeReaders wakes those for whom there is enough now.
func (l *Log) wakeReaders() {
	if l.readers == 0 {
		return
	}
	for _, c := range l.cursors {
		if n := &c.need; n.waiting && (uint64(l.end-c.read) >= n.bytes || n.count > 0 && l.count-c.readCount >= n.count) {
			c.signal()
		}
	}
}

func (l *Log) wakeAll() {
	for _, c := range l.cursors {
		if c.need.waiting {
			c.signal()
		}
	}
}

// gather collects frames from one place up to end, and what it could not read on the way.
// It returns less if the log was moved on meanwhile, which the caller notices.
func (c *Cursor) gather(from place, end Position, w Want) (*Run, []skip, error) {
	g := gathering{run: &Run{Start: from.position, End: from.position, log: c.log}, at: from, want: w}
	for g.at.position < end && !g.full {
		data, chunk := c.cached(g.at.position)
		if data != nil {
			g.run.holds = append(g.run.holds, chunk)
			g.addTrusted(data)
			continue
		}
		if c.log.disk == nil {
			break
		}
		if more, err := c.readSegment(&g); err != nil && len(g.run.Frames) == 0 {
			g.run.Release()
			return nil, nil, err
		} else if err != nil || !more {
			break
		}
	}
	return g.run, g.skips, nil
}

// cached returns frames in memory, beginning with the one at p, and a reference to their
// chunk.
func (c *Cursor) cached(p Position) ([]byte, *chunk) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.extentAt(p)
	if e == nil {
		return nil, nil
	}
	c.dropBlock() // it has caught up with what is in memory
	l.memory.lend(e.chunk)
	return e.data[p-e.base:], e.chunk
}

// extentAt returns the extent that p lies in, or nil.
func (l *Log) extentAt(p Position) *extent {
	i := sort.Search(len(l.extents), func(i int) bool { return l.extents[i].base > p }) - 1
	if i < 0 || p >= l.extents[i].end() {
		return nil
	}
	return &l.extents[i]
}

// gathering is a run that grows.
type gathering struct {
	run   *Run
	skips []skip
	at    place // behind what was gathered or skipped
	want  Want
	full  bool
}

// addTrusted takes frames from data, which this process has written.
func (g *gathering) addTrusted(data []byte) {
	for len(data) > 0 && !g.full {
		h := trustedHeader(data)
		g.add(&h, data[headerSize:h.size():h.size()])
		data = data[h.size():]
	}
}

// add takes a frame, if the run has room for it. One it has always.
func (g *gathering) add(h *header, body []byte) (took bool) {
	r := g.run
	if len(r.Frames) > 0 && (r.Bytes+len(body) > g.want.MaxBytes ||
		g.want.MaxCount > 0 && r.Count+int(h.count) > g.want.MaxCount) {
		g.full = true
		return false
	}
	r.Frames = append(r.Frames, Frame{Position: h.position, Count: int(h.count), Body: body})
	r.Bytes += len(body)
	r.Count += int(h.count)
	r.End = h.end()
	g.at = place{h.end(), h.after()}
	return true
}

// skip passes over what is damaged.
func (g *gathering) skip(to place) {
	g.skips = append(g.skips, skip{from: g.at, to: to, reason: SkippedDamage})
	g.at = to
}
