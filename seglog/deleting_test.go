package seglog

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// haltingFS stops when it has removed a segment, and goes on when it is told to.
type haltingFS struct {
	osFS
	armed         atomic.Bool
	removed, goOn chan struct{}
}

func (f *haltingFS) Remove(name string) error {
	err := f.osFS.Remove(name)
	if strings.HasSuffix(name, ".seg") && f.armed.CompareAndSwap(true, false) {
		close(f.removed)
		<-f.goOn
	}
	return err
}

// A cursor that is made while a segment is deleted begins behind that, and reads on.
func TestCursorMadeWhileASegmentIsDeleted(t *testing.T) {
	fs := &haltingFS{removed: make(chan struct{}), goOn: make(chan struct{})}
	l, err := Open(t.TempDir(), Options{SegmentBytes: 4 << 10, CommitEvery: time.Millisecond, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := mustCursor(t, l, "c")
	for range 10 {
		mustAppend(t, l, make([]byte, 3000), 1)
	}
	r := mustRead(t, c, Want{})
	fs.armed.Store(true)
	if err := c.Commit(r.End, nil); err != nil {
		t.Fatal(err)
	}
	r.Release()
	<-fs.removed
	made := make(chan *Cursor)
	go func() {
		c, err := l.OpenCursor("new")
		if err != nil {
			t.Error(err)
		}
		made <- c
	}()
	var n *Cursor
	select {
	case n = <-made: // too early: it begins in what is going
		close(fs.goOn)
	case <-time.After(20 * time.Millisecond):
		close(fs.goOn)
		n = <-made
	}
	for l.Stats().Oldest == 0 {
		time.Sleep(time.Millisecond)
	}
	mustAppend(t, l, make([]byte, 3000), 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, err := n.Read(t.Context(), Want{})
		if err != nil {
			t.Error(err)
			return
		}
		r.Release()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Read does not return: ", n.Stats(), l.Stats().Oldest)
	}
	if st := n.Stats(); st.Skipped != [3]uint64{} || l.Stats().Damages != 0 {
		t.Errorf("%+v, %d places are damaged", st, l.Stats().Damages)
	}
}
