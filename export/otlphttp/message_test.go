package otlphttp

import (
	"io"
	"strings"
	"testing"
)

func TestMessageCanBeReadAgainAndThenTakenAway(t *testing.T) {
	m := newMessage([][]byte{[]byte("012"), nil, []byte("3456"), []byte("789"), {}})
	for n := 1; n < 12; n++ {
		var got []byte
		r, buf := m.reader(), make([]byte, n)
		for len(got) < 10 {
			k, err := r.Read(buf)
			if want := min(n, 10-len(got)); k != want || err != nil {
				t.Fatalf("read %d bytes, %v, want %d", k, err, want)
			}
			got = append(got, buf[:k]...)
		}
		if k, err := r.Read(buf); string(got) != "0123456789" || k != 0 || err != io.EOF {
			t.Errorf("%q, then %d bytes, %v", got, k, err)
		}
	}
	done, half := m.reader(), m.reader()
	_, _ = io.Copy(io.Discard, done)
	_, _ = io.CopyN(io.Discard, half, 5)
	m.revoke()
	if _, err := done.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a reader that has read everything: %v", err)
	}
	if n, err := half.Read(make([]byte, 10)); n != 0 || err != io.ErrClosedPipe {
		t.Errorf("a reader in the middle: %d bytes, %v", n, err)
	}
}

// The race detector sees a read that revoke has not waited for.
func TestRevokeWaitsForReads(t *testing.T) {
	for range 50 {
		bytes := []byte(strings.Repeat("x", 1<<16))
		m := newMessage([][]byte{bytes[:1<<10], bytes[1<<10:]})
		started, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			r, buf := m.reader(), make([]byte, 16)
			close(started)
			for {
				if _, err := r.Read(buf); err != nil {
					return
				}
			}
		}()
		<-started
		m.revoke()
		clear(bytes)
		<-ended
	}
}
