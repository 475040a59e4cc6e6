package export

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
)

// faultyFile is a real file that fails as it is told.
type faultyFile struct {
	*os.File
	room        int   // bytes that Write takes before it fails with err
	err         error // nil: no fault
	truncateErr error
	syncErr     error
	closeErr    error // of a file that is closed all the same
	syncs       int
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if f.err == nil || len(p) <= f.room {
		f.room -= len(p)
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:f.room])
	f.room = 0
	return n, errors.Join(err, f.err)
}

func (f *faultyFile) Truncate(size int64) error {
	if f.truncateErr != nil {
		return f.truncateErr
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error {
	f.syncs++
	if f.syncErr != nil {
		return f.syncErr
	}
	return f.File.Sync()
}

func (f *faultyFile) Close() error { return errors.Join(f.File.Close(), f.closeErr) }

// openFaulty opens an exporter, and returns its file to be made to fail.
func openFaulty(t *testing.T, path string, cfg FileConfig) (*FileExporter, *faultyFile) {
	t.Helper()
	faulty := new(faultyFile)
	e, err := newFile(path, cfg, func(path string, flag int, mode fs.FileMode) (diskFile, error) {
		f, err := os.OpenFile(path, flag, mode)
		faulty.File = f
		return faulty, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(context.Background()) })
	return e, faulty
}

// A write that fails leaves nothing behind, whatever it has written.
func TestFileTakesBackWhatFails(t *testing.T) {
	for _, c := range compressions {
		t.Run(c.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "spans")
			e, disk := openFaulty(t, path, FileConfig{Compression: c})
			a, b := testBatch(t, 1, 5), testBatch(t, 2, 50)
			mustExport(t, e, a)
			for room := range 60 {
				disk.room, disk.err = room, syscall.ENOSPC
				err := e.Export(t.Context(), b)
				if lost := ringtail.Losses(err, 50); lost.Of(ringtail.ReasonExport) != 50 || !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("%v: loses %v", err, lost)
				}
				if _, ok := Retryable(err); !ok {
					t.Fatalf("%v: a full disk is not retryable", err)
				}
				holds(t, c, []string{path}, a)
			}
			disk.err = io.ErrUnexpectedEOF // no full disk
			if _, ok := Retryable(e.Export(t.Context(), b)); ok {
				t.Error("an error unknown is retryable")
			}
			disk.err = nil
			mustExport(t, e, b)
			holds(t, c, []string{path}, a, b)
		})
	}
}

func TestFileThatCannotTakeBackWaitsUntilItCan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	e, disk := openFaulty(t, path, FileConfig{})
	a, b := testBatch(t, 1, 5), testBatch(t, 2, 6)
	mustExport(t, e, a)
	disk.room, disk.err, disk.truncateErr = 100, syscall.ENOSPC, syscall.EIO
	if err := e.Export(t.Context(), b); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Export: %v", err)
	}
	disk.err = nil
	if err := e.Export(t.Context(), b); !errors.Is(err, syscall.EIO) {
		t.Errorf("Export behind half a record: %v", err)
	}
	disk.truncateErr = nil
	mustExport(t, e, b)
	holds(t, NoCompression, []string{path}, a, b)
}

// Somebody truncates the file to zero, as log rotation by copying does: what is cut
// off is counted from the end, and not from where it should be.
func TestFileTruncatedByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	e, disk := openFaulty(t, path, FileConfig{})
	a := testBatch(t, 1, 5)
	mustExport(t, e, a, a)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	mustExport(t, e, a)
	disk.room, disk.err = 10, syscall.ENOSPC
	_ = e.Export(t.Context(), a)
	disk.err = nil
	mustExport(t, e, a)
	holds(t, NoCompression, []string{path}, a, a)
}

func TestFileSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	e, disk := openFaulty(t, path, FileConfig{Sync: true})
	a := testBatch(t, 1, 5)
	mustExport(t, e, a, a)
	if disk.syncs != 2 {
		t.Errorf("%d syncs for two batches", disk.syncs)
	}
	disk.syncErr = syscall.EIO
	if err := e.Export(t.Context(), a); !errors.Is(err, syscall.EIO) {
		t.Errorf("Export: %v", err)
	}
	holds(t, NoCompression, []string{path}, a, a)
	disk.syncErr = nil
	if err := e.Flush(t.Context()); err != nil || disk.syncs != 4 {
		t.Errorf("Flush: %v, %d syncs", err, disk.syncs)
	}
}

// A write that hangs keeps neither other exports nor Shutdown beyond their context.
func TestFileWriteHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	hung := &hangingFile{begun: make(chan struct{}), release: make(chan struct{})}
	e, err := newFile(path, FileConfig{}, func(path string, flag int, mode fs.FileMode) (diskFile, error) {
		f, err := os.OpenFile(path, flag, mode)
		hung.File = f
		return hung, err
	})
	if err != nil {
		t.Fatal(err)
	}
	a := testBatch(t, 1, 5)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.Export(t.Context(), a); err != nil {
			t.Error(err)
		}
	})
	<-hung.begun
	ctx, cancel := context.WithTimeout(t.Context(), ms)
	defer cancel()
	for what, f := range map[string]func(context.Context) error{
		"Export":   func(ctx context.Context) error { return e.Export(ctx, a) },
		"Flush":    e.Flush,
		"Shutdown": e.Shutdown,
	} {
		if err := f(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ringtail.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	close(hung.release)
	wg.Wait()
	_ = e.turn.take(t.Context()) // the one who closes has it before us, or after
	e.turn.give()
	holds(t, NoCompression, []string{path}, a)
}

const ms = time.Millisecond

// hangingFile is a real file whose write waits to be released.
type hangingFile struct {
	*os.File
	begun, release chan struct{}
}

func (f *hangingFile) Write(p []byte) (int, error) {
	close(f.begun)
	<-f.release
	return f.File.Write(p)
}

// Random faults of any kind: whatever happens, the file holds exactly the batches
// whose export succeeded.
func TestFileProperty(t *testing.T) {
	batches := []*ringtail.Batch{testBatch(t, 1, 1), testBatch(t, 2, 5), testBatch(t, 3, 30)}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := compressions[r.IntN(3)]
		dir := t.TempDir()
		path := filepath.Join(dir, "spans")
		cfg := FileConfig{Compression: c, RotateBytes: int64(r.IntN(2) * r.IntN(50_000)), Sync: r.IntN(4) == 0, Logger: slog.New(slog.DiscardHandler)}
		var want []*ringtail.Batch
		e, disk := openFaulty(t, path, cfg)
		for range 40 {
			disk.room, disk.err, disk.truncateErr, disk.syncErr = r.IntN(3000), nil, nil, nil
			switch r.IntN(8) {
			case 0, 1:
				disk.err = syscall.ENOSPC
			case 2:
				disk.err, disk.truncateErr = syscall.ENOSPC, syscall.EIO
			case 3:
				disk.syncErr = syscall.EIO
			case 4: // the process is killed, and half a record is left
				disk.File.Close()
				e, disk = openFaulty(t, path, cfg)
			}
			b := batches[r.IntN(3)]
			if e.Export(t.Context(), b) == nil {
				want = append(want, b)
			}
		}
		disk.err, disk.truncateErr, disk.syncErr = nil, nil, nil
		mustShut(t, e)
		var paths []string
		for _, name := range names(t, dir) {
			if !strings.Contains(name, ".torn") && name != "spans" {
				paths = append(paths, filepath.Join(dir, name))
			}
		}
		t.Logf("seed %d: %v, %d batches in %d files", seed, c, len(want), len(paths)+1)
		holds(t, c, append(paths, path), want...)
	}
}
