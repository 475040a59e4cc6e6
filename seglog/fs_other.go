//go:build !windows && (!unix || solaris || aix)

package seglog

import "os"

// lockFile locks nothing where there is no flock.
func lockFile(name string) (f *os.File, locked bool, err error) {
	f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	return f, false, err
}

func syncDir(string) error { return nil }

func removed(*os.File) bool { return false }

func outOfSpace(error) bool { return false }

func unreadable(error) bool { return false }

// lockDir does nothing: a lock file that is open cannot be removed, or there are no locks.
func lockDir(string) (f *os.File, locked bool, err error) { return nil, false, nil }
