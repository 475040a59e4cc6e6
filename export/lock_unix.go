//go:build unix && !solaris && !aix

package export

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile keeps a second exporter off the file, which would take back more than
// what it has written itself. The lock goes with the file. A file system that has no locks
// is no obstacle.
func lockFile(f diskFile, path string) error {
	fd, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return nil
	}
	err := syscall.Flock(int(fd.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("cannot export to %s: another exporter writes to it", path)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
