package otlphttp

import (
	"io"
	"sync"
)

// message is the body of a request, in pieces. net/http may go on to read the body
// of a request after the call has returned, in a goroutine of its own, but it only
// ever reads: so the bytes can be taken away from it, and need not be copied.
type message struct {
	mu     sync.Mutex // held while bytes are read
	pieces [][]byte   // nil when they have been taken away
	size   int
}

func newMessage(pieces [][]byte) *message {
	m := &message{pieces: pieces}
	for _, p := range pieces {
		m.size += len(p)
	}
	return m
}

// revoke returns when nothing reads the bytes any more, nor will.
func (m *message) revoke() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pieces = nil
}

// reader returns a new body that begins at the first byte.
func (m *message) reader() io.ReadCloser { return &reader{m: m, left: m.size} }

type reader struct {
	m     *message
	piece int // the one to go on with
	off   int // in it
	left  int
}

// Read fills p across the borders of pieces: a read may be a system call's worth.
func (r *reader) Read(p []byte) (int, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.left == 0 {
		return 0, io.EOF // also when the bytes are gone: all were read, and all is well
	}
	if r.m.pieces == nil {
		return 0, io.ErrClosedPipe
	}
	n := 0
	for n < len(p) && r.left > 0 {
		from := r.m.pieces[r.piece][r.off:]
		k := copy(p[n:], from)
		n, r.off, r.left = n+k, r.off+k, r.left-k
		if k == len(from) {
			r.piece, r.off = r.piece+1, 0
		}
	}
	return n, nil
}

func (r *reader) Close() error { return nil }
