package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// rtrb is a contender that runs rivals/rtrb, where cargo can build it.
func rtrb(work string, numbers ...int) func(quick bool) (argv []string, missing string) {
	return func(quick bool) ([]string, string) {
		program, missing := buildRtrb()
		argv := []string{program, work}
		for _, n := range numbers {
			argv = append(argv, strconv.Itoa(n))
		}
		if quick {
			argv = append(argv, "quick")
		}
		return argv, missing
	}
}

// buildRtrb builds the program once.
var buildRtrb = sync.OnceValues(func() (program, missing string) {
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		return "", "cargo not found"
	}
	dir := filepath.Join("rivals", "rtrb")
	out, err := exec.Command(cargo, "build", "--quiet", "--release", "--locked",
		"--manifest-path", filepath.Join(dir, "Cargo.toml"), "--target-dir", filepath.Join(dir, "target")).CombinedOutput()
	if err != nil {
		return "", fmt.Sprintf("cargo could not build it: %s", strings.TrimSpace(string(out)))
	}
	return filepath.Join(dir, "target", "release", "rtrb-rival"), ""
})
