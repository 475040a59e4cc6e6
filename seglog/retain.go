package seglog

import "time"

// retain lets go what every cursor has passed. Without cursors everything is kept. On
// disk it is the keeper that deletes, when the cursors' positions are stored.
func (l *Log) retain() {
	if len(l.cursors) == 0 {
		return
	}
	floor := l.end
	for _, c := range l.cursors {
		if l.disk == nil || c.held {
			floor = min(floor, c.at.position)
		}
	}
	l.dropExtents(floor)
}

// dropExtents lets go the memory of whole extents before p. For a log in memory that is
// where it begins.
func (l *Log) dropExtents(p Position) {
	n := 0
	for n < len(l.extents) && l.extents[n].end() <= p {
		l.memory.drop(l.extents[n].chunk)
		l.extents[n] = extent{}
		n++
	}
	if n == 0 {
		return
	}
	l.extents = l.extents[n:]
	if l.disk == nil {
		l.oldest, l.oldestCount = l.end, l.count
		if len(l.extents) > 0 {
			l.oldest, l.oldestCount = l.extents[0].base, l.extents[0].count
		}
	}
}

// trimCache keeps the memory of a log on disk within its bound.
func (l *Log) trimCache() {
	for len(l.extents) > 0 && l.memory.inUse > l.opts.CacheBytes {
		l.dropExtents(l.extents[0].end())
	}
}

// dropExtent forces out the oldest memory. It says whether there was any.
func (l *Log) dropExtent(reason Skipped) bool {
	if len(l.extents) == 0 {
		return false
	}
	to := place{l.end, l.count}
	if len(l.extents) > 1 {
		to = place{l.extents[1].base, l.extents[1].count}
	}
	l.force(to, reason)
	l.dropExtents(to.position)
	return true
}

// dropSegment forces out the oldest file. It says whether there was one that can go: the
// last one, and one that cannot be deleted, stay.
func (l *Log) dropSegment(reason Skipped) bool {
	d := l.disk
	if len(d.segments) < 2 || d.stuck != nil {
		return false
	}
	next := d.segments[1]
	l.force(place{next.base, next.count}, reason)
	d.doomed = append(d.doomed, doomed{d.segments[0], next.base})
	d.segments[0] = nil
	d.segments = d.segments[1:]
	l.oldest, l.oldestCount = next.base, next.count
	kick(d.keepNow)
	return true
}

// force moves all cursors that have not passed the place where the log will begin.
func (l *Log) force(to place, reason Skipped) {
	behind := len(l.cursors) == 0
	for _, c := range l.cursors {
		if c.at.position < to.position {
			c.forced = forced{to: to, reason: reason}
			c.touch()
		}
		if c.read < to.position {
			c.pass(to, reason)
			behind = true
		}
	}
	switch n := to.count - l.oldestCount; {
	case !behind:
	case reason == SkippedAge:
		l.stats.age += n
	default:
		l.stats.limit += n
	}
}

// expire forces out what is too old.
func (l *Log) expire() {
	if l.opts.MaxAge <= 0 {
		return
	}
	old := func(t time.Time) bool { return time.Since(t) >= l.opts.MaxAge }
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disk == nil {
		for len(l.extents) > 0 && old(l.extents[0].newest) {
			l.dropExtent(SkippedAge)
		}
		return
	}
	segments := l.disk.segments
	for len(segments) > 1 && old(segments[0].newest) && l.dropSegment(SkippedAge) {
		segments = l.disk.segments
	}
	if last := segments[len(segments)-1]; last.base < l.end && old(last.newest) {
		l.disk.rolling = true // it goes when there is another one behind it
		kick(l.disk.commit)
	}
}

// expireLoop is what a log in memory has in place of a keeper.
func (l *Log) expireLoop() {
	t := time.NewTicker(ageStep(l.opts.MaxAge))
	defer t.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-t.C:
			l.expire()
		}
	}
}
