package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// writer is the file that is appended to. It belongs to the committer.
type writer struct {
	seg  *segment
	file File
	size int64    // of the file, up to the last frame that was acknowledged
	rows [][]byte // reused

	dirty bool // written to since the last sync
	last  time.Time
	// distrusted: what the file holds is not known, since a sync has failed, or a write for
	// another reason than that there was no room, or what a write has left could not be cut
	// off, or there may be another file that begins at the end of the log. A kernel that fails
	// a sync may forget what it could not write and let the next sync succeed, so this file is
	// never written to again. The next segment begins where it is trusted to end, which cuts it
	// there for every reader, after a crash too.
	distrusted bool
}

// commitLoop is the committer: it writes what has gathered while it wrote the last
// time, and syncs once for all of it.
func (l *Log) commitLoop() {
	defer l.disk.ended.Done()
	var group []*slot
	var answers []answer
	for {
		var ok bool
		if group, ok = l.nextGroup(group[:0]); !ok {
			return
		}
		slices.SortFunc(group, func(a, b *slot) int {
			return cmp.Or(cmp.Compare(a.chunk.seq, b.chunk.seq), cmp.Compare(a.start, b.start))
		})
		begin := time.Now()
		for rest := group; len(rest) > 0; {
			n, err := l.write(rest)
			if err != nil {
				answers = l.fail(rest, err, answers)
				break
			}
			answers = l.succeed(rest[:n], answers)
			rest = rest[n:]
		}
		// First, since who is answered is soon here again.
		l.pace(len(group), time.Since(begin))
		for _, a := range answers {
			a.done(a.position, a.err)
		}
		clear(group)
		clear(answers)
		answers = answers[:0]
	}
}

// answer is what somebody is to be told when Log.mu is not held any more.
type answer struct {
	done     func(Position, error)
	position Position
	err      error
}

// pace decides how long a group gathers. Those who are answered at once come back soon
// with their next frames; if the committer does not wait for them, two halves take turns, and
// every sync serves half of those it could.
type pace struct {
	expect int // frames
	took   time.Duration
	timer  *time.Timer
}

// mostGather bounds what a frame waits for others.
const mostGather = time.Millisecond

// pace learns from a group that was written.
func (l *Log) pace(frames int, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disk.pace.expect, l.disk.pace.took = frames+len(l.disk.ready), min(took, l.disk.mostGather)
}

// gather waits, when one frame is ready, until there are as many as were in the last group
// and came while it was written, for as long as writing that took at most.
func (l *Log) gather() {
	d := l.disk
	p := &d.pace
	l.mu.Lock()
	if len(d.ready) >= p.expect || p.took == 0 || l.sealed {
		l.mu.Unlock()
		return
	}
	d.idle, d.want = true, p.expect
	l.mu.Unlock()
	if p.timer == nil {
		p.timer = time.NewTimer(p.took)
	} else {
		p.timer.Reset(p.took)
	}
	select {
	case <-d.commit:
	case <-p.timer.C:
	}
	p.timer.Stop()
	l.mu.Lock()
	d.idle, d.want = false, 0
	l.mu.Unlock()
}

// nextGroup waits for frames that are committed and swaps the list of them for the
// empty group. Meanwhile it does what is due. It returns false when the log is closed.
func (l *Log) nextGroup(group []*slot) ([]*slot, bool) {
	d, w := l.disk, &l.disk.writer
	for gathered := l.opts.Sync != SyncGroup; ; {
		l.mu.Lock()
		if len(d.ready) > 0 && !gathered {
			l.mu.Unlock()
			l.gather()
			gathered = true
			continue
		}
		if len(d.ready) > 0 {
			group, d.ready = d.ready, group
			// Who does not sync writes to memory only, which is cheaper still.
			d.direct = l.opts.Sync == SyncGroup && l.readersKeepUp()
			l.mu.Unlock()
			return group, true
		}
		if l.closed && l.reserved == 0 {
			l.mu.Unlock()
			return nil, false
		}
		rolling := d.rolling
		d.rolling = false
		d.idle = !rolling
		l.mu.Unlock()
		if rolling {
			if err := l.roll(); err != nil {
				l.trouble(err)
			}
			continue
		}
		if l.opts.Sync != SyncInterval || !w.dirty {
			<-d.commit
			continue
		}
		due := time.NewTimer(time.Until(w.last.Add(l.opts.SyncEvery)))
		select {
		case <-d.commit:
		case <-due.C:
			l.syncLater()
		}
		due.Stop()
	}
}

// write makes as many frames as fit into one segment as durable as the policy says.
func (l *Log) write(group []*slot) (n int, err error) {
	w := &l.disk.writer
	room := l.opts.SegmentBytes - w.size
	if w.distrusted || int64(group[0].size) > room && w.size > segmentHeaderSize {
		if err := l.roll(); err != nil {
			return 0, err
		}
		room = l.opts.SegmentBytes - w.size
	}
	size, count := int64(0), l.count
	for n < len(group) && (n == 0 || size+int64(group[n].size) <= room) {
		s := group[n]
		s.position = l.end + Position(size)
		h := header{
			length: s.size - headerSize, position: s.position, before: count,
			time: s.time.UnixNano(), count: s.count, id: w.seg.id, bodySum: s.bodySum,
		}
		h.put(s.chunk.buf[s.start:])
		size += int64(s.size)
		count += uint64(s.count)
		n++
	}
	if err := w.write(group[:n], l.disk.direct); err != nil {
		// A device that fails may not even let the begun block be read again.
		w.distrusted = w.file.Truncate(w.size) != nil || !outOfSpace(err)
		return 0, fmt.Errorf("cannot write to segment %s: %w", w.seg.name, err)
	}
	if l.opts.Sync == SyncGroup {
		if err := w.file.Sync(); err != nil {
			w.distrusted = true
			_ = w.file.Truncate(w.size) // as good as it gets; the next segment's base is what counts
			return 0, fmt.Errorf("cannot sync segment %s: %w", w.seg.name, err)
		}
	}
	if w.file.Removed() {
		w.distrusted = true
		return 0, fmt.Errorf("cannot write to segment %s: somebody has removed it", w.seg.name)
	}
	w.size += size
	if l.opts.Sync == SyncInterval {
		w.dirty = true
		if time.Since(w.last) >= l.opts.SyncEvery {
			l.syncLater()
		}
	}
	return n, nil
}

// write lays frames side by side into the file, in rows of those that lie side by side in
// memory.
func (w *writer) write(group []*slot, direct bool) error {
	rows := w.rows[:0]
	for i := 0; i < len(group); {
		c, start, end := group[i].chunk, group[i].start, group[i].start+group[i].size
		for i++; i < len(group) && group[i].chunk == c && group[i].start == end; i++ {
			end += group[i].size
		}
		rows = append(rows, c.buf[start:end])
	}
	w.rows = rows
	defer clear(rows)
	if f, ok := w.file.(rowWriter); ok && direct {
		return f.writeRows(rows, w.size)
	}
	at := w.size
	for _, row := range rows {
		if err := writeAt(w.file, row, at); err != nil {
			return err
		}
		at += int64(len(row))
	}
	return nil
}

// readersKeepUp says whether nobody is about to read from files what is written now: then
// the operating system need not have it in memory. Whoever is behind reads it soon.
func (l *Log) readersKeepUp() bool {
	cached := l.end
	if len(l.extents) > 0 {
		cached = l.extents[0].base
	}
	for _, c := range l.cursors {
		if c.held && c.read < cached {
			return false
		}
	}
	return time.Since(l.disk.lookedBack) > lookBack
}

// lookBack is how long a ReadAt of a file is taken for a sign that there will be others.
const lookBack = 10 * time.Second

// syncLater is the sync of SyncInterval: those who wrote were told long ago.
func (l *Log) syncLater() {
	w := &l.disk.writer
	w.dirty, w.last = false, time.Now()
	if err := w.file.Sync(); err != nil {
		w.distrusted = true
		l.trouble(fmt.Errorf("cannot sync segment %s, frames of the last %v may not survive a crash of the machine: %w",
			w.seg.name, l.opts.SyncEvery, err))
		return
	}
	l.mu.Lock()
	l.stats.syncs++
	l.mu.Unlock()
}

// roll begins a new segment at the end of the log.
func (l *Log) roll() error {
	d, w := l.disk, &l.disk.writer
	if l.opts.Sync == SyncInterval && w.dirty {
		l.syncLater()
	}
	if w.seg != nil && !w.distrusted && w.seg.base == l.end {
		return nil
	}
	s, f, err := createSegment(d.fs, d.dir, l.end, l.count)
	if err != nil {
		// A file that begins here may be left, and would cut off what is written to the
		// old one from now on.
		w.distrusted = w.file != nil
		return err
	}
	l.mu.Lock()
	if k := len(d.segments) - 1; k >= 0 && d.segments[k].base == s.base {
		d.segments = d.segments[:k] // it had no frame, and its file was replaced
	}
	d.segments = append(d.segments, s)
	l.mu.Unlock()
	if w.file != nil {
		_ = w.file.Close() // it is synced, or was given up
	}
	*w = writer{seg: s, file: f, size: segmentHeaderSize, last: time.Now()}
	return nil
}

// succeed publishes a group, and adds what to tell those who wait.
func (l *Log) succeed(group []*slot, answers []answer) []answer {
	d := l.disk
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range group {
		l.extend(s)
		answers = append(answers, answer{s.done, s.position, nil})
		l.freeSlot(s)
	}
	l.stats.writes++
	if l.opts.Sync == SyncGroup {
		l.stats.syncs++
	}
	d.writer.seg.newest = time.Now()
	if d.fault != nil {
		l.logger.Info("ringtail: the log takes frames again", slog.String("dir", d.dir))
		d.fault, d.patience = nil, 0
	}
	l.trimCache()
	l.wakeReaders()
	return answers
}

// Patience of a log whose disk fails: for so long appends are refused without trying.
const (
	leastPatience = 10 * time.Millisecond
	mostPatience  = time.Second
)

// fail gives a group up, and adds what to tell those who wait.
func (l *Log) fail(group []*slot, err error, answers []answer) []answer {
	d := l.disk
	err = fmt.Errorf("cannot append to log %s: %w", d.dir, err)
	if outOfSpace(err) {
		err = errors.Join(ErrFull, err)
	}
	l.mu.Lock()
	for _, s := range group {
		l.memory.drop(s.chunk)
		answers = append(answers, answer{s.done, 0, err})
		l.freeSlot(s)
	}
	l.stats.refused += uint64(len(group))
	d.fault = err
	d.patience = min(max(2*d.patience, leastPatience), d.mostPatience)
	d.retry = time.Now().Add(d.patience)
	l.mu.Unlock()
	l.trouble(err)
	return answers
}

// trouble counts and logs what the disk did.
func (l *Log) trouble(err error) {
	l.mu.Lock()
	l.stats.failures++
	l.mu.Unlock()
	l.disk.faults.Warn(l.logger, "the log's disk fails", slog.Any("error", err))
}

// closeWriter makes what was written durable. When the file is not to be trusted, an empty
// segment behind it cuts off what was refused.
func (l *Log) closeWriter() error {
	w := &l.disk.writer
	var err error
	if l.opts.Sync != SyncGroup {
		err = w.file.Sync()
	}
	if w.distrusted {
		err = errors.Join(err, l.roll())
	}
	return errors.Join(err, w.file.Close())
}
