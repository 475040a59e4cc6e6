//go:build !linux

package interop

import "syscall"

// dieWithTest is for Linux alone: elsewhere a system has no such thing.
var dieWithTest *syscall.SysProcAttr
