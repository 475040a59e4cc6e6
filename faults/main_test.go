//go:build linux

package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var (
	rounds      = flag.Int("rounds", 0, "how often TestKill kills; 0: a hundred times, and ten with -short")
	seedFlag    = flag.Uint64("seed", 0, "what random choices are made from; 0: another one each time")
	raceProgram = flag.Bool("race-program", false, "build the program with the race detector")
)

// program is the path of the real program, built once.
var program string

// programEnv hands it on to this binary when it runs again: in a namespace of its own, or to become it.
const programEnv = "RINGTAIL_FAULTS_PROGRAM"

func TestMain(m *testing.M) {
	flag.Parse()
	if *rounds == 0 {
		*rounds = 100
		if testing.Short() {
			*rounds = 10
		}
	}
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

// noteSources opens the directories that the program is made of, in the course of a test: so 'go test' knows
// that a result is of no use any more when one of their files has changed.
var noteSources = sync.OnceFunc(func() {
	filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if d.Name() == ".git" {
			return filepath.SkipDir
		}
		if f, err := os.Open(path); err == nil {
			f.Close()
		}
		return nil
	})
})

// random returns a source of choices, and prints what repeats them.
func random(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
