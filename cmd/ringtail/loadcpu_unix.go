//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// cpuTime is what this process has used so far, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// onDemand sends c a value for each SIGUSR1.
func onDemand(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR1) }
