package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A bed is what all runs have in common: the programs, and a directory on the disk that is
// measured.
type bed struct {
	options
	ctx context.Context
	dir string // of this run; removed at its end

	ringtail, otelcol string // programs; otelcol is empty without rivals
	self              string // this program, which is the relay too
}

func newBed(ctx context.Context, o options) (_ *bed, err error) {
	b := &bed{options: o, ctx: ctx}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp(o.dir, "ringtail-bench-"); err != nil {
		return nil, err
	}
	if err := b.build(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bed) close() { os.RemoveAll(b.dir) }

// build builds the programs, each in its own module, with the versions that its users get.
func (b *bed) build() error {
	out, err := exec.CommandContext(b.ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/ringtail-otel/ringtail").Output()
	if err != nil {
		return fmt.Errorf("cannot find Ringtail's source: %w; run it in the directory bench", err)
	}
	root := strings.TrimSpace(string(out))
	if b.ringtail, err = b.program(root, "./cmd/ringtail"); err != nil || !b.rivals {
		return err
	}
	fmt.Fprintln(os.Stderr, "building the OpenTelemetry Collector: minutes the first time, seconds afterwards")
	if b.otelcol, err = b.program(filepath.Join(root, "interop"), "./otelcol"); err != nil {
		return fmt.Errorf("%w; do without it by -rivals=false", err)
	}
	return nil
}

// program builds a package. Go's build cache keeps what takes long.
func (b *bed) program(module, pkg string) (string, error) {
	path := filepath.Join(b.dir, filepath.Base(pkg))
	cmd := exec.CommandContext(b.ctx, "go", "build", "-C", module, "-o", path, pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// pick returns how much to do.
func pick[T any](b *bed, full, quick T) T {
	if b.quick {
		return quick
	}
	return full
}

// processors is how many every process may use: the figures are for two cores, on larger
// machines too.
func processors() int { return min(2, runtime.NumCPU()) }

// environment is that of all processes: without what would configure one of them.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "OTEL_") || slices.Contains([]string{"GOGC", "GODEBUG", "GOMEMLIMIT", "GOMAXPROCS"}, name)
	})
	return append(env, "GOMAXPROCS="+strconv.Itoa(processors()))
}

// A stage is one run of a contender: its directory and its processes.
type stage struct {
	*bed
	dir       string
	processes []*process
}

// start starts a process that ends with the stage, if not before.
func (s *stage) start(program string, args ...string) (*process, error) {
	p, err := startProcess(s.ctx, program, args...)
	if err == nil {
		s.processes = append(s.processes, p)
	}
	return p, err
}

// clear kills what still runs, and removes the directory.
func (s *stage) clear() {
	for _, p := range slices.Backward(s.processes) {
		p.kill()
	}
	os.RemoveAll(s.dir)
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// dead returns an error if a process that should run has ended.
func (s *stage) dead() error {
	var errs []error
	for _, p := range s.processes {
		if p.ended() && !p.stopped {
			errs = append(errs, fmt.Errorf("%s has ended: %w\n%s", p.name, orEnded(p.err), p.stderr.tail()))
		}
	}
	return errors.Join(errs...)
}
