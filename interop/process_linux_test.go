package interop

import "syscall"

// dieWithTest has a process killed when the test's process ends in a way that runs no
// cleanup, as it does when it takes longer than go test's -timeout.
var dieWithTest = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
