package otlphttp

import (
	"io"
	"sync"
)

// message is the body of a request. net/http may go on to read the body of a
// request after the call has returned, in a goroutine of its own, but it only ever
// reads: so the bytes can be taken away from it, and need not be copied.
type message struct {
	mu    sync.Mutex // held while bytes are read
	bytes []byte     // nil when they have been taken away
	size  int
}

func newMessage(b []byte) *message { return &message{bytes: b, size: len(b)} }

// revoke returns when nothing reads the bytes any more, nor will.
func (m *message) revoke() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes = nil
}

// reader returns a new body that begins at the first byte.
func (m *message) reader() io.ReadCloser { return &reader{m: m} }

type reader struct {
	m   *message
	off int
}

func (r *reader) Read(p []byte) (int, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.off == r.m.size {
		return 0, io.EOF // also when the bytes are gone: all were read, and all is well
	}
	if r.m.bytes == nil {
		return 0, io.ErrClosedPipe
	}
	n := copy(p, r.m.bytes[r.off:])
	r.off += n
	return n, nil
}

func (r *reader) Close() error { return nil }
