package otlphttp

import (
	"io"
	"strings"
	"testing"
)

func TestMessageCanBeReadAgainAndThenTakenAway(t *testing.T) {
	m := newMessage([]byte("0123456789"))
	for range 2 {
		if b, err := io.ReadAll(m.reader()); err != nil || string(b) != "0123456789" {
			t.Errorf("%q, %v", b, err)
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
		m := newMessage(bytes)
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
