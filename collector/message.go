package collector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// A transportStream is what gRPC's own stream can do that its public interface does not
// show: it gives the length of a message before the message is read, and the sender gets
// the right to send more than streamWindow only by Read. That is what makes admission
// before reading possible.
type transportStream interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error) // exactly n bytes
	RecvCompress() string
	WriteStatus(*status.Status) error // ends the stream, and any Read; from any goroutine
}

const (
	// streamWindow is what a sender may send of a request before any of it is read.
	streamWindow = 256 << 10

	// standingBytes is what a gRPC request takes from the budget before anything of its
	// body has come: its goroutine, its header, gRPC's bookkeeping.
	standingBytes = 8 << 10

	// readSize is what is read of a message at a time. Until then it is in the frames that it
	// came in, which nobody counts: at a byte each they take 60 times as much. It is no
	// more than streamWindow, so that reading grants the sender nothing else.
	readSize = 64 << 10

	// smallFrame is a frame on which more than a buffer of its own size is spent.
	smallFrame = 1 << leastBufferBits
)

// A message is one gRPC request's bytes in the pieces that they came in, and what they
// take from the budget.
type message struct {
	watched
	budget *budget
	max    int // bytes

	header  [5]byte // compressed?, and the length
	buffers mem.BufferSlice
	body    body // of a compressed one: unpacked
	slices  [][]byte
	held    int // bytes of the budget, without body's
	memory  int // bytes that buffers take, with what is lost to rounding
}

var messages = sync.Pool{New: func() any { return new(message) }}

// pieces is valid until free.
func (m *message) pieces() [][]byte {
	if m.body.buffer != nil {
		m.slices = append(m.slices[:0], m.body.bytes())
		return m.slices
	}
	m.slices = m.slices[:0]
	for _, b := range m.buffers {
		m.slices = append(m.slices, b.ReadOnlyData())
	}
	return m.slices
}

// free gives everything back, to the budget and to the pools.
func (m *message) free() {
	m.body.free()
	m.drop()
	m.budget.give(m.held)
	m.budget, m.held = nil, 0
	if cap(m.slices) <= 1<<10 {
		clear(m.slices)
		messages.Put(m)
	}
}

// drop frees the bytes as they came.
func (m *message) drop() {
	m.buffers.Free()
	clear(m.buffers)
	m.buffers, m.memory = m.buffers[:0], 0
	if cap(m.buffers) > 1<<10 {
		m.buffers = nil
	}
}

// Why a message was not read.
var (
	errNoMessage   = errors.New("the request has no message")
	errMoreMessage = errors.New("the request has more than one message")
)

// read reads the one message of a unary call.
func (m *message) read(s transportStream) error {
	if err := s.ReadMessageHeader(m.header[:]); err != nil {
		if err == io.EOF {
			return errNoMessage
		}
		return err
	}
	length := binary.BigEndian.Uint32(m.header[1:])
	if uint64(length) > uint64(m.max) {
		return fmt.Errorf("%w: %d bytes, of at most %d (--max-request-bytes)", errTooLarge, length, m.max)
	}
	if err := m.fill(s, int(length)); err != nil {
		return err
	}
	// The call is complete when its sender says so.
	switch err := s.ReadMessageHeader(m.header[1:2]); err {
	case io.EOF:
	case nil:
		return errMoreMessage
	default:
		return err
	}
	if m.header[0] == 0 {
		return nil
	}
	return m.unpack(s.RecvCompress())
}

// fill reads n bytes. The budget pays for what has come and for what may come: the window.
func (m *message) fill(s transportStream, n int) error {
	for at := 0; at < n; {
		if err := m.hold(m.memory + min(n-at, streamWindow)); err != nil {
			return err
		}
		chunk := min(readSize, n-at)
		came, err := s.Read(chunk)
		if err != nil {
			return err
		}
		m.keep(came, chunk)
		at += chunk
	}
	return m.hold(m.memory)
}

// keep takes what came. Where frames were so small that they waste memory, they are laid
// together.
func (m *message) keep(came mem.BufferSlice, n int) {
	if len(came) > n/smallFrame+2 {
		together := came.MaterializeToBuffer(&buffers)
		came.Free()
		m.buffers = append(m.buffers, together)
		m.memory += footprint(n)
		return
	}
	for _, b := range came {
		m.memory += footprint(b.Len())
	}
	m.buffers = append(m.buffers, came...)
}

// hold takes from the budget so that n bytes are held, or gives back what is more.
func (m *message) hold(n int) error {
	switch n = max(n, standingBytes); {
	case n > m.held:
		if !m.budget.take(n-m.held, m.held) {
			return errOverBudget
		}
	case n < m.held:
		m.budget.give(m.held - n)
	}
	m.held = n
	return nil
}

// unpack replaces the message by what it unpacks to.
func (m *message) unpack(encoding string) error {
	if encoding == "" || encoding == "identity" {
		return fmt.Errorf("%w: a message says that it is compressed, and its header does not say how", errEncoding)
	}
	m.body.budget, m.body.max = m.budget, m.max
	compressed := m.buffers.Reader()
	defer compressed.Close()
	// Not as it is: gzip is slow with readers of single bytes that it does not know, and
	// puts a buffer of its own in front of all others.
	d, known, err := decode(encoding, struct{ io.Reader }{compressed})
	if !known {
		return fmt.Errorf("%w: %q; send gzip, zstd or none", errEncoding, encoding)
	}
	if err == nil {
		err = m.body.fill(d, -1)
		d.Close()
	}
	if err != nil {
		return unpackError(encoding, err)
	}
	m.drop()
	return m.hold(0)
}
