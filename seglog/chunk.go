package seglog

import "time"

// chunk is memory that frames are laid into, or read from a file into.
type chunk struct {
	buf  []byte
	used int
	seq  uint64

	// refs counts who needs the memory: 1 while reservations are taken from it, 1 for
	// each reservation, each extent, each Run and each cursor's read block. It is
	// guarded by Log.mu. The last one to leave gives the memory back, so nothing that
	// somebody may still look at is written over.
	refs int
	runs int  // of these, those of Runs
	kept bool // somebody looks at it who will not say when he leaves: Run.Keep
}

// extent is a row of frames that lie side by side in the log and in memory.
type extent struct {
	base   Position
	count  uint64 // cumulative count before base
	data   []byte
	chunk  *chunk
	start  int       // of data in the chunk
	newest time.Time // of the frames
}

func (e *extent) end() Position { return e.base + Position(len(e.data)) }

// memory hands out chunks and keeps some of those that come back. All of it is guarded
// by Log.mu.
type memory struct {
	chunkBytes int
	inUse      int64    // bytes of chunks that somebody refers to
	lent       int64    // of these, what only Runs refer to: the log has let go of it
	free       []*chunk // of chunkBytes, for the next who needs one; warm ones last
	maxFree    int
	seq        uint64
}

// take returns a chunk with room for n bytes and one reference.
func (m *memory) take(n int) *chunk {
	var c *chunk
	if k := len(m.free) - 1; n <= m.chunkBytes && k >= 0 {
		c, m.free[k], m.free = m.free[k], nil, m.free[:k]
	} else {
		c = &chunk{buf: make([]byte, m.sizeFor(n))}
	}
	m.seq++
	c.seq, c.used, c.refs, c.runs = m.seq, 0, 1, 0
	m.inUse += int64(len(c.buf))
	return c
}

// sizeFor is the size of the chunk that n bytes are laid into.
func (m *memory) sizeFor(n int) int { return max(n, m.chunkBytes) }

// lend gives a Run a reference to a chunk that somebody else refers to as well.
func (m *memory) lend(c *chunk) {
	c.refs++
	c.runs++
}

// restore takes back what was lent.
func (m *memory) restore(c *chunk) {
	if c.runs == c.refs {
		m.lent -= int64(len(c.buf))
	}
	c.runs--
	m.drop(c)
}

// drop gives up one reference, which is not a Run's.
func (m *memory) drop(c *chunk) {
	if c.refs--; c.refs > 0 {
		if c.runs == c.refs {
			m.lent += int64(len(c.buf))
		}
		return
	}
	if c.refs < 0 {
		panic("seglog: a chunk was given back twice")
	}
	m.inUse -= int64(len(c.buf))
	if c.kept {
		return
	}
	scribble(c.buf)
	if len(c.buf) == m.chunkBytes && len(m.free) < m.maxFree {
		m.free = append(m.free, c)
	}
}
