package collector

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Why a body was not read.
var (
	errOverBudget = errors.New(overBudget)
	errTooLarge   = errors.New("request is too large")
	errEncoding   = errors.New("content encoding is not supported")
	errGone       = errors.New("the client went away")
)

// arriving is a request's body on the wire. It tells a client that went away in the
// middle from a compressed body that ends too early.
type arriving struct {
	body io.Reader
	err  error // what it ended with, other than its end
}

func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err == io.ErrUnexpectedEOF {
		err = errGone
	}
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

// An announcement costs its sender nothing. So of an announced length no more than
// announcedFirst is taken from the budget before anything has come, and then announcedAtOnce.
const (
	announcedFirst  = 1 << leastBufferBits
	announcedAtOnce = 64 << 10
)

// A body is a request's bytes, in a buffer whose size is taken from the budget.
type body struct {
	budget *budget
	max    int // bytes

	buffer *[]byte // nil until something was read
	used   int
	held   int // bytes of the budget
	beside int // that the request holds apart from these
}

func (b *body) bytes() []byte {
	if b.buffer == nil {
		return nil
	}
	return (*b.buffer)[:b.used]
}

func (b *body) free() {
	if b.buffer != nil {
		buffers.Put(b.buffer)
		b.buffer, b.used = nil, 0
	}
	if b.held > 0 {
		b.budget.give(b.held)
		b.held = 0
	}
}

// read reads a request's body and unpacks it.
func (b *body) read(req *http.Request) error {
	announced := req.ContentLength // -1: unknown
	if announced > int64(b.max) {
		return fmt.Errorf("%w: %d bytes, of at most %d (--max-request-bytes)", errTooLarge, announced, b.max)
	}
	// Before the client is told to go on sending (Expect: 100-continue), or the
	// compressed header is even looked at, there must be room.
	if !b.budget.fits(int(max(announced, 0))) {
		return errOverBudget
	}
	wire := &arriving{body: req.Body}
	encoding := strings.ToLower(req.Header.Get("Content-Encoding"))
	if encoding == "" || encoding == "identity" {
		return b.fill(wire, int(announced))
	}
	if err := b.grow(int(min(max(announced, 0), announcedFirst))); err != nil {
		return err
	}
	// What comes in is bounded apart from what comes out: empty blocks can go on for ever.
	in := &io.LimitedReader{R: wire, N: int64(b.max) + 1}
	d, known, err := decode(encoding, in)
	if !known {
		return fmt.Errorf("%w: %q; send gzip, zstd or none", errEncoding, encoding)
	}
	if err == nil {
		err = b.fill(d, -1)
		d.Close()
	}
	if in.N <= 0 {
		return fmt.Errorf("%w: more than %d bytes, compressed (--max-request-bytes)", errTooLarge, b.max)
	}
	if err != nil && wire.err != nil { // which a decoder need not pass on
		return fmt.Errorf("cannot read the %s body: %w", encoding, wire.err)
	}
	return unpackError(encoding, err)
}

// unpackError says what failed, unless that is us.
func unpackError(encoding string, err error) error {
	if err == nil || errors.Is(err, errOverBudget) || errors.Is(err, errTooLarge) {
		return err
	}
	return fmt.Errorf("cannot unpack the %s body: %w", encoding, err)
}

// fill reads r to its end. announced is its length; -1 if that is not known.
func (b *body) fill(r io.Reader, announced int) error {
	if announced >= 0 {
		return b.fillAnnounced(r, announced)
	}
	for {
		if b.buffer == nil || b.used == len(*b.buffer) {
			if b.used > b.max {
				return fmt.Errorf("%w: more than %d bytes (--max-request-bytes)", errTooLarge, b.max)
			}
			// One byte more than allowed, to notice what is too long.
			if err := b.grow(min(max(2*b.used, 1<<leastBufferBits), b.max+1)); err != nil {
				return err
			}
		}
		n, err := r.Read((*b.buffer)[b.used:])
		b.used += n
		if err == io.EOF {
			if b.used > b.max {
				return fmt.Errorf("%w: more than %d bytes (--max-request-bytes)", errTooLarge, b.max)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the body after %d bytes: %w", b.used, err)
		}
	}
}

// fillAnnounced reads as many bytes as were announced. The budget pays for what has come
// and as much again, not for what was announced.
func (b *body) fillAnnounced(r io.Reader, announced int) error {
	read, most := io.Reader.Read, announcedFirst // waits for something, not for all of it
	for {
		if err := b.grow(min(max(2*b.used, most), announced)); err != nil {
			return err
		}
		n, err := read(r, (*b.buffer)[b.used:])
		read, most = io.ReadFull, announcedAtOnce
		b.used += n
		if b.used == announced {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the body: %d of %d bytes came: %w", b.used, announced, err)
		}
	}
}

// grow makes room for n bytes, once the budget has them, and keeps what was read. The
// one byte above max, which is there to notice what is too long, is free.
func (b *body) grow(n int) error {
	if more := min(n, b.max) - b.held; more > 0 {
		if !b.budget.take(more, b.beside+b.held) {
			return b.budget.refusal(b.beside + b.held + more)
		}
		b.held += more
	}
	if b.buffer != nil && n <= cap(*b.buffer) {
		*b.buffer = (*b.buffer)[:n]
		return nil
	}
	larger := buffers.Get(n)
	if b.buffer != nil {
		copy(*larger, (*b.buffer)[:b.used])
		buffers.Put(b.buffer)
	}
	b.buffer = larger
	return nil
}
