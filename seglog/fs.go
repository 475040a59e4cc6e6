package seglog

import (
	"io"
)

// FS is what a log needs of a file system. Paths are those of the operating system. A
// test puts one in its place that fails, and one that forgets what was not synced.
type FS interface {
	// MkdirAll makes a directory and those above it.
	MkdirAll(dir string) error
	// Create makes a file that does not exist, for reading and writing.
	Create(name string) (File, error)
	// Open opens a file that exists, for reading and, if write is true, for writing.
	Open(name string, write bool) (File, error)
	// List returns the names of the files in a directory, in any order.
	List(dir string) ([]string, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes what was created, renamed and removed in a directory durable.
	SyncDir(dir string) error
	// Lock takes a lock that ends with the process, or returns an [ErrLocked]. A lock with a
	// method Void() bool that says true keeps nobody out, for want of locks: the log goes on,
	// and warns.
	Lock(name string) (io.Closer, error)
}

// File is what a log needs of a file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the data durable, and as much of the metadata as reading them takes.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	// Removed says whether the file has no name any more, so that what is written to
	// it is lost. False where that can not be known.
	Removed() bool
}

// rowWriter is a [File] that can also write several pieces of memory, side by side, to its
// end and past the cache of the operating system. Until it is closed, zeros may follow them.
type rowWriter interface {
	writeRows(rows [][]byte, at int64) error
}
