package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// patience is how long a program may take to start or to stop. It is not what is measured,
// and so generous.
const patience = time.Minute

// process is a program that runs until it is stopped, at the latest with its stage.
type process struct {
	name    string
	cmd     *exec.Cmd
	stdout  text
	stderr  text
	exited  chan struct{} // closed when it has; err is set before
	err     error
	stopped bool // it was asked to end, or does so by itself
}

func startProcess(ctx context.Context, program string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(program), cmd: exec.CommandContext(ctx, program, args...), exited: make(chan struct{})}
	if len(args) > 0 && p.name == "ringtail" {
		p.name += " " + args[0]
	}
	p.stdout.more, p.stderr.more = make(chan struct{}), make(chan struct{})
	p.cmd.Env = environment()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = dieWithParent
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

func orEnded(err error) error { return cmp.Or(err, errors.New("without an error")) }

// await waits until the process has printed what the pattern matches on standard error, and
// returns its groups.
func (p *process) await(pattern *regexp.Regexp) ([]string, error) {
	timeout := time.After(patience)
	for {
		// The order matters: what a process prints, it has printed before it exits.
		exited := p.ended()
		said, more := p.stderr.read()
		if m := pattern.FindStringSubmatch(said); m != nil {
			return m, nil
		}
		if exited {
			return nil, fmt.Errorf("%s has ended before it was ready: %w\n%s", p.name, orEnded(p.err), p.stderr.tail())
		}
		select {
		case <-more:
		case <-p.exited:
		case <-timeout:
			return nil, fmt.Errorf("%s has not said in %v that it is ready\n%s", p.name, patience, p.stderr.tail())
		}
	}
}

// stop asks the process to end as an operator would. It has to end without an error.
func (p *process) stop() error {
	p.stopped = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("cannot stop %s: %w\n%s", p.name, errors.Join(err, p.err), p.stderr.tail())
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		return fmt.Errorf("%s has not stopped in %v\n%s", p.name, patience, p.stderr.tail())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", p.name, p.err, p.stderr.tail())
	}
	return nil
}

// kill ends the process at once.
func (p *process) kill() {
	p.stopped = true
	_ = p.cmd.Process.Kill() // fails if it has exited
	<-p.exited
}

// text is what a process has printed.
type text struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed by the next Write
}

func (t *text) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.more)
	t.more = make(chan struct{})
	return t.buf.Write(b)
}

func (t *text) read() (said string, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String(), t.more
}

// tail is the last of it, for error messages.
func (t *text) tail() string {
	said, _ := t.read()
	return said[max(0, len(said)-2000):]
}
