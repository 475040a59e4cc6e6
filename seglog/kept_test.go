package seglog

import (
	"bytes"
	"fmt"
	"testing"
)

// TestKeep: the bodies of a run that is kept stay as they are, whatever becomes of the log, and
// do not count any more once nobody else needs their memory. The memory of other runs is used
// again.
func TestKeep(t *testing.T) {
	const bound = 1 << 20 // all that is appended
	each(t, Options{MaxBytes: bound, SegmentBytes: 8 << 10, CacheBytes: 16 << 10}, func(t *testing.T, l *Log) {
		c, other := mustCursor(t, l, "c"), mustCursor(t, l, "other")
		body := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 700+i%600) }
		type kept struct {
			number int
			body   []byte
		}
		var bodies []kept
		var writtenOver int
		var given []kept // back
		for i := range 600 {
			mustAppend(t, l, body(i), 1)
			if i%3 == 0 {
				continue // so that a run has several frames
			}
			r := mustRead(t, c, Want{})
			for k, f := range r.Frames {
				frame := kept{i + 1 - len(r.Frames) + k, f.Body}
				if i%2 == 0 {
					bodies = append(bodies, frame)
				} else if len(given) < 100 {
					given = append(given, frame)
				}
			}
			if i%2 == 0 {
				r.Keep()
			}
			r.Release()
			if err := c.Commit(r.End, nil); err != nil {
				t.Fatal(err)
			}
			// Another reader of the same frames gives them back, before or after.
			q := mustRead(t, other, Want{})
			if err := other.Commit(q.End, nil); err != nil {
				t.Fatal(err)
			}
			q.Release()
		}
		for _, b := range bodies {
			if !bytes.Equal(b.body, body(b.number)) {
				t.Fatalf("frame %d, which is kept, was written over", b.number)
			}
		}
		for _, b := range given {
			if !bytes.Equal(b.body, body(b.number)) {
				writtenOver++
			}
		}
		t.Log(len(bodies), "frames kept;", writtenOver, "of", len(given), "others were written over")
		if len(bodies) < 100 || writtenOver == 0 {
			t.Error("the test has shown nothing")
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.memory.inUse > 3*int64(l.memory.chunkBytes) {
			t.Errorf("%d bytes are in use, though all was released", l.memory.inUse)
		}
		for _, f := range l.memory.free {
			if f.kept {
				t.Error("memory that is kept is to be used again")
			}
		}
	})
}

// TestKeepInTheOpenChunk: the chunk that is appended to begins anew when everybody has left,
// but not if one of them has kept it.
func TestKeepInTheOpenChunk(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			l, err := NewMemory(Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			c := mustCursor(t, l, "c")
			mustAppend(t, l, []byte("first"), 1)
			r := mustRead(t, c, Want{})
			if keep {
				r.Keep()
			}
			body := r.Frames[0].Body
			if err := c.Commit(r.End, nil); err != nil {
				t.Fatal(err)
			}
			r.Release()
			r.Release()
			mustAppend(t, l, []byte("other"), 1)
			if got := string(body); (got == "first") != keep {
				t.Errorf("kept %v, it is %q now", keep, got)
			}
		})
	}
}
