//go:build linux

package faults

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what should come soon. It only ends tests that
// have failed.
const patience = time.Minute

// A process is the program, running. Its methods belong to the goroutine of the test.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr transcript
	ended          chan struct{}
}

// launch starts the program. It is killed when the test ends, also when the test binary is.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	return begin(t, exec.Command(program, args...))
}

func begin(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	noteSources()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if strings.Contains(p.stderr.String(), "DATA RACE") {
			t.Errorf("the program has a data race")
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(cmd.Args[1:], " "), tail(p.stderr.String()))
		}
	})
	return p
}

// tail is the end of a text that may be long.
func tail(s string) string {
	const most = 4 << 10
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}

// await returns the last submatch of the first match in standard error, or the match itself.
func (p *process) await(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	timeout := time.After(patience)
	for {
		text, grown := p.stderr.get()
		if m := re.FindStringSubmatch(text); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-grown:
		case <-p.ended:
			if text := p.stderr.String(); !re.MatchString(text) {
				p.t.Fatalf("the program ended and did not say %q:\n%s", pattern, tail(text))
			}
		case <-timeout:
			p.t.Fatalf("the program did not say %q:\n%s", pattern, tail(text))
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("cannot send %v: %v", s, err)
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// end waits for the end, and returns the exit code.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.signal(syscall.SIGQUIT)
		<-p.ended
		p.t.Fatalf("the program does not end:\n%s", tail(p.stderr.String()))
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop asks the process to end, and returns the exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.end()
}

// A transcript is what a process has said so far.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed when it grows; nil: nobody waits
}

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grown != nil {
		close(s.grown)
		s.grown = nil
	}
	return s.text.Write(b)
}

// get returns the text, and a channel that is closed when there is more.
func (s *transcript) get() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grown == nil {
		s.grown = make(chan struct{})
	}
	return s.text.String(), s.grown
}

func (s *transcript) String() string {
	text, _ := s.get()
	return text
}

// happens waits until a channel is closed.
func happens(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// eventually waits until a condition holds that nobody announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
