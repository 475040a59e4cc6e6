package seglog

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// keepLoop is the keeper: it stores the cursors, deletes the segments that they have
// passed, and those that are too old.
func (l *Log) keepLoop() {
	d := l.disk
	defer d.ended.Done()
	var later, age <-chan time.Time
	if l.opts.MaxAge > 0 {
		t := time.NewTicker(ageStep(l.opts.MaxAge))
		defer t.Stop()
		age = t.C
	}
	for {
		select {
		case <-d.stop:
			return
		case <-d.keep:
			if later == nil {
				later = time.After(l.opts.CommitEvery)
			}
			continue
		case <-age:
			l.expire()
		case <-later:
		case <-d.keepNow:
		}
		later = nil
		err := l.store()
		if err != nil {
			d.stores.Warn(l.logger, "cannot store where the log's cursors are; segments are kept until that succeeds", slog.Any("error", err))
			later = time.After(max(l.opts.CommitEvery, mostPatience))
		}
		l.mu.Lock()
		d.stuck = err // what is forced out goes when the cursors are stored
		l.mu.Unlock()
		l.clean()
	}
}

// ageStep is how often to look for what is too old.
func ageStep(age time.Duration) time.Duration {
	return min(max(age/16, time.Millisecond), time.Minute)
}

// touch asks for the cursor to be stored.
func (c *Cursor) touch() {
	if c.log.disk != nil {
		c.dirty = true
		kick(c.log.disk.keep)
	}
}

// store writes all cursors that have changed.
func (l *Log) store() error {
	d := l.disk
	d.storing.Lock()
	defer d.storing.Unlock()
	l.mu.Lock()
	var changed []*Cursor
	for _, c := range l.cursors {
		// When the log closes, the end is worth a record: what was durable and is not
		// there the next time was damaged, and not torn.
		if c.dirty || l.closed && c.storedEnd != l.end {
			changed = append(changed, c)
		}
	}
	l.mu.Unlock()
	var failed error
	for _, c := range changed {
		if err := c.store(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("cannot store cursor %q: %w", c.name, err))
		}
	}
	return failed
}

// store writes the record of the cursor over the older one of the two. Disk.storing is
// held.
func (c *Cursor) store() error {
	l := c.log
	l.mu.Lock()
	if l.cursors[c.name] != c {
		l.mu.Unlock()
		return nil
	}
	r := record{
		sequence: c.sequence + 1, at: c.at, start: c.start, skipped: c.skipped, forced: c.forced,
		end: place{l.end, l.count}, state: slices.Clone(c.state),
	}
	c.dirty = false
	l.mu.Unlock()

	err := c.write(&r)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		c.dirty = true
		l.stats.failures++
		return err
	}
	c.sequence = r.sequence
	c.stored, c.storedForced, c.storedEnd = r.at.position, r.forced.to.position, r.end.position
	return nil
}

// write makes the file if there is none. It has its full size from the beginning, so that a
// commit needs no room on a disk that is full.
func (c *Cursor) write(r *record) (err error) {
	d := c.log.disk
	name := cursorFile(d.dir, c.name)
	f, err := d.fs.Open(name, true)
	made := isNotExist(err)
	if made {
		f, err = d.fs.Create(name)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if made {
		if err := writeAt(f, make([]byte, 2*cursorSlot), 0); err != nil {
			return err
		}
	}
	if err := writeAt(f, r.put(), int64(r.sequence%2)*cursorSlot); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || !made && r.sequence > 1 {
		return err // the file's name is durable since its first record
	}
	return d.fs.SyncDir(d.dir)
}

// clean deletes the segments that every cursor has passed, and those that were forced
// out, oldest first.
func (l *Log) clean() {
	for l.cleanOne() {
	}
}

// cleanOne deletes a segment, if there is one. Nobody makes a cursor meanwhile, which would
// begin there.
func (l *Log) cleanOne() bool {
	d := l.disk
	d.storing.Lock()
	defer d.storing.Unlock()
	l.mu.Lock()
	s := l.deletable()
	l.mu.Unlock()
	if s == nil {
		return false
	}
	d.readers.forget(s)
	err := d.fs.Remove(s.name)
	if isNotExist(err) {
		err = nil
	}
	l.mu.Lock()
	d.stuck = err
	if err == nil {
		l.deleted(s)
	}
	l.mu.Unlock()
	if err == nil {
		err = d.fs.SyncDir(d.dir)
	}
	if err != nil {
		d.stores.Warn(l.logger, "cannot delete a segment that nobody needs", slog.Any("error", err))
	}
	return err == nil
}

// deletable returns the first segment that can go, which nobody can want after a crash
// either.
func (l *Log) deletable() *segment {
	d := l.disk
	s, end := (*segment)(nil), Position(0)
	switch {
	case len(d.doomed) > 0:
		s, end = d.doomed[0].segment, d.doomed[0].end
	case len(l.cursors) > 0 && len(d.segments) > 1:
		s, end = d.segments[0], d.segments[1].base
	}
	for _, c := range l.cursors {
		if c.stored < end && (len(d.doomed) == 0 || c.storedForced < end) {
			return nil
		}
	}
	return s
}

// deleted forgets a segment whose file is gone.
func (l *Log) deleted(s *segment) {
	d := l.disk
	if len(d.doomed) > 0 && d.doomed[0].segment == s {
		d.doomed = d.doomed[1:]
		return
	}
	if len(d.segments) > 1 && d.segments[0] == s {
		d.segments[0] = nil
		d.segments = d.segments[1:]
		l.oldest, l.oldestCount = d.segments[0].base, d.segments[0].count
	}
}
