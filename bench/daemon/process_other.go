//go:build !linux

package main

import "syscall"

var dieWithParent *syscall.SysProcAttr

func fileSystem(string) string { return "unknown" }

func freeBytes(string) int64 { return 0 }
