//go:build unix

package otlpgrpc

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used. Unlike the time that passes it says something on
// a machine that has other things to do.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
