// Package faults breaks things under the real program, and counts spans.
//
// Its tests build cmd/ringtail once and run it as users do: as a daemon, with 'ringtail load'
// in front and 'ringtail sink' or a scripted backend behind. Then they kill it, damage its
// files, fill its disk, refuse and hang its deliveries. Spans carry running numbers, so that
// every test ends with a ledger to the span: what was acknowledged has arrived, or is counted
// as lost with the reason, or is still in the log.
//
//	go test ./faults                         a few rounds of everything
//	go test ./faults -run Kill -rounds 100   kill -9 a hundred times
//	go test ./faults -race-program           the program with the race detector
//	go test ./faults -run Kill -seed 7       the rounds of an earlier run again
//
// The tests need Linux. Those that need a disk of their own mount one in a namespace that
// nobody else sees, and are skipped where the kernel does not allow that.
//
// Files: main_test.go, the program; process_test.go, one that runs; daemon_test.go, the daemon
// and its ledger; traffic_test.go, load and sink; gate_test.go, a network that can be cut;
// backend_test.go, a backend that answers as it is told. The others are named for what breaks.
package faults
