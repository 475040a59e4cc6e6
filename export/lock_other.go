//go:build !unix || solaris || aix

package export

// lockFile does nothing where there is no flock.
func lockFile(diskFile, string) error { return nil }

// syncDir does nothing where directories cannot be synced, or need not be.
func syncDir(string) error { return nil }
