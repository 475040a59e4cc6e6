//go:build !linux

package seglog

import "os"

// syncData is fsync, on darwin with F_FULLFSYNC.
func syncData(f *os.File) error { return f.Sync() }
