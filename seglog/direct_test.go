package seglog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestWriteRows: a file that is written past the cache, in rows of any size, through the cache
// in between, and cut, has what a file has that was written piece by piece; for others too that
// read it meanwhile.
func TestWriteRows(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for last := range 3 {
		testWriteRows(t, rand.New(rand.NewPCG(seed, uint64(last))), last, func(*osFile) {})
	}
	// Where it is not possible to go past the cache, or it turns out later that it is not.
	testWriteRows(t, rand.New(rand.NewPCG(seed, 3)), 0, func(f *osFile) { f.buffered = true })
	testWriteRows(t, rand.New(rand.NewPCG(seed, 4)), 0, func(f *osFile) {
		if f.direct = newDirect(f.File); f.direct != nil {
			misalign(f.direct)
		}
	})
}

// testWriteRows ends with one of three things before it closes the file.
func testWriteRows(t *testing.T, rng *rand.Rand, last int, prepare func(*osFile)) {
	name := filepath.Join(t.TempDir(), "f")
	created, err := osFS{}.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	f := created.(*osFile)
	prepare(f)
	other, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var want []byte
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32()) | 1 // no zeros
		}
		return b
	}
	const steps = 80
	for step := range steps {
		at := int64(len(want))
		k := rng.IntN(10)
		switch step {
		case steps - 2:
			k = 0
		case steps - 1:
			k = []int{0, 6, 8}[last]
		}
		switch {
		case k < 5:
			var rows [][]byte
			most := []int{10, 5000, 400_000}[rng.IntN(3)]
			for range 1 + rng.IntN(4) {
				rows = append(rows, random(1+rng.IntN(most)))
			}
			if rng.IntN(4) == 0 { // up to the end of a block
				last := rows[len(rows)-1]
				end := at + int64(len(bytes.Join(rows, nil)))
				rows[len(rows)-1] = append(last, random(int(-end&(page-1)))...)
			}
			err = f.writeRows(rows, at)
			want = append(want, bytes.Join(rows, nil)...)
		case k < 6 && at > 0: // what was written last is replaced
			n := 1 + rng.IntN(min(len(want), page))
			copy(want[len(want)-n:], random(n))
			if err = f.Truncate(at - int64(n)); err == nil {
				_, err = f.WriteAt(want[len(want)-n:], at-int64(n))
			}
		case k < 8:
			b := random(1 + rng.IntN(6000))
			_, err = f.WriteAt(b, at)
			want = append(want, b...)
		case k < 9:
			want = want[:len(want)-rng.IntN(min(len(want)+1, 9000))]
			err = f.Truncate(int64(len(want)))
		default:
			b := make([]byte, len(want)/2)
			if _, err = f.ReadAt(b, int64(len(want)/3)); err == nil && !bytes.Equal(b, want[len(want)/3:][:len(b)]) {
				t.Fatalf("step %d: ReadAt returns something else", step)
			}
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < len(want) || !bytes.Equal(got[:len(want)], want) || !allZero(got[len(want):]) || len(got) >= len(want)+page {
			t.Fatalf("step %d: the file has %d bytes, and not the %d that were written", step, len(got), len(want))
		}
		tail := make([]byte, min(len(want), 3*page))
		if _, err := other.ReadAt(tail, int64(len(want)-len(tail))); err != nil || !bytes.Equal(tail, want[len(want)-len(tail):]) {
			t.Fatalf("step %d: another reader sees something else: %v", step, err)
		}
		if len(want) > 3<<20 {
			want = want[:rng.IntN(page)]
			if err := f.Truncate(int64(len(want))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("closed: %d bytes, %d were written; %v", len(got), len(want), err)
	}
}

// TestKilledPadded: the zeros that a killed process leaves behind the last frame are no torn
// frame and no damage.
func TestKilledPadded(t *testing.T) {
	dir, after := t.TempDir(), t.TempDir()
	l, err := Open(dir, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		mustAppend(t, l, bytes.Repeat([]byte("x"), 1500), 1)
	}
	if err := os.CopyFS(after, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, look := range []func(string) (*Inspection, error){Inspect, Verify} {
		if in, err := look(after); err != nil || len(in.Damage) != 0 || in.Count != 3 {
			t.Errorf("%+v, %v", in, err)
		}
	}
	again, err := Open(after, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, again, []byte("and it goes on"), 1)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	in, err := Verify(after)
	if err != nil || in.Count != 4 || len(in.Damage)+len(in.Aside) != 0 || in.Segments[0].Tail != 0 {
		t.Errorf("%+v, %v", in, err)
	}
}

// TestBadEnd: a file whose last block cannot be read, which it takes to go on, is left for
// another one.
func TestBadEnd(t *testing.T) {
	fs := newCrashFS()
	fs.block = 64
	o := testOptions()
	o.FS, o.CacheBytes = fs, 64<<10
	l, err := Open(crashDir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.mu.Lock()
	l.disk.mostPatience = 0
	l.mu.Unlock()
	c := mustCursor(t, l, "c")
	mustAppend(t, l, []byte("before"), 1)
	fs.mu.Lock()
	fs.bad = map[string][]span{segmentName(crashDir, 0): {{0, 1 << 20}}}
	fs.mu.Unlock()
	if _, err := l.Append(t.Context(), []byte("refused"), 1); !errors.Is(err, syscall.EIO) {
		t.Errorf("where the last block cannot be read: %v", err)
	}
	mustAppend(t, l, []byte("after"), 1)
	fs.mu.Lock()
	fs.bad = nil
	fs.mu.Unlock()
	r := mustRead(t, c, Want{})
	if got := bodies(r); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("read %q", got)
	}
	r.Release()
}

// TestReadersKeepUp: what somebody will read from files soon goes through the cache.
func TestReadersKeepUp(t *testing.T) {
	l, err := Open(t.TempDir(), Options{Logger: quiet(), CacheBytes: 64 << 10, SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	direct := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.readersKeepUp()
	}
	body := make([]byte, 10_000)
	first := mustAppend(t, l, body, 1)
	c := mustCursor(t, l, "c")
	if !direct() {
		t.Error("the cursor reads from memory")
	}
	for range 30 {
		mustAppend(t, l, body, 1)
	}
	if direct() {
		t.Error("the cursor is behind what is in memory")
	}
	for c.Stats().Unread > 0 {
		mustRead(t, c, Want{}).Release()
	}
	if !direct() {
		t.Error("the cursor has read all")
	}
	if _, _, err := l.ReadAt(first, nil); err != nil {
		t.Fatal(err)
	}
	if direct() {
		t.Error("somebody looks back")
	}
}
