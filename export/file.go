package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/internal/throttle"
	"github.com/ringtail-otel/ringtail/otlp"
)

// FileConfig says how a [FileExporter] writes, and when it begins a new file. Its zero
// value writes one file that grows for ever.
type FileConfig struct {
	// Compression of the records. Default [NoCompression].
	Compression Compression

	// RotateBytes begins a new file before the size on disk would pass this; a batch
	// that is larger by itself has a file of its own. 0 means never.
	RotateBytes int64
	// RotateEvery begins a new file with every multiple of this: 24 h is at midnight,
	// 1 h at the full hour, a restart in between changes nothing. It is looked at when a
	// batch comes. 0 means never.
	RotateEvery time.Duration
	// MaxBackups is how many older files are kept. 0 means all.
	MaxBackups int
	// MaxBackupAge removes files that were rotated longer ago than this. 0 means never.
	MaxBackupAge time.Duration
	// LocalTime uses local time for RotateEvery and the names of older files, in
	// place of UTC.
	LocalTime bool

	// Sync writes each batch through to the disk (fsync) before Export returns.
	// Without it, that is left to the operating system until Flush: then a batch
	// survives the end of the process, but not that of the machine.
	Sync bool
	// Mode is the permission of new files, less the umask. 0 means 0644.
	Mode fs.FileMode
	// Logger is told of what was repaired, and of rotations that failed. nil means
	// slog.Default().
	Logger *slog.Logger
}

// Validate returns an error that names the first field that makes no sense, and
// its value.
func (c FileConfig) Validate() error {
	switch {
	case c.Compression > Zstd:
		return fmt.Errorf("FileConfig.Compression is %d, unknown", c.Compression)
	case c.RotateBytes < 0:
		return fmt.Errorf("FileConfig.RotateBytes is %d, must not be negative", c.RotateBytes)
	case c.RotateEvery != 0 && c.RotateEvery < time.Second:
		return fmt.Errorf("FileConfig.RotateEvery is %v, must be at least 1s", c.RotateEvery)
	case c.MaxBackups < 0:
		return fmt.Errorf("FileConfig.MaxBackups is %d, must not be negative", c.MaxBackups)
	case c.MaxBackupAge < 0:
		return fmt.Errorf("FileConfig.MaxBackupAge is %v, must not be negative", c.MaxBackupAge)
	case c.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("FileConfig.Mode is %v, must be permissions only", c.Mode)
	}
	return nil
}

// FileExporter appends batches to a file, each as one line: an OTLP JSON
// ExportTraceServiceRequest, which is what the OpenTelemetry Collector's file exporter
// writes and its otlpjsonfile receiver reads. See docs/design/exporters.md for
// the format with compression.
//
// A reader finds whole records only. A write that fails, or is cut short as by a full
// disk, is taken back, and the batch is lost for [ringtail.ReasonExport]; when the
// disk is full the error is [Retryable]. Half a record that a killed process has
// left is moved to a file of its own when the file is opened, and reported.
//
// On Unix, the file is locked against a second exporter. Exports encode at the same
// time and write one after the other. Flush writes through to the disk. Shutdown
// waits for the write under way, writes through, and closes the file; if its context
// ends first, the file is closed as soon as the write returns.
type FileExporter struct {
	path    string
	cfg     FileConfig
	frames  *framer
	buffers sync.Pool // of *fileBuffers
	closing *closing
	rotates throttle.Log // of the log
	open    openFunc

	turn   turn     // guards what follows
	file   diskFile // nil when a rotation has failed halfway, and after Shutdown
	size   int64
	period time.Time // of the file, by RotateEvery
	torn   int64     // bytes at the end that are no record, which could not be taken back

	notBefore time.Time // the next rotation, after one has failed
}

// diskFile is what is needed of an [os.File].
type diskFile interface {
	io.Writer
	io.ReaderAt
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

type openFunc func(path string, flag int, mode fs.FileMode) (diskFile, error)

func openOnDisk(path string, flag int, mode fs.FileMode) (diskFile, error) {
	return os.OpenFile(path, flag, mode)
}

type fileBuffers struct{ line, frame []byte }

// NewFile opens the file, or creates it, in a directory that exists, and repairs
// it. It is an error if another process exports to it, or if its beginning is of another
// format.
func NewFile(path string, cfg FileConfig) (*FileExporter, error) {
	return newFile(path, cfg, openOnDisk)
}

func newFile(path string, cfg FileConfig, open openFunc) (*FileExporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("export: NewFile: %w", err)
	}
	cfg.Mode = cmp.Or(cfg.Mode, 0o644)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	frames, err := newFramer(cfg.Compression)
	if err != nil {
		return nil, fmt.Errorf("export: NewFile: %w", err)
	}
	e := &FileExporter{path: path, cfg: cfg, frames: frames, closing: newClosing(), turn: newTurn(), open: open}
	e.buffers.New = func() any { return new(fileBuffers) }
	if err := e.openFile(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	e.removeBackups()
	return e, nil
}

// openFile opens, locks, checks and repairs the file.
func (e *FileExporter) openFile() error {
	f, err := e.open(e.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, e.cfg.Mode)
	if err != nil {
		if dir := filepath.Dir(e.path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot create %s: directory %s does not exist", e.path, dir)
		}
		return fmt.Errorf("cannot open the file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file; NewWriter writes to others", e.path)
	}
	if err == nil {
		err = lockFile(f, e.path)
	}
	if err == nil && e.cfg.Sync {
		err = syncDir(filepath.Dir(e.path)) // a new file's name must survive too
	}
	size := int64(0)
	if err == nil {
		size, err = e.repair(f, info.Size())
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	e.file, e.size, e.torn = f, size, 0
	switch {
	case size == 0:
		e.period = e.periodOf(time.Now())
	case e.period.IsZero():
		e.period = e.periodOf(info.ModTime())
	} // else it was not set aside, and is as old as before, though written to since
	return nil
}

// Export appends the batch to the file.
func (e *FileExporter) Export(ctx context.Context, b *ringtail.Batch) error {
	if err := e.closing.refuse(b); err != nil || b.Len() == 0 {
		return err
	}
	buffers := e.buffers.Get().(*fileBuffers)
	defer func() {
		if cap(buffers.line) <= maxKeptBuffer && cap(buffers.frame) <= maxKeptBuffer {
			e.buffers.Put(buffers)
		}
	}()
	line, err := otlp.AppendJSON(buffers.line[:0], b.Bytes())
	if err != nil {
		return fmt.Errorf("cannot encode the batch: %w", err)
	}
	buffers.line = append(line, '\n')
	record := buffers.line
	if e.cfg.Compression != NoCompression {
		buffers.frame = e.frames.append(buffers.frame[:0], buffers.line)
		record = buffers.frame
	}
	if err := e.turn.take(ctx); err != nil {
		return err
	}
	defer e.turn.give()
	if err := e.closing.refuse(b); err != nil {
		return err
	}
	return e.append(record)
}

// append writes a record as a whole or not at all.
func (e *FileExporter) append(record []byte) error {
	if e.file != nil && e.moved() {
		_ = e.file.Close() // whoever moved it has what is in it
		e.file, e.torn = nil, 0
	}
	if e.file == nil {
		if err := e.openFile(); err != nil {
			return &RetryableError{Err: err}
		}
	}
	if err := e.takeBack(); err != nil {
		return e.failed(record, err)
	}
	if e.size > 0 && (e.cfg.RotateBytes > 0 && e.size+int64(len(record)) > e.cfg.RotateBytes ||
		!e.periodOf(time.Now()).Equal(e.period)) {
		if err := e.rotate(); err != nil {
			return &RetryableError{Err: err}
		}
	}
	n, err := e.file.Write(record)
	if err == nil && n < len(record) {
		err = io.ErrShortWrite
	}
	if err == nil && e.cfg.Sync {
		err = e.file.Sync()
	}
	if err != nil {
		e.torn = int64(n)
		return e.failed(record, errors.Join(err, e.takeBack()))
	}
	if e.size == 0 {
		e.period = e.periodOf(time.Now())
	}
	e.size += int64(n)
	return nil
}

// moved says whether the file is not at its path any more: somebody else rotates it, or has
// removed it, and what is written to it would be found by nobody.
func (e *FileExporter) moved() bool {
	there, err := os.Stat(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(filepath.Dir(e.path))
		return err == nil // without the directory, opening is of no use either
	}
	if err != nil {
		return false
	}
	ours, err := e.file.Stat()
	return err == nil && !os.SameFile(there, ours)
}

// takeBack cuts off what a failed write has left. The end is taken from the file,
// which somebody may have truncated meanwhile.
func (e *FileExporter) takeBack() error {
	if e.torn == 0 {
		return nil
	}
	info, err := e.file.Stat()
	if err == nil {
		err = e.file.Truncate(max(info.Size()-e.torn, 0))
	}
	if err != nil {
		return fmt.Errorf("cannot take back half a record: %w", err)
	}
	e.torn = 0
	return nil
}

func (e *FileExporter) failed(record []byte, err error) error {
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	err = fmt.Errorf("cannot append %d bytes to %s: %w", len(record), e.path, err)
	if full {
		return &RetryableError{Err: err}
	}
	return err
}

// Flush writes through to the disk what was exported.
func (e *FileExporter) Flush(ctx context.Context) error {
	if err := e.turn.take(ctx); err != nil {
		return err
	}
	defer e.turn.give()
	if e.file == nil {
		return nil
	}
	return e.file.Sync()
}

// Shutdown writes through to the disk and closes the file.
func (e *FileExporter) Shutdown(ctx context.Context) error {
	return e.closing.shutdown(ctx, func() error {
		return within(ctx, func() error {
			_ = e.turn.take(context.Background())
			defer e.turn.give()
			if e.file == nil {
				return nil
			}
			err := errors.Join(e.takeBack(), e.file.Sync(), e.file.Close())
			e.file = nil
			e.frames.close()
			return err
		})
	})
}
