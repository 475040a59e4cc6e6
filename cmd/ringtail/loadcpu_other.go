//go:build !unix

package main

import (
	"os"
	"time"
)

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }

// onDemand does nothing: there is no SIGUSR1.
func onDemand(chan<- os.Signal) {}
