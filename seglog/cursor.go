package seglog

import (
	"fmt"
	"slices"
	"sort"
)

// MaxState is the largest state that a cursor keeps, in bytes.
const MaxState = 4 << 10

// Skipped says why a cursor did not get a frame.
type Skipped uint8

const (
	SkippedLimit  Skipped = iota // forced out by Options.MaxBytes
	SkippedAge                   // forced out by Options.MaxAge
	SkippedDamage                // the disk has lost it
	skippedReasons
)

func (s Skipped) String() string {
	switch s {
	case SkippedLimit:
		return "limit"
	case SkippedAge:
		return "age"
	case SkippedDamage:
		return "damage"
	}
	return fmt.Sprintf("Skipped(%d)", uint8(s))
}

// Cursor is a reader's place in the log. Read belongs to one goroutine at a time;
// everything else may be called from any.
type Cursor struct {
	log  *Log
	name string

	// Guarded by Log.mu.
	held bool
	wake chan struct{} // holds one
	need need          // of a Read that waits

	at    place // committed
	start uint64
	// skipped is what was passed without being read, before at.
	skipped [skippedReasons]uint64
	state   []byte

	read      Position
	readCount uint64
	marks     []mark // frames read and not committed
	skips     []skip // ranges behind at that were not read
	forced    forced

	// On disk:
	reading   bool     // a Read is under way, and block its own
	block     *chunk   // what was read from the file last, with one reference
	blockBase Position // of its first byte
	lost      bool     // its file was damaged
	dirty     bool     // something is to be stored
	sequence  uint64   // of the record stored last
	// What that record says, which is what a crash falls back to.
	stored, storedForced, storedEnd Position
}

// place is a position and the cumulative count before it.
type place struct {
	position Position
	count    uint64
}

type mark = place

// skip is a range that is not read.
type skip struct {
	from, to place
	reason   Skipped
}

// forced is up to where the log was deleted while the cursor was behind.
type forced struct {
	to     place
	reason Skipped
}

type need struct {
	waiting bool
	bytes   uint64
	count   uint64
}

// CursorStats is where a cursor is. With Count of the log's [Stats], taken while nothing
// is appended:
//
//	Count = Start + Consumed + Skipped[all reasons] + LagCount
type CursorStats struct {
	Name string
	Held bool

	Position Position // committed: everything before it is done with
	Read     Position // where the next Read begins

	LagBytes uint64 // from Position to the end of the log
	LagCount uint64
	Unread   uint64 // the part of LagCount that was not read yet

	Start    uint64 // cumulative count of the log where the cursor was made
	Consumed uint64 // count read and committed since
	// Skipped is the count passed without being read, by reason: SkippedLimit,
	// SkippedAge, SkippedDamage.
	Skipped [3]uint64
}

// OpenCursor takes hold of a cursor, which is made at the oldest frame if there is none of
// that name. It reads on from where it was committed. While somebody holds it, others
// get [ErrHeld]. A cursor that exists keeps frames from being deleted, held or not.
func (l *Log) OpenCursor(name string) (*Cursor, error) {
	if err := validName(name); err != nil {
		return nil, err
	}
	if d := l.disk; d != nil {
		d.storing.Lock()
		defer d.storing.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	c := l.cursors[name]
	if c != nil {
		if c.held {
			return nil, fmt.Errorf("cannot open cursor %q: %w", name, ErrHeld)
		}
		c = c.handOver()
		l.cursors[name] = c
		c.rewind()
		return c, nil
	}
	c = l.newCursor(name)
	c.held = true
	c.at, c.start = place{l.oldest, l.oldestCount}, l.oldestCount
	c.rewind()
	l.cursors[name] = c
	if l.disk == nil {
		return c, nil
	}
	l.mu.Unlock()
	err := c.store()
	l.mu.Lock()
	if err != nil {
		c.held = false
		delete(l.cursors, name)
		return nil, fmt.Errorf("cannot make cursor %q: %w", name, err)
	}
	return c, nil
}

// handOver returns the cursor for its next holder. It is another one, so that a Read of the last
// holder which has not noticed yet that it was closed takes nothing from the next. Log.mu is
// held, and disk.storing.
func (c *Cursor) handOver() *Cursor {
	n := c.log.newCursor(c.name)
	n.held = true
	n.at, n.start, n.skipped, n.state, n.forced = c.at, c.start, c.skipped, c.state, c.forced
	n.lost, n.dirty, n.sequence = c.lost, c.dirty, c.sequence
	n.stored, n.storedForced, n.storedEnd = c.stored, c.storedForced, c.storedEnd
	c.state = nil // not to be written by two
	return n
}

func (l *Log) newCursor(name string) *Cursor {
	return &Cursor{log: l, name: name, wake: make(chan struct{}, 1)}
}

// maxName bounds names so that they fit a file name when every byte is escaped.
const maxName = 80

func validName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("cannot use %q as a cursor's name: it must have 1 to %d bytes", name, maxName)
	}
	return nil
}

// wants is where the log should begin for the cursor: where it is committed, or behind what was
// deleted although it was not there yet.
func (c *Cursor) wants() place {
	if c.forced.to.position > c.at.position {
		return c.forced.to
	}
	return c.at
}

// rewind lets reading begin where was committed, or where the log begins now.
func (c *Cursor) rewind() {
	l := c.log
	if c.lost {
		c.lost = false
		c.at, c.start = place{l.oldest, l.oldestCount}, l.oldestCount
	}
	c.read, c.readCount = c.at.position, c.at.count
	c.marks, c.skips = c.marks[:0], c.skips[:0]
	if c.forced.to.position > c.read {
		c.pass(c.forced.to, c.forced.reason)
	}
	if c.read < l.oldest {
		c.pass(place{l.oldest, l.oldestCount}, SkippedDamage)
	}
}

// Cursors returns where all cursors are, by name.
func (l *Log) Cursors() []CursorStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]CursorStats, 0, len(l.cursors))
	for _, c := range l.cursors {
		all = append(all, c.stats())
	}
	slices.SortFunc(all, func(a, b CursorStats) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

// DeleteCursor forgets a cursor, and lets go what only it has kept. It is an error if
// somebody holds it, or if there is none of that name.
func (l *Log) DeleteCursor(name string) error {
	if d := l.disk; d != nil {
		d.storing.Lock()
		defer d.storing.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.cursors[name]
	switch {
	case l.closed:
		return ErrClosed
	case c == nil:
		return fmt.Errorf("cannot delete cursor %q: there is none", name)
	case c.held:
		return fmt.Errorf("cannot delete cursor %q: %w", name, ErrHeld)
	}
	if d := l.disk; d != nil {
		l.mu.Unlock()
		err := d.fs.Remove(cursorFile(d.dir, name))
		if err == nil || isNotExist(err) {
			err = d.fs.SyncDir(d.dir)
		}
		l.mu.Lock()
		if err != nil {
			return fmt.Errorf("cannot delete cursor %q: %w", name, err)
		}
		kick(d.keepNow)
	}
	delete(l.cursors, name)
	l.retain()
	return nil
}

// Commit says that everything before p is done with. P is the position of a frame that was
// read, or the end of one. State is kept with it, at most [MaxState] bytes; it is
// copied. Both become durable together, soon (Options.CommitEvery): a crash may fall
// back to the pair of an earlier commit, never to a mixture.
//
// A position before one that was committed changes the state only.
func (c *Cursor) Commit(p Position, state []byte) error {
	if len(state) > MaxState {
		return fmt.Errorf("cannot commit cursor %q: its state has %d bytes, %d at most", c.name, len(state), MaxState)
	}
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !c.held {
		return fmt.Errorf("cannot commit cursor %q: %w", c.name, ErrClosed)
	}
	if p > c.at.position {
		to, ok := c.lookup(p)
		if !ok {
			return fmt.Errorf("cannot commit cursor %q at %d: it is not the begin or end of a frame read", c.name, p)
		}
		c.at = to
		c.settle()
	}
	c.state = append(c.state[:0], state...)
	c.touch()
	l.retain()
	return nil
}

// lookup finds the count at a position between at and read.
func (c *Cursor) lookup(p Position) (place, bool) {
	if p == c.read {
		return place{c.read, c.readCount}, true
	}
	i := sort.Search(len(c.marks), func(i int) bool { return c.marks[i].position >= p })
	if i < len(c.marks) && c.marks[i].position == p {
		return c.marks[i], true
	}
	for _, s := range c.skips {
		if s.from.position == p {
			return s.from, true
		}
	}
	return place{}, false
}

// settle takes skipped ranges that begin at or before the committed position into
// account, and forgets marks before it.
func (c *Cursor) settle() {
	n := 0
	for n < len(c.skips) && c.skips[n].from.position <= c.at.position {
		s := c.skips[n]
		c.skipped[s.reason] += s.to.count - s.from.count
		if s.to.position > c.at.position {
			c.at = s.to
		}
		n++
	}
	c.skips = slices.Delete(c.skips, 0, n)
	i := sort.Search(len(c.marks), func(i int) bool { return c.marks[i].position >= c.at.position })
	c.marks = append(c.marks[:0], c.marks[i:]...)
}

// pass moves the reading position on without reading.
func (c *Cursor) pass(to place, reason Skipped) {
	// With a run in flight these wait for its commit, however long that takes.
	if n := len(c.skips) - 1; n >= 0 && c.skips[n].reason == reason && c.skips[n].to.position == c.read {
		c.skips[n].to = to
	} else {
		c.skips = append(c.skips, skip{from: place{c.read, c.readCount}, to: to, reason: reason})
	}
	c.read, c.readCount = to.position, to.count
	c.settle()
	c.touch()
}

// State returns a copy of the state of the last commit. After a restart it is the one
// that was durable.
func (c *Cursor) State() []byte {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	return slices.Clone(c.state)
}

// Name is the cursor's name.
func (c *Cursor) Name() string { return c.name }

// Stats returns where the cursor is.
func (c *Cursor) Stats() CursorStats {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	return c.stats()
}

func (c *Cursor) stats() CursorStats {
	l := c.log
	st := CursorStats{
		Name: c.name, Held: c.held,
		Position: c.at.position, Read: c.read,
		LagBytes: uint64(l.end - c.at.position), LagCount: l.count - c.at.count,
		Unread: l.count - c.readCount,
		Start:  c.start, Skipped: c.skipped,
	}
	st.Consumed = c.at.count - c.start
	for _, n := range c.skipped {
		st.Consumed -= n
	}
	return st
}

// Close lets go of the cursor, which stays in the log. A Read under way returns
// [ErrClosed]. What was read and not committed is read again by the next holder.
func (c *Cursor) Close() error {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.held {
		return nil
	}
	c.held = false
	if !c.reading {
		c.dropBlock()
	}
	c.rewind()
	c.signal()
	return nil
}
