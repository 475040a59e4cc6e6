package seglog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStress has many goroutines append, waiting and not, abort, read, commit, close cursors and open them
// again, and read at random positions. Every cursor gets every frame, whole, in the order
// of the log, which for one appender's frames is that of their appends. With the race
// detector, memory that was given back is written over.
func TestStress(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	o := Options{MaxBytes: 1 << 20, SegmentBytes: 32 << 10, CacheBytes: 64 << 10, CommitEvery: time.Millisecond, Sync: SyncInterval, SyncEvery: time.Millisecond}
	each(t, o, func(t *testing.T, l *Log) {
		const appenders, readers = 6, 3
		each := 1500
		if testing.Short() {
			each = 200
		}
		var cursors []*Cursor
		for i := range readers {
			cursors = append(cursors, mustCursor(t, l, fmt.Sprint(i)))
		}
		var appending, reading sync.WaitGroup
		for g := range appenders {
			rng := rand.New(rand.NewPCG(seed, uint64(g)))
			appending.Go(func() {
				var answers atomic.Int64
				defer func() {
					for answers.Load() != 0 {
						runtime.Gosched()
					}
				}()
				for n := 0; n < each; {
					size := 16 + rng.IntN(3000)
					r, err := l.Reserve(size)
					if errors.Is(err, ErrFull) {
						runtime.Gosched()
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					fill(r.Bytes(), uint64(g), uint64(n))
					if rng.IntN(10) == 0 {
						r.Abort()
						continue
					}
					if rng.IntN(2) == 0 {
						answers.Add(1)
						r.CommitThen(g, func(_ Position, err error) {
							if err != nil {
								t.Error(err)
							}
							answers.Add(-1)
						})
					} else if _, err := r.Commit(context.Background(), g); err != nil {
						t.Error(err)
						return
					}
					n++
				}
			})
		}
		total := 0
		for g := range appenders {
			total += g * each
		}
		for i, c := range cursors {
			rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
			reading.Go(func() { stressReader(t, l, c, rng, appenders, uint64(total)) })
		}
		appending.Wait()
		l.Seal()
		reading.Wait()
		if st := l.Stats(); st.Count != uint64(total) || st.Frames != uint64(appenders*each) {
			t.Errorf("%+v", st)
		}
		for _, st := range l.Cursors() {
			if st.Consumed != uint64(total) || st.LagBytes != 0 {
				t.Errorf("%+v", st)
			}
		}
	})
}

// fill writes a frame that says whose it is, with bytes that follow from that.
func fill(b []byte, g, n uint64) {
	binary.LittleEndian.PutUint64(b, g)
	binary.LittleEndian.PutUint64(b[8:], n)
	for i := 16; i < len(b); i++ {
		b[i] = byte(g*31 + n + uint64(i))
	}
}

func checkFill(b []byte) (g, n uint64, ok bool) {
	g, n = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	for i := 16; i < len(b); i++ {
		if b[i] != byte(g*31+n+uint64(i)) {
			return g, n, false
		}
	}
	return g, n, true
}

func stressReader(t *testing.T, l *Log, c *Cursor, rng *rand.Rand, appenders int, total uint64) {
	next := make([]uint64, appenders) // committed
	read := make([]uint64, appenders) // read since then, too
	at := Position(0)
	var held []*Run
	drop := func() {
		for _, r := range held {
			r.Release()
		}
		held = nil
	}
	defer drop()
	for {
		r, err := c.Read(context.Background(), Want{MaxBytes: 1 + rng.IntN(20_000), MinBytes: rng.IntN(10_000), Linger: time.Millisecond})
		if errors.Is(err, ErrClosed) {
			drop()
			if at != l.Stats().End {
				if c.Stats().Read == at {
					t.Errorf("ended at %d of %d", at, l.Stats().End)
				}
			}
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		for _, f := range r.Frames {
			g, n, ok := checkFill(f.Body)
			if !ok || int(g) >= appenders || f.Count != int(g) {
				t.Errorf("frame at %d is damaged: of %d, number %d", f.Position, g, n)
				return
			}
			if n != read[g] {
				t.Errorf("frame %d of %d, want %d", n, g, read[g])
				return
			}
			read[g]++
			if f.Position < at {
				t.Errorf("position %d after %d", f.Position, at)
			}
		}
		at = r.End
		held = append(held, r)
		switch rng.IntN(8) {
		case 0: // keeps it in flight
		case 1:
			for _, h := range held { // they must be what they were
				for _, f := range h.Frames {
					if _, _, ok := checkFill(f.Body); !ok {
						t.Errorf("frame at %d has changed under its reader", f.Position)
						return
					}
				}
			}
			body, _, err := l.ReadAt(r.Frames[rng.IntN(len(r.Frames))].Position, nil)
			if err != nil {
				t.Errorf("ReadAt of a frame not committed: %v", err)
				return
			}
			if _, _, ok := checkFill(body); !ok {
				t.Error("ReadAt returns a damaged frame")
				return
			}
		case 2:
			drop()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if c, err = l.OpenCursor(c.Name()); err != nil {
				t.Error(err)
				return
			}
			copy(read, next)
			at = c.Stats().Read
		default:
			if err := c.Commit(at, nil); err != nil {
				t.Error(err)
				return
			}
			copy(next, read)
			drop()
		}
		if at == l.Stats().End {
			if err := c.Commit(at, nil); err != nil {
				t.Error(err)
				return
			}
			copy(next, read)
		}
	}
}

// TestStressDropOldest has readers that are too slow. What a cursor has consumed and what it
// has skipped is what its reader has and has not seen.
func TestStressDropOldest(t *testing.T) {
	o := Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10, CacheBytes: 16 << 10, WhenFull: DropOldest, Sync: SyncNever, CommitEvery: time.Millisecond}
	each(t, o, func(t *testing.T, l *Log) {
		const appenders, readers = 4, 3
		each := 4000
		if testing.Short() {
			each = 500
		}
		var cursors []*Cursor
		for i := range readers {
			cursors = append(cursors, mustCursor(t, l, fmt.Sprint(i)))
		}
		var appending, reading sync.WaitGroup
		for g := range appenders {
			appending.Go(func() {
				for n := 0; n < each; {
					r, err := l.Reserve(16 + n%1000)
					if errors.Is(err, ErrFull) { // the disk is behind
						runtime.Gosched()
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					fill(r.Bytes(), uint64(g), uint64(n))
					if _, err := r.Commit(context.Background(), 1+g); err != nil {
						t.Error(err)
						return
					}
					n++
				}
			})
		}
		for i, c := range cursors {
			reading.Go(func() {
				next, seen := make([]uint64, appenders), uint64(0)
				for {
					r, err := c.Read(context.Background(), Want{MaxBytes: 1 + 4000*i})
					if errors.Is(err, ErrClosed) {
						break
					}
					if err != nil {
						t.Error(err)
						return
					}
					for _, f := range r.Frames {
						g, n, ok := checkFill(f.Body)
						if !ok || n < next[g] {
							t.Errorf("frame at %d: whole is %v; number %d of %d, want %d or later", f.Position, ok, n, g, next[g])
							return
						}
						next[g] = n + 1
					}
					seen += uint64(r.Count)
					if err := c.Commit(r.End, nil); err != nil {
						t.Error(err)
						return
					}
					r.Release()
				}
				st, total := c.Stats(), uint64(each*(1+2+3+4))
				if st.Consumed != seen || seen+st.Skipped[SkippedLimit] != total || st.Skipped[SkippedDamage] != 0 {
					t.Errorf("saw %d of %d: %+v", seen, total, st)
				}
			})
		}
		appending.Wait()
		l.Seal()
		reading.Wait()
	})
}
