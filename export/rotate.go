package export

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// This file is what a [FileExporter] does to files as a whole: it sets them aside,
// removes old ones, and repairs what it finds.

// backupTime is how the names of older files tell when they were set aside:
// spans-2026-03-01T12-00-00.000.jsonl, as the Collector's file exporter has it.
const backupTime = "2006-01-02T15-04-05.000"

// rotateAgain is how long a rotation that has failed is not tried again.
const rotateAgain = time.Minute

// rotate sets the file aside and begins a new one. If it cannot be set aside, the
// exporter goes on with it: a file that is too large is better than lost spans.
func (e *FileExporter) rotate() error {
	now := time.Now()
	if now.Before(e.notBefore) {
		return nil
	}
	err := e.file.Close()
	e.file = nil
	if err == nil {
		err = os.Rename(e.path, e.freeName(now, ""))
	}
	if err != nil {
		e.notBefore = now.Add(rotateAgain)
		e.rotates.Warn(e.cfg.Logger, "cannot rotate, goes on with the same file", slog.String("file", e.path), slog.Any("error", err))
	}
	if err := e.openFile(); err != nil {
		return err
	}
	e.removeBackups()
	return nil
}

// periodOf returns the begin of the period of RotateEvery that t is in.
func (e *FileExporter) periodOf(t time.Time) time.Time {
	if e.cfg.RotateEvery == 0 {
		return time.Time{}
	}
	_, offset := e.zone(t).Zone()
	shift := time.Duration(offset) * time.Second
	return t.Add(shift).Truncate(e.cfg.RotateEvery)
}

func (e *FileExporter) zone(t time.Time) time.Time {
	if e.cfg.LocalTime {
		return t.Local()
	}
	return t.UTC()
}

// splitName returns what stands before and after the time in the names of older
// files. Of "spans.jsonl.gz", ".jsonl.gz" stands after it.
func (e *FileExporter) splitName() (prefix, suffix string) {
	name := filepath.Base(e.path)
	suffix = filepath.Ext(name)
	if suffix == ".gz" || suffix == ".zst" || suffix == ".zstd" {
		suffix = filepath.Ext(strings.TrimSuffix(name, suffix)) + suffix
	}
	return strings.TrimSuffix(name, suffix) + "-", suffix
}

// freeName returns a name with a time, not before now, that no file has.
func (e *FileExporter) freeName(now time.Time, kind string) string {
	prefix, suffix := e.splitName()
	for {
		path := filepath.Join(filepath.Dir(e.path), prefix+e.zone(now).Format(backupTime)+kind+suffix)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path
		} else if err != nil && !errors.Is(err, fs.ErrExist) {
			return path // let the one who uses it fail, with the reason
		}
		now = now.Add(time.Millisecond)
	}
}

// backups returns the names of older files, newest first.
func (e *FileExporter) backups() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(e.path))
	var names []string
	for _, entry := range entries {
		if _, ok := e.backupTime(entry.Name()); ok {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, err
}

func (e *FileExporter) backupTime(name string) (time.Time, bool) {
	prefix, suffix := e.splitName()
	stamp, isPrefixed := strings.CutPrefix(name, prefix)
	stamp, isSuffixed := strings.CutSuffix(stamp, suffix)
	if !isPrefixed || !isSuffixed {
		return time.Time{}, false
	}
	location := time.UTC
	if e.cfg.LocalTime {
		location = time.Local
	}
	t, err := time.ParseInLocation(backupTime, stamp, location)
	return t, err == nil
}

// removeBackups removes the older files that are too many or too old.
func (e *FileExporter) removeBackups() {
	if e.cfg.MaxBackups == 0 && e.cfg.MaxBackupAge == 0 {
		return
	}
	names, err := e.backups()
	for i, name := range names {
		at, _ := e.backupTime(name)
		if e.cfg.MaxBackups > 0 && i >= e.cfg.MaxBackups || e.cfg.MaxBackupAge > 0 && time.Since(at) > e.cfg.MaxBackupAge {
			err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(e.path), name)))
		}
	}
	if err != nil {
		e.rotates.Warn(e.cfg.Logger, "cannot remove old files", slog.String("file", e.path), slog.Any("error", err))
	}
}

// repair makes the file end with a whole record, and returns its size.
func (e *FileExporter) repair(f diskFile, size int64) (int64, error) {
	if size == 0 {
		return 0, nil
	}
	if err := checkBeginning(f, size, e.cfg.Compression); err != nil {
		return 0, fmt.Errorf("cannot continue %s with compression %v: %w", e.path, e.cfg.Compression, err)
	}
	end, unended, err := wholeRecords(f, size, e.cfg.Compression)
	switch {
	case err != nil:
		return 0, fmt.Errorf("cannot find the end of %s: %w", e.path, err)
	case end == size:
		return size, nil
	case unended:
		_, err := f.Write([]byte{'\n'})
		return size + 1, err
	}
	// It was never acknowledged, or the disk has damaged it. Whatever it is, it is not
	// for us to destroy.
	aside := e.freeName(time.Now(), ".torn")
	err = copyAside(aside, io.NewSectionReader(f, end, size-end), e.cfg.Mode)
	if err == nil {
		err = f.Truncate(end)
	}
	if err != nil {
		return 0, fmt.Errorf("%s has half a record at offset %d (%d bytes), which cannot be moved to %s: %w", e.path, end, size-end, aside, err)
	}
	e.cfg.Logger.Warn("ringtail: moved half a record out of the way", slog.String("file", e.path),
		slog.Int64("offset", end), slog.Int64("bytes", size-end), slog.String("to", aside))
	return end, nil
}

func copyAside(path string, r io.Reader, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
