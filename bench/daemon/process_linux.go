package main

import (
	"fmt"
	"syscall"
)

// dieWithParent has a process killed when this one ends in a way that runs no cleanup.
var dieWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

// fileSystem names what a directory is on: a log in memory that is called a disk would make
// syncing free.
func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	names := map[int64]string{0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: "tmpfs (memory!)", 0x794C7630: "overlayfs", 0x2FC12FC1: "zfs"}
	if name := names[int64(s.Type)]; name != "" {
		return name
	}
	return fmt.Sprintf("file system %#x", s.Type)
}

// freeBytes is how much room there is in a directory.
func freeBytes(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
