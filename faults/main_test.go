//go:build linux

package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	rounds      = flag.Int("rounds", 10, "how often TestKill kills")
	seedFlag    = flag.Uint64("seed", 0, "what random choices are made from; 0: another one each time")
	raceProgram = flag.Bool("race-program", false, "build the program with the race detector")
)

// program is the path of the real program, built once.
var program string

// programEnv hands it on to a test that runs again in a namespace of its own.
const programEnv = "RINGTAIL_FAULTS_PROGRAM"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if program = os.Getenv(programEnv); program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "ringtail-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "ringtail")
	args := []string{"build", "-o", program}
	if *raceProgram {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../cmd/ringtail")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// random returns a source of choices, and prints what repeats them.
func random(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
