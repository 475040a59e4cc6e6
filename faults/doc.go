// Package faults breaks things under the real program, and counts spans.
//
// Its tests build cmd/ringtail once and run it as users do: as a daemon, with 'ringtail load'
// in front and 'ringtail sink' or a scripted backend behind. Then they kill it, damage its
// files, fill its disk, have its syncs and writes fail, set its clock back, take all connections that it
// has, refuse and hang its deliveries. Spans carry running numbers, so that every test ends with a ledger
// to the span: what was acknowledged has arrived, or is counted as lost with the reason, or is
// still in the log.
//
//	go test ./faults                                   everything, kill -9 a hundred times
//	go test ./faults -short                            kill -9 ten times
//	go test ./faults -race-program                     the program with the race detector
//	go test ./faults -run Kill -seed 7                 the rounds of an earlier run again
//	go test ./faults -run 'BackendDown$' -down 3m -v   backends that are away for minutes
//
// The tests need Linux. Those that need a disk of their own mount one in a namespace that
// nobody else sees. Those that answer the program's system calls have the kernel ask them
// (seccomp user notification, Linux 5.19), and those that set its clock know amd64 only. They are
// skipped where that is not allowed.
//
// Not covered: a disk that says that it has synced and has not; a kernel that writes part of what it was
// to sync. The file system of seglog's own tests does the second. What a sync that fails has lost is
// overwritten with zeros here.
//
// Files: main_test.go, the program; process_test.go, one that runs; daemon_test.go, the daemon
// and its ledger; traffic_test.go, load and sink; gate_test.go, a network that can be cut;
// backend_test.go, a backend that answers as it is told; watch_test.go, system calls that are
// answered by a test. The others are named for what breaks.
package faults
