package interop

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program may take to start or to stop. It is not what is
// measured here, and so generous: a busy machine must not fail a test.
const patience = 45 * time.Second

// programs says how to build what is run here. The daemon is built in its own module,
// with the versions that its users get and not with those of this one.
var programs = map[string]func() error{
	"otelcol":      build("./otelcol"),
	"telemetrygen": build("github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen"),
	"ringtail":     build("-C", "..", "./cmd/ringtail"),
}

// programDir is where they are. TestMain makes and removes it.
var programDir string

// build returns a function that builds a package when it is first called.
func build(args ...string) func() error {
	return sync.OnceValue(func() error {
		pkg := args[len(args)-1]
		args := append([]string{"build"}, args[:len(args)-1]...)
		args = append(args, "-o", programDir+string(filepath.Separator), pkg)
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("go %q: %w\n%s", args, err, out)
		}
		return nil
	})
}

// program returns the path of a program.
func program(t *testing.T, name string) string {
	t.Helper()
	if err := programs[name](); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(programDir, name)
}

// process is a program that runs until it is stopped, at the latest with its test.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    *logText
	exited chan struct{} // closed when it has; err is set before
	err    error
}

// startProcess starts one of our programs.
func startProcess(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, name, exec.Command(program(t, name), args...))
}

func startCommand(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, log: newLogText(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = dieWithTest
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails if it has exited, as it should have
		<-p.exited
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.log)
		}
	})
	return p
}

// await waits until the process has printed something in which find finds what it
// looks for, and returns that; ok is false if the process exits before.
func (p *process) await(t *testing.T, find func(log []byte) []byte) (found []byte, ok bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		// The order matters: what a process prints, it has printed before it exits.
		exited := false
		select {
		case <-p.exited:
			exited = true
		default:
		}
		changed := p.log.changed()
		if found := find([]byte(p.log.String())); found != nil {
			return bytes.Clone(found), true
		}
		if exited {
			return nil, false
		}
		select {
		case <-changed:
		case <-p.exited:
		case <-timeout:
			t.Fatalf("%s has not said in %v that it is ready", p.name, patience)
		}
	}
}

// stop asks the process to end as an operator would, and waits for it. It has to
// exit without an error.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%s: %v", p.name, errors.Join(err, p.err))
	}
	p.wait(t)
}

func (p *process) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("%s has not stopped in %v", p.name, patience)
	}
	if p.err != nil {
		t.Fatalf("%s: %v", p.name, p.err)
	}
}

// logText is what a process has printed.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed by the next Write
}

func newLogText() *logText { return &logText{more: make(chan struct{})} }

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(b)
}

func (l *logText) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.more
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// freeAddress returns an address of this machine that nobody listens on. Its port is
// below those that systems give to connections: else one of the exporter's own
// could take it while the Collector that it belongs to is stopped.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("a hundred ports, and none is free")
	return ""
}
