package seglog

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const crashDir = "/log"

// world is a log on a crashFS, and all that is known about what must be in it.
type world struct {
	rng  *rand.Rand
	fs   *crashFS
	opts Options
	log  *Log

	frames  []*modelFrame // in the order of their appends
	next    uint64        // of the next frame's body
	end     Position      // of the log when it was closed
	closed  error         // what Close said
	cursors map[string]*modelCursor
}

type fate uint8

const (
	unknown fate = iota // the crash came before the answer
	acked
	refused
)

type modelFrame struct {
	id       uint64
	body     []byte
	count    int
	fate     fate
	position Position // if it was acknowledged
}

// modelCursor knows every pair that was committed, oldest first.
type modelCursor struct {
	cursor  *Cursor
	open    bool
	pairs   []pair
	durable int // index of a pair that was surely stored

	flight   map[Position]uint64 // count of frames read and not committed
	consumed uint64
}

type pair struct {
	position Position
	state    string
	stats    CursorStats
}

func testOptions() Options {
	return Options{
		SegmentBytes: 4 << 10, MaxBytes: 64 << 10, CacheBytes: 2 << 10,
		CommitEvery: time.Hour, Logger: slog.New(slog.DiscardHandler),
	}
}

func newWorld(seed uint64, fs *crashFS, o Options) *world {
	o.FS = fs
	fs.block = []int{64, 1, 512}[seed%3]
	if seed%3 == 0 {
		o.CacheBytes = 64 << 10 // so that readers keep up, and frames are written in blocks
	}
	return &world{rng: rand.New(rand.NewPCG(seed, 7)), fs: fs, opts: o, cursors: map[string]*modelCursor{}}
}

func (w *world) open() error {
	l, err := Open(crashDir, w.opts)
	w.log = l
	if err == nil {
		l.mu.Lock()
		l.disk.mostPatience, l.disk.mostGather = 0, 0 // nothing waits
		l.mu.Unlock()
	}
	return err
}

// body of a frame: its number, and bytes that follow from it.
func frameBody(id uint64, size int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, id)
	for i := range size {
		b = append(b, byte(id)+byte(i))
	}
	return b
}

func (w *world) append() {
	f := &modelFrame{id: w.next, body: frameBody(w.next, w.rng.IntN(700)), count: w.rng.IntN(5)}
	w.next++
	w.frames = append(w.frames, f)
	if f.id%2 == 0 {
		p, err := w.log.Append(context.Background(), f.body, f.count)
		w.answer(f, p, err)
		return
	}
	r, err := w.log.Reserve(len(f.body))
	if err != nil {
		w.answer(f, 0, err)
		return
	}
	copy(r.Bytes(), f.body)
	answered := make(chan struct{})
	r.CommitThen(f.count, func(p Position, err error) {
		w.answer(f, p, err)
		close(answered)
	})
	<-answered
}

func (w *world) answer(f *modelFrame, p Position, err error) {
	switch {
	case err == nil:
		f.fate, f.position = acked, p
	case w.fs.crashed.Load():
		f.fate = unknown
	default:
		f.fate = refused
	}
}

// appendGroup commits several frames that the committer finds at once: they are put into
// its list by hand, so that the groups, and with them the operations, are the same in
// every run.
func (w *world) appendGroup() {
	var frames []*modelFrame
	var slots []*slot
	l := w.log
	for range 2 + w.rng.IntN(4) {
		f := &modelFrame{id: w.next, body: frameBody(w.next, w.rng.IntN(900)), count: w.rng.IntN(5)}
		w.next++
		r, err := l.Reserve(len(f.body))
		if err != nil {
			continue
		}
		if w.rng.IntN(5) == 0 {
			r.Abort()
			continue
		}
		copy(r.Bytes(), f.body)
		r.slot.count, r.slot.bodySum = uint32(f.count), bodySum(f.body)
		frames, slots = append(frames, f), append(slots, r.slot)
	}
	w.frames = append(w.frames, frames...)
	commitTogether(l, slots, func(i int, p Position, err error) { w.answer(frames[i], p, err) })
}

// commitTogether makes one group of reservations that were filled.
func commitTogether(l *Log, slots []*slot, answer func(i int, p Position, err error)) {
	if len(slots) == 0 {
		return
	}
	answered := make(chan struct{})
	for i, s := range slots {
		s.turn++
		s.done = func(p Position, err error) {
			answer(i, p, err)
			answered <- struct{}{}
		}
	}
	l.mu.Lock()
	l.disk.ready = append(l.disk.ready, slots...)
	l.mu.Unlock()
	kick(l.disk.commit)
	for range slots {
		<-answered
	}
}

func (w *world) openCursor(name string) {
	c, err := w.log.OpenCursor(name)
	if err != nil {
		return
	}
	m := w.cursors[name]
	if m == nil {
		m = &modelCursor{}
		w.cursors[name] = m
		m.pairs = []pair{{c.Stats().Position, "", c.Stats()}}
	}
	m.cursor, m.open, m.flight = c, true, map[Position]uint64{}
}

// read reads some frames and commits, at their end or in the middle.
func (w *world) read(m *modelCursor) {
	if !m.open || w.log.Stats().End == m.cursor.Stats().Read {
		return
	}
	r, err := m.cursor.Read(context.Background(), Want{MaxBytes: 1 + w.rng.IntN(3000)})
	if err != nil {
		return
	}
	for _, f := range r.Frames {
		m.flight[f.Position] = uint64(f.Count)
	}
	at := r.End
	if w.rng.IntN(3) == 0 {
		at = r.Frames[w.rng.IntN(len(r.Frames))].Position
	}
	r.Release()
	if w.rng.IntN(4) == 0 {
		return // it is done with later
	}
	state := fmt.Sprintf("state of %d %s", at, strings.Repeat("x", w.rng.IntN(MaxState-40)))
	if err := m.cursor.Commit(at, []byte(state)); err != nil {
		panic(err)
	}
	st := m.cursor.Stats()
	m.pairs = append(m.pairs, pair{st.Position, state, st})
	for p, n := range m.flight {
		if p < st.Position {
			m.consumed += n
			delete(m.flight, p)
		}
	}
	if st.Consumed != m.consumed {
		panic(fmt.Sprintf("the cursor has consumed %d by its own account, %d by that of its reader", st.Consumed, m.consumed))
	}
}

// keep does what the keeper does, when the test wants it.
func (w *world) keep() {
	latest := map[*modelCursor]int{}
	for _, m := range w.cursors {
		latest[m] = len(m.pairs) - 1
	}
	if w.log.store() == nil {
		for m, i := range latest {
			m.durable = i
		}
	}
	w.log.clean()
}

func (w *world) step() {
	switch k := w.rng.IntN(20); {
	case k < 7:
		w.append()
	case k < 10:
		w.appendGroup()
	case k < 15:
		w.read(w.pick())
	case k < 17:
		w.keep()
	case k < 18:
		w.log.clean() // which may not delete what is not stored
	case k < 19:
		if m := w.pick(); m.open {
			_ = m.cursor.Close()
			name := m.cursor.Name()
			m.open = false
			w.openCursor(name)
		}
	default:
		w.openCursor(fmt.Sprint("Cursor/", w.rng.IntN(3)))
	}
}

func (w *world) pick() *modelCursor {
	names := make([]string, 0, 3)
	for n := range w.cursors {
		names = append(names, n)
	}
	if len(names) == 0 {
		return &modelCursor{}
	}
	slices.Sort(names)
	return w.cursors[names[w.rng.IntN(len(names))]]
}

// run opens the log and does some steps. It ends at the crash, if there is one.
func (w *world) run(steps int) {
	if w.open() != nil {
		return
	}
	w.openCursor("first")
	for range steps {
		if w.fs.crashed.Load() {
			break
		}
		w.step()
	}
	w.end = w.log.Stats().End
	w.closed = w.log.Close()
}
