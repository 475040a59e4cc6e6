package collector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/ringtail-otel/ringtail/internal/unary"
)

// call puts the header of gRPC's framing in front of a message.
func call(compressed byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, uint32(len(message))), message...)
}

// pattern is n bytes in which a displacement shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7>>3 ^ i>>11)
	}
	return b
}

// receiving returns a message that a budget pays for.
func receiving(b *budget, largest int, how string) *message {
	b.take(standingBytes, 0)
	return &message{receiver: &receiverGRPC{server: &Server{budget: b, cfg: Config{MaxRequestBytes: largest}}}, encoding: how, held: standingBytes}
}

// arrive brings a message's bytes in frames of one size, several of them with each read, and
// writes over what was read as soon as it may.
func arrive(m *message, wire []byte, frame, read int) *unary.Status {
	for len(wire) > 0 {
		n := min(read, len(wire))
		buffer := bytes.Clone(wire[:n])
		wire = wire[n:]
		for rest := buffer; len(rest) > 0; {
			f := min(frame, len(rest))
			if status := m.Data(rest[:f]); status != nil {
				return status
			}
			rest = rest[f:]
		}
		if len(wire) == 0 {
			return nil
		}
		if status := m.Keep(); status != nil {
			return status
		}
		clear(buffer)
	}
	return nil
}

func TestMessageComesWhole(t *testing.T) {
	for _, n := range []int{0, 1, 5, chunkBytes, chunkBytes + 1, unary.Window, 3<<20 + 17} {
		for _, frame := range []int{1 << 14, 1000, 7} {
			for _, read := range []int{1, 100, 1 << 16, 1 << 23} {
				if n/min(frame, read) > 1<<18 {
					continue
				}
				want := pattern(n)
				b := newBudget(64<<20, 16<<20)
				m := receiving(b, 16<<20, "")
				if status := arrive(m, call(0, want), frame, read); status != nil {
					t.Fatalf("%d bytes in frames of %d are refused", n, frame)
				}
				if err := m.complete(); err != nil {
					t.Fatalf("%d bytes in frames of %d: %v", n, frame, err)
				}
				// The budget has what was kept: not less than that, and not much more.
				if held := int(b.held.Load()); held < m.kept || held > n+chunkBytes+standingBytes {
					t.Errorf("%d bytes in frames of %d: %d are held", n, frame, held)
				}
				if got := bytes.Join(m.whole(), nil); !bytes.Equal(got, want) {
					t.Errorf("%d bytes in frames of %d, read by %d, came as %d others", n, frame, read, len(got))
				}
				m.free()
				if held := b.held.Load(); held != 0 {
					t.Errorf("%d bytes were not given back", held)
				}
			}
		}
	}
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
		{name: "half a header", wire: call(0, good)[:3], want: errCutMessage},
		{name: "half a message", wire: call(0, good)[:50], want: errCutMessage},
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
			const others = 5 << 19
			b := &budget{limit: 6 << 19}
			b.take(others, 0)
			m := receiving(b, 1<<20, test.how)
			err := take(m, test.wire)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v", err)
			}
			if held := b.held.Load(); held > b.limit {
				t.Errorf("%d bytes are held", held)
			}
			m.free()
			if held := b.held.Load(); held != others {
				t.Errorf("%d bytes were not given back", held-others)
			}
		})
	}
}

// take has a message read, kept and unpacked, and returns what is wrong with it.
func take(m *message, wire []byte) error {
	for len(wire) > 0 {
		n := min(1<<14, len(wire))
		if err := m.take(wire[:n]); err != nil {
			return err
		}
		if err := m.keep(); err != nil {
			return err
		}
		wire = wire[n:]
	}
	if err := m.complete(); err != nil || m.prefix[0] == 0 {
		return err
	}
	return m.unpack()
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

// However small the frames are that a client sends, and then nothing: what a request holds
// while it waits for more was paid for.
func TestTinyFramesLeaveNothingBehind(t *testing.T) {
	b := newBudget(64<<20, 16<<20)
	m := receiving(b, 1<<20, "")
	wire := call(0, pattern(1<<20))
	if status := arrive(m, wire[:10_000], 1, 6500); status != nil {
		t.Fatal("refused")
	}
	if status := m.Keep(); status != nil {
		t.Fatal("refused")
	}
	if size := cap(m.arrived) * int(unsafe.Sizeof(m.arrived[:1][0])); size > standingBytes {
		t.Errorf("%d bytes are held for the places of frames that were copied", size)
	}
	m.free()
}

// While a sink that has taken a request thinks about it, only its standing is paid for: the log
// has a copy, which counts there.
func TestWhatTheSinkHasTakenIsGivenBack(t *testing.T) {
	for _, how := range []string{"", "gzip"} {
		b := newBudget(64<<20, 16<<20)
		m := receiving(b, 2<<20, how)
		want := pattern(1 << 20)
		wire := call(0, want)
		if how != "" {
			wire = call(1, compressed(t, how, want))
		}
		if err := take(m, wire); err != nil {
			t.Fatal(err)
		}
		before := b.held.Load()
		m.appendLater(&laterSink{take: func(request []byte, _ func(int, error)) {
			if !bytes.Equal(request, want) {
				t.Error("it came as another one")
			}
		}}, m.whole())
		if held := b.held.Load(); before < 1<<20 || held != standingBytes {
			t.Errorf("%q: %d bytes are held, %d before", how, held, before)
		}
		if m.free(); b.held.Load() != 0 {
			t.Errorf("%q: %d bytes were not given back", how, b.held.Load())
		}
	}
}
