package collector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/ringtail-otel/ringtail/internal/unary"
)

const (
	// standingBytes is what a gRPC request takes from the budget before anything of its
	// body is kept: its header, its place in tables.
	standingBytes = 1 << 10

	// chunkBytes is how much is kept in one piece.
	chunkBytes = 64 << 10

	// prefixBytes precede a message: compressed or not, and its length. (gRPC over HTTP/2,
	// "Length-Prefixed-Message".)
	prefixBytes = 5
)

// A message is one gRPC request. Its bytes are where they were read to, and are copied to
// chunks of the message's own, which are paid for from the budget, only if that is needed
// again before the message is complete.
type message struct {
	receiver *receiverGRPC
	call     *unary.Call
	encoding string

	prefix [prefixBytes]byte
	have   int // bytes of prefix
	length int // of the message, when prefix is complete
	came   int // bytes of it

	chunks  []*[]byte // what came first: full, but for the last
	kept    int       // bytes in chunks
	arrived [][]byte  // what came then, where it was read to
	held    int       // bytes of the budget, without body's
	body    body      // of a compressed one: unpacked

	pieces   [][]byte     // what the sink is given
	users    atomic.Int32 // of these: the sink, and who waits for it
	answered atomic.Bool
	done     func(spans int, err error) // answer, made once
}

var _ unary.Body = (*message)(nil)

var messages = sync.Pool{New: func() any { return new(message) }}

// Why a message is refused.
var (
	errNoMessage   = errors.New("the request has no message")
	errMoreMessage = errors.New("the request has more than one message")
	errCutMessage  = errors.New("the request ends in the middle of its message")
)

// Data takes the next bytes.
func (m *message) Data(p []byte) *unary.Status {
	if err := m.take(p); err != nil {
		return m.refuse(err)
	}
	return nil
}

func (m *message) take(p []byte) error {
	if m.have < prefixBytes {
		n := copy(m.prefix[m.have:], p)
		m.have += n
		if p = p[n:]; m.have < prefixBytes {
			return nil
		}
		m.length = int(binary.BigEndian.Uint32(m.prefix[1:]))
		if most := m.receiver.server.cfg.MaxRequestBytes; m.length > most {
			return fmt.Errorf("%w: %d bytes, of at most %d (--max-request-bytes)", errTooLarge, m.length, most)
		}
	}
	if len(p) == 0 {
		return nil
	}
	if m.came += len(p); m.came > m.length {
		return errMoreMessage
	}
	m.arrived = append(m.arrived, p)
	return nil
}

// Keep copies what has come.
func (m *message) Keep() *unary.Status {
	if err := m.keep(); err != nil {
		return m.refuse(err)
	}
	return nil
}

func (m *message) keep() error {
	for i, p := range m.arrived {
		m.arrived[i] = nil
		for len(p) > 0 {
			if m.kept%chunkBytes == 0 { // the last one is full
				if err := m.grow(); err != nil {
					return err
				}
			}
			chunk := m.chunks[len(m.chunks)-1]
			n := min(chunkBytes-len(*chunk), len(p))
			*chunk = append(*chunk, p[:n]...)
			m.kept += n
			p = p[n:]
		}
	}
	// In tiny frames it takes more than what it points to.
	if m.arrived = m.arrived[:0]; cap(m.arrived) > mostArrived {
		m.arrived = nil
	}
	return nil
}

// mostArrived is how many frames the largest of clients' reads usually has, and more.
const mostArrived = 64

// grow takes another chunk, when the budget has it.
func (m *message) grow() error {
	n := min(m.length-m.kept, chunkBytes)
	paid := buffers.sizeFor(n)
	if b := m.receiver.server.budget; !b.take(paid, m.held) {
		return b.refusal(m.held + paid)
	}
	m.held += paid
	chunk := buffers.Get(n)
	*chunk = (*chunk)[:0]
	m.chunks = append(m.chunks, chunk)
	return nil
}

// whole is the message in pieces.
func (m *message) whole() [][]byte {
	m.pieces = m.pieces[:0]
	if m.body.buffer != nil {
		m.pieces = append(m.pieces, m.body.bytes())
		return m.pieces
	}
	for _, chunk := range m.chunks {
		m.pieces = append(m.pieces, *chunk)
	}
	m.pieces = append(m.pieces, m.arrived...)
	return m.pieces
}

// End hands the message on. If it is compressed, or the sink may wait, it gets a goroutine.
func (m *message) End() {
	if err := m.complete(); err != nil {
		m.turnAway(err)
		return
	}
	later, ok := m.receiver.sink.(LaterSink)
	if !ok || m.prefix[0] != 0 {
		if err := m.keep(); err != nil {
			m.turnAway(err)
			return
		}
		go m.run(later)
		return
	}
	m.appendLater(later, m.whole())
}

func (m *message) complete() error {
	switch {
	case m.have == 0:
		return errNoMessage
	case m.have < prefixBytes || m.came < m.length:
		return errCutMessage
	}
	return nil
}

// run unpacks a message and waits for the sink.
func (m *message) run(later LaterSink) {
	defer m.catch()
	if m.prefix[0] != 0 {
		if err := m.unpack(); err != nil {
			m.turnAway(err)
			return
		}
	}
	pieces := m.whole()
	if later != nil {
		m.appendLater(later, pieces)
		return
	}
	s := m.receiver.server
	waiting := patience(s.ctx, s.cfg.BodyTimeout)
	defer waiting.end()
	spans, err := m.receiver.sink.Append(waiting, pieces)
	m.users.Store(1)
	m.answer(spans, err)
}

// appendLater gives the message to a sink that may answer before it returns, or after.
func (m *message) appendLater(sink LaterSink, pieces [][]byte) {
	m.users.Store(2)
	defer m.catch()
	sink.AppendLater(pieces, m.done)
	m.body.free() // the sink has a copy, and may answer in a while
	m.drop(standingBytes)
	m.leave()
}

// answer is what the sink calls.
func (m *message) answer(_ int, err error) {
	if m.answered.Swap(true) {
		return // it has panicked since
	}
	v, status := m.receiver.kept(err)
	if !m.call.Reply(status) {
		m.receiver.server.counts.takeBack(v) // the clock has answered, and counted
	}
	m.leave()
}

// leave gives everything back once the sink has returned and has answered.
func (m *message) leave() {
	if m.users.Add(-1) == 0 {
		m.free()
	}
}

// catch answers a request that has met a bug. Nobody knows what still reads it: neither it nor
// its memory is used again.
func (m *message) catch() {
	if p := recover(); p != nil {
		status := m.receiver.broken(p)
		if !m.answered.Swap(true) {
			m.call.Reply(status)
		}
		m.receiver.server.budget.give(m.held + m.body.held)
	}
}

// Abort lets go of a request that did not come.
func (m *message) Abort(cause unary.Cause) *unary.Status {
	r := m.receiver
	r.server.counts.add(timedOut)
	m.free()
	if cause == unary.Late {
		return r.late
	}
	return nil
}

// turnAway answers a request that has come, and is not for the sink.
func (m *message) turnAway(err error) {
	call := m.call
	call.Reply(m.refuse(err))
}

// refuse counts why, and lets go.
func (m *message) refuse(err error) *unary.Status {
	status := m.receiver.unread(err)
	m.free()
	return status
}

// free gives back what the message holds, and the message.
func (m *message) free() {
	m.body.free()
	m.drop(0)
	m.receiver, m.call, m.encoding = nil, nil, ""
	m.have, m.length, m.came = 0, 0, 0
	m.answered.Store(false)
	clear(m.arrived)
	m.arrived = m.arrived[:0]
	clear(m.pieces)
	m.pieces = m.pieces[:0]
	if cap(m.pieces) <= 1<<10 && cap(m.arrived) <= mostArrived {
		messages.Put(m)
	}
}

// drop gives the chunks back, and of the budget all but so much.
func (m *message) drop(rest int) {
	for i, chunk := range m.chunks {
		m.chunks[i] = nil
		buffers.Put(chunk)
	}
	m.chunks, m.kept = m.chunks[:0], 0
	m.receiver.server.budget.give(m.held - rest)
	m.held = rest
}

// unpack replaces the message by what it unpacks to.
func (m *message) unpack() error {
	if m.encoding == "" || m.encoding == "identity" {
		return fmt.Errorf("%w: a message says that it is compressed, and its header does not say how", errEncoding)
	}
	s := m.receiver.server
	m.body.budget, m.body.max, m.body.beside = s.budget, s.cfg.MaxRequestBytes, m.held
	d, known, err := decode(m.encoding, &pieceReader{m.whole()})
	if !known {
		return fmt.Errorf("%w: %q; send gzip, zstd or none", errEncoding, m.encoding)
	}
	if err == nil {
		err = m.body.fill(d, -1)
		d.Close()
	}
	if err != nil {
		return unpackError(m.encoding, err)
	}
	m.drop(standingBytes)
	return nil
}

// pieceReader reads pieces in their order. It has no ReadByte: gzip, which is slow with
// readers of single bytes that it does not know, puts a buffer in front of it.
type pieceReader struct{ pieces [][]byte }

func (r *pieceReader) Read(p []byte) (int, error) {
	for len(r.pieces) > 0 {
		if n := copy(p, r.pieces[0]); n > 0 || len(p) == 0 {
			r.pieces[0] = r.pieces[0][n:]
			return n, nil
		}
		r.pieces = r.pieces[1:]
	}
	return 0, io.EOF
}
