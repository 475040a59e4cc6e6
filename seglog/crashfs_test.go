package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// crashFS is a file system in memory that knows what was synced, file by file and
// directory by directory, and can lose the rest. It counts operations that change
// something, so that a test can fail or crash at each of them.
type crashFS struct {
	mu     sync.Mutex
	names  map[string]*inode // as the process sees them
	synced map[string]*inode // as the disk has them
	dirOps []dirOp           // since the last SyncDir
	locked map[string]bool
	noDir  bool // the directory has vanished
	bad    map[string][]span

	block   int // rows are written up to the end of one, with zeros
	ops     int
	crashAt int // this operation is the last, and is done in part; 0: never
	crashed atomic.Bool
	torn    func(n int) int // how much of the last write is done
	// fail is asked about every operation that changes something; done is how much of a
	// write happens all the same.
	fail func(op int, what, name string, n int) (done int, err error)
	log  []string
}

type span struct{ from, to int64 }

// inode is a file's content, whatever its name.
type inode struct {
	data    []byte   // as the process sees it
	synced  []byte   // as the disk has it
	pending []fileOp // since the last sync
	links   int
}

type fileOp struct {
	at   int64
	data []byte
	size int64 // of a truncation, when data is nil
}

type dirOp struct {
	name string
	to   *inode // nil: removed
}

var errCrashed = errors.New("the machine has crashed")

func newCrashFS() *crashFS {
	return &crashFS{names: map[string]*inode{}, synced: map[string]*inode{}, locked: map[string]bool{}}
}

// op counts an operation. It returns how much of n bytes is to be done, and the error.
func (fs *crashFS) op(what, name string, n int) (int, error) {
	if fs.crashed.Load() {
		return 0, errCrashed
	}
	fs.ops++
	fs.log = append(fs.log, fmt.Sprintf("%d %s %s %d", fs.ops, what, filepath.Base(name), n))
	if fs.noDir && what != "write" && what != "sync" && what != "truncate" {
		return 0, &iofs.PathError{Op: what, Path: name, Err: syscall.ENOENT}
	}
	if fs.ops == fs.crashAt {
		fs.crashed.Store(true)
		if fs.torn != nil {
			return fs.torn(n), errCrashed
		}
		return 0, errCrashed
	}
	if fs.fail != nil {
		if done, err := fs.fail(fs.ops, what, name, n); err != nil {
			return done, &iofs.PathError{Op: what, Path: name, Err: err}
		}
	}
	return n, nil
}

// powerCut returns what a disk has after the power failed. Keep says of each operation
// that was not synced whether it has happened nevertheless, and how many bytes of it.
func (fs *crashFS) powerCut(keep func(n int) int) *crashFS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	next := newCrashFS()
	names := maps.Clone(fs.synced)
	for _, op := range fs.dirOps {
		if keep(1) == 0 {
			continue
		}
		if op.to == nil {
			delete(names, op.name)
		} else {
			names[op.name] = op.to
		}
	}
	for name, ino := range names {
		data := slices.Clone(ino.synced)
		for _, op := range ino.pending {
			if op.data == nil {
				if keep(1) > 0 {
					data = resize(data, op.size)
				}
				continue
			}
			n := keep(len(op.data))
			data = put(data, op.data[:n], op.at)
		}
		made := &inode{data: data, synced: slices.Clone(data), links: 1}
		next.names[name], next.synced[name] = made, made
	}
	return next
}

// kill returns what the next process finds when only the process has died: everything, but
// what was not synced still is not.
func (fs *crashFS) kill() *crashFS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	next := newCrashFS()
	copies := map[*inode]*inode{}
	clone := func(ino *inode) *inode {
		if ino == nil {
			return nil
		}
		if copies[ino] == nil {
			copies[ino] = &inode{
				data: slices.Clone(ino.data), synced: slices.Clone(ino.synced),
				pending: slices.Clone(ino.pending), links: ino.links,
			}
		}
		return copies[ino]
	}
	for name, ino := range fs.names {
		next.names[name] = clone(ino)
	}
	for name, ino := range fs.synced {
		next.synced[name] = clone(ino)
	}
	for _, op := range fs.dirOps {
		next.dirOps = append(next.dirOps, dirOp{op.name, clone(op.to)})
	}
	return next
}

func resize(b []byte, size int64) []byte {
	if int64(len(b)) >= size {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func put(b, data []byte, at int64) []byte {
	if len(data) == 0 {
		return b
	}
	if end := at + int64(len(data)); int64(len(b)) < end {
		b = resize(b, end)
	}
	copy(b[at:], data)
	return b
}

func (fs *crashFS) notExist(op, name string) error {
	return &iofs.PathError{Op: op, Path: name, Err: syscall.ENOENT}
}

func (fs *crashFS) MkdirAll(string) error { return nil }

func (fs *crashFS) Create(name string) (File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.names[name] != nil {
		return nil, &iofs.PathError{Op: "create", Path: name, Err: syscall.EEXIST}
	}
	if _, err := fs.op("create", name, 0); err != nil {
		return nil, err
	}
	ino := &inode{links: 1}
	fs.names[name] = ino
	fs.dirOps = append(fs.dirOps, dirOp{name, ino})
	return &crashFile{fs, ino, name}, nil
}

func (fs *crashFS) Open(name string, write bool) (File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.crashed.Load() {
		return nil, errCrashed
	}
	ino := fs.names[name]
	if ino == nil || fs.noDir {
		return nil, fs.notExist("open", name)
	}
	return &crashFile{fs, ino, name}, nil
}

func (fs *crashFS) List(dir string) ([]string, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.noDir {
		return nil, fs.notExist("list", dir)
	}
	var names []string
	for n := range fs.names {
		names = append(names, filepath.Base(n))
	}
	return names, nil
}

func (fs *crashFS) Rename(from, to string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.names[from]
	if ino == nil {
		return fs.notExist("rename", from)
	}
	if _, err := fs.op("rename", from, 0); err != nil {
		return err
	}
	fs.names[to] = ino
	delete(fs.names, from)
	fs.dirOps = append(fs.dirOps, dirOp{to, ino}, dirOp{from, nil})
	return nil
}

func (fs *crashFS) Remove(name string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.names[name]
	if ino == nil {
		return fs.notExist("remove", name)
	}
	if _, err := fs.op("remove", name, 0); err != nil {
		return err
	}
	ino.links--
	delete(fs.names, name)
	fs.dirOps = append(fs.dirOps, dirOp{name, nil})
	return nil
}

func (fs *crashFS) SyncDir(dir string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if _, err := fs.op("syncdir", dir, 0); err != nil {
		return err
	}
	fs.synced, fs.dirOps = maps.Clone(fs.names), nil
	return nil
}

func (fs *crashFS) Lock(name string) (io.Closer, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.locked[name] {
		return nil, ErrLocked
	}
	fs.locked[name] = true
	return closeFunc(func() error {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		fs.locked[name] = false
		return nil
	}), nil
}

type closeFunc func() error

func (f closeFunc) Close() error { return f() }

type crashFile struct {
	fs   *crashFS
	ino  *inode
	name string
}

func (f *crashFile) ReadAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	for _, s := range f.fs.bad[f.name] {
		if at < s.to && at+int64(len(b)) > s.from {
			return 0, &iofs.PathError{Op: "read", Path: f.name, Err: syscall.EIO}
		}
	}
	if at >= int64(len(f.ino.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.ino.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *crashFile) WriteAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n, err := f.fs.op("write", f.name, len(b))
	if n > 0 {
		f.ino.data = put(f.ino.data, b[:n], at)
		f.ino.pending = append(f.ino.pending, fileOp{at: at, data: slices.Clone(b[:n])})
	}
	return n, err
}

// writeRows is one write, of whole blocks: what the first one begins with is written again.
func (f *crashFile) writeRows(rows [][]byte, at int64) error {
	block := int64(max(f.fs.block, 1))
	begin := at / block * block
	b := make([]byte, at-begin)
	if n, err := f.ReadAt(b, begin); n < len(b) {
		return err
	}
	b = append(b, bytes.Join(rows, nil)...)
	b = append(b, make([]byte, -int64(len(b))&(block-1))...)
	return writeAt(f, b, begin)
}

// Sync that fails is that of Linux: the pages are clean now, and the next sync, which
// succeeds, does not write them.
func (f *crashFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	_, err := f.fs.op("sync", f.name, 0)
	if errors.Is(err, errCrashed) {
		return err
	}
	if err == nil {
		for _, op := range f.ino.pending {
			if op.data == nil {
				f.ino.synced = resize(f.ino.synced, op.size)
			} else {
				f.ino.synced = put(f.ino.synced, op.data, op.at)
			}
		}
	}
	f.ino.pending = nil
	return err
}

func (f *crashFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.fs.op("truncate", f.name, 0); err != nil {
		return err
	}
	f.ino.data = resize(f.ino.data, size)
	f.ino.pending = append(f.ino.pending, fileOp{size: size})
	return nil
}

func (f *crashFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.ino.data)), nil
}

func (f *crashFile) Removed() bool {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.ino.links == 0
}

func (f *crashFile) Close() error { return nil }

// keepNone and its like say what a power cut leaves of what was not synced.
func keepNone(int) int { return 0 }

func keepSome(rng *rand.Rand) func(n int) int {
	return func(n int) int {
		switch rng.IntN(3) {
		case 0:
			return 0
		case 1:
			return n
		}
		return rng.IntN(n + 1)
	}
}
