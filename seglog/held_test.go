package seglog

import (
	"bytes"
	"fmt"
	"testing"
)

// TestDropOldestWhileRunsAreHeld: what readers hold does not keep a log in memory from taking
// more. The log stays within its bound, what they hold is beside it, and unharmed.
func TestDropOldestWhileRunsAreHeld(t *testing.T) {
	const bound, frames = 64 << 10, 54
	for _, cursors := range []int{1, 3} {
		t.Run(fmt.Sprint(cursors, " cursors"), func(t *testing.T) {
			l, err := NewMemory(Options{MaxBytes: bound, SegmentBytes: 8 << 10, WhenFull: DropOldest, Logger: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			behind := mustCursor(t, l, "behind")
			var hung []*Cursor
			for i := range cursors {
				hung = append(hung, mustCursor(t, l, fmt.Sprint("hung ", i)))
			}
			body := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1000) }
			for i := range frames {
				mustAppend(t, l, body(i), 1)
			}
			runs := make([][]*Run, cursors)
			for i, c := range hung {
				for c.Stats().Unread > 0 {
					runs[i] = append(runs[i], mustRead(t, c, Want{MaxBytes: 4000}))
				}
			}
			held := l.Stats().MemoryBytes
			for i := range 20 * frames {
				mustAppend(t, l, body(i), 1)
				if now := l.Stats().MemoryBytes; now > bound+held {
					t.Fatalf("%d bytes of memory: %d are the log's bound, %d were held", now, bound, held)
				}
			}
			const all = 21 * frames
			for i, c := range hung {
				n := 0
				for _, r := range runs[i] {
					for _, f := range r.Frames {
						if !bytes.Equal(f.Body, body(n)) {
							t.Errorf("frame %d was written over", n)
						}
						n++
					}
					if err := c.Commit(r.End, nil); err != nil {
						t.Error(err)
					}
					r.Release()
				}
				if st := c.Stats(); n != frames || st.Consumed != frames || st.Consumed+st.Skipped[SkippedLimit]+st.LagCount != all {
					t.Errorf("%d frames were read: %+v", n, st)
				}
			}
			if st := behind.Stats(); st.Skipped[SkippedLimit]+st.LagCount != all || st.LagCount < 40 {
				t.Errorf("behind: %+v", st)
			}
			if st := l.Stats(); st.Refused != 0 || st.MemoryBytes > bound {
				t.Errorf("when all is given back: %+v", st)
			}
			if l.memory.lent != 0 {
				t.Errorf("%d bytes are lent though nobody holds a run", l.memory.lent)
			}
		})
	}
}

// TestSkipsOfAHungReader: what a reader misses while it holds a run takes no memory that grows
// with it.
func TestSkipsOfAHungReader(t *testing.T) {
	each(t, Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10, WhenFull: DropOldest}, func(t *testing.T, l *Log) {
		c := mustCursor(t, l, "hung")
		mustAppend(t, l, make([]byte, 1000), 1)
		r := mustRead(t, c, Want{})
		for range 500 {
			mustAppend(t, l, make([]byte, 1000), 1)
		}
		l.mu.Lock()
		if n := len(c.skips); n != 1 {
			t.Errorf("%d ranges that adjoin are remembered", n)
		}
		l.mu.Unlock()
		if err := c.Commit(r.End, nil); err != nil {
			t.Fatal(err)
		}
		r.Release()
		if st := c.Stats(); st.Consumed != 1 || st.Consumed+st.Skipped[SkippedLimit]+st.LagCount != 501 || st.Skipped[SkippedLimit] < 400 {
			t.Errorf("%+v", st)
		}
	})
}
