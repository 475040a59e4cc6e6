package collector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// script is a transportStream that gives a call's bytes in frames of one size, and notes
// what it was asked for.
type script struct {
	wire   []byte
	frame  int // bytes
	how    string
	reads  []int
	before func(n int) // each Read
}

// call puts the header of gRPC's framing in front of a message.
func call(compressed byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, uint32(len(message))), message...)
}

func (s *script) ReadMessageHeader(header []byte) error {
	n := copy(header, s.wire)
	s.wire = s.wire[n:]
	switch {
	case n == 0:
		return io.EOF
	case n < len(header):
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s *script) Read(n int) (mem.BufferSlice, error) {
	s.reads = append(s.reads, n)
	if s.before != nil {
		s.before(n)
	}
	if n > len(s.wire) {
		return nil, io.ErrUnexpectedEOF
	}
	var frames mem.BufferSlice
	for n > 0 {
		f := min(s.frame, n)
		frames = append(frames, mem.Copy(s.wire[:f], &buffers))
		s.wire, n = s.wire[f:], n-f
	}
	return frames, nil
}

func (s *script) RecvCompress() string             { return s.how }
func (s *script) WriteStatus(*status.Status) error { return nil }

// pattern is n bytes in which a displacement shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7>>3 ^ i>>11)
	}
	return b
}

func TestMessageComesWhole(t *testing.T) {
	for _, n := range []int{0, 1, 5, readSize, readSize + 1, streamWindow, 3<<20 + 17} {
		for _, frame := range []int{1 << 14, 1000, 7} {
			if n/frame > 1<<18 {
				continue
			}
			want := pattern(n)
			b := newBudget(64<<20, 16<<20)
			m := &message{budget: b, max: 16 << 20}
			s := &script{wire: call(0, want), frame: frame}
			if err := m.read(s); err != nil {
				t.Fatalf("%d bytes in frames of %d: %v", n, frame, err)
			}
			if got := bytes.Join(m.pieces(), nil); !bytes.Equal(got, want) {
				t.Errorf("%d bytes in frames of %d came as %d others", n, frame, len(got))
			}
			// The budget has what the bytes take: not less than they are, and not much more.
			if held := int(b.held.Load()); held < n || held > max(2*n+2*smallFrame, standingBytes) {
				t.Errorf("%d bytes in frames of %d: %d are held", n, frame, held)
			}
			if pieces := len(m.pieces()); pieces > n/smallFrame+8 {
				t.Errorf("%d bytes in frames of %d are kept in %d pieces", n, frame, pieces)
			}
			m.free()
			if held := b.held.Load(); held != 0 {
				t.Errorf("%d bytes were not given back", held)
			}
		}
	}
}

// Each Read, which lets the sender send that much, is paid for before.
func TestMessageIsPaidBeforeItIsRead(t *testing.T) {
	const length = 5 << 20
	b := newBudget(64<<20, 16<<20)
	m := &message{budget: b, max: 16 << 20}
	came := 0
	s := &script{wire: call(0, pattern(length)), frame: 1 << 14}
	s.before = func(n int) {
		if held := int(b.held.Load()); held < min(came+streamWindow, length) {
			t.Errorf("%d bytes have come and a window may, %d are held", came, held)
		}
		if n > streamWindow {
			t.Errorf("%d bytes are read at a time", n)
		}
		came += n
	}
	if err := m.read(s); err != nil {
		t.Fatal(err)
	}
	m.free()
}

func TestMessagesThatAreRefused(t *testing.T) {
	good := pattern(100)
	for _, test := range []struct {
		name string
		wire []byte
		how  string
		want error
		text string
	}{
		{name: "no message", wire: nil, want: errNoMessage},
		{name: "half a header", wire: call(0, good)[:3], want: io.ErrUnexpectedEOF},
		{name: "half a message", wire: call(0, good)[:50], want: io.ErrUnexpectedEOF},
		{name: "two messages", wire: append(call(0, good), call(0, good)...), want: errMoreMessage},
		{name: "too large", wire: call(0, make([]byte, 1<<20+1)), want: errTooLarge, text: "1048577 bytes, of at most 1048576"},
		{name: "over the budget", wire: call(0, make([]byte, 1<<20)), want: errOverBudget},
		{name: "nameless compression", wire: call(1, good), want: errEncoding},
		{name: "unknown compression", wire: call(1, good), how: "br", want: errEncoding, text: `"br"`},
		{name: "no gzip", wire: call(1, good), how: "gzip", text: "cannot unpack the gzip body"},
		{name: "bomb", wire: call(1, compressed(t, "gzip", make([]byte, 8<<20))), how: "gzip", want: errOverBudget},
		{name: "small bomb", wire: call(1, compressed(t, "zstd", make([]byte, 1<<20+1))), how: "zstd", want: errOverBudget},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &budget{limit: 1 << 19}
			m := &message{budget: b, max: 1 << 20}
			s := &script{wire: test.wire, frame: 1 << 14, how: test.how}
			err := m.read(s)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v", err)
			}
			if held := b.held.Load(); held > b.limit {
				t.Errorf("%d bytes are held", held)
			}
			m.free()
			if held := b.held.Load(); held != 0 {
				t.Errorf("%d bytes were not given back", held)
			}
		})
	}
}

// Large requests leave a part of the budget to small ones.
func TestBudgetKeepsAReserve(t *testing.T) {
	b := newBudget(256<<20, 64<<20)
	has := 0
	for b.take(1<<20, has) {
		has += 1 << 20
	}
	if has != 192<<20 {
		t.Errorf("a large request has %d MiB", has>>20)
	}
	for range 64 {
		if !b.take(1<<20, 0) {
			t.Fatal("a small request is turned away")
		}
	}
	if b.take(1, 0) || b.fits(1) {
		t.Error("more is held than allowed")
	}
	if b := newBudget(10<<20, 10<<20); !b.fits(10 << 20) {
		t.Error("the largest request can never be taken")
	}
}
