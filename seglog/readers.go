package seglog

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// readers are the segment files that are open for reading.
type readers struct {
	fs FS

	mu   sync.Mutex
	open []*reader // the one used last is the last
}

// reader is a segment's file. It is closed when it was forgotten and nobody uses it.
type reader struct {
	seg    *segment
	file   File
	refs   int
	forgot bool
}

// maxReaders bounds the files that stay open though nobody uses them.
const maxReaders = 32

// acquire opens a segment's file, or takes one that is open. Who gets it must call
// release.
func (rs *readers) acquire(s *segment) (*reader, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if i := slices.IndexFunc(rs.open, func(r *reader) bool { return r.seg == s }); i >= 0 {
		r := rs.open[i]
		rs.open = append(slices.Delete(rs.open, i, i+1), r)
		r.refs++
		return r, nil
	}
	f, err := rs.fs.Open(s.name, false)
	if err != nil {
		return nil, err
	}
	if len(rs.open) >= maxReaders {
		if i := slices.IndexFunc(rs.open, func(r *reader) bool { return r.refs == 0 }); i >= 0 {
			_ = rs.open[i].file.Close()
			rs.open = slices.Delete(rs.open, i, i+1)
		}
	}
	r := &reader{seg: s, file: f, refs: 1}
	rs.open = append(rs.open, r)
	return r, nil
}

func (rs *readers) release(r *reader) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.refs--; r.refs == 0 && r.forgot {
		_ = r.file.Close()
	}
}

// forget closes the file of a segment that is to be deleted, as soon as nobody reads it.
func (rs *readers) forget(s *segment) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i := len(rs.open) - 1; i >= 0; i-- {
		if rs.open[i].seg == s {
			rs.drop(i)
		}
	}
}

func (rs *readers) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i := len(rs.open) - 1; i >= 0; i-- {
		rs.drop(i)
	}
}

func (rs *readers) drop(i int) {
	r := rs.open[i]
	r.forgot = true
	if r.refs == 0 {
		_ = r.file.Close()
	}
	rs.open = slices.Delete(rs.open, i, i+1)
}

// page is the unit in which a device loses data.
const page = 4 << 10

// readAt fills b as far as the file goes. What the device cannot read becomes zeros, which
// no checksum takes for a frame: a bad place must not stop those who read what is behind it.
func readAt(f File, b []byte, at int64) (int, error) {
	n, err := f.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		return n, nil
	}
	if err == nil || !unreadable(err) {
		return n, err
	}
	for n = 0; n < len(b); {
		part := b[n:min(len(b), n+page-int(at+int64(n))%page)]
		k, err := f.ReadAt(part, at+int64(n))
		switch {
		case errors.Is(err, io.EOF):
			return n + k, nil
		case err != nil && !unreadable(err):
			return n, err
		case err != nil:
			clear(part)
		}
		n += len(part)
	}
	return n, nil
}
