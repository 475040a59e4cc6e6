// Command ringtail shows, stresses and serves the span collector.
//
// Here are flags, signals and wiring, and what is printed; the work is done by the
// packages that it wires. Files: root.go, the command and its exit codes; one file
// each for demo.go, stress.go and serve.go; export.go, the flags that say where
// spans go; shop.go, the program that the demo instruments; ledger.go and
// terminal.go, how things are printed.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
