//go:build linux

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

// A watch has the kernel stop the program, unmodified, at some of its system calls, and ask the
// test what becomes of them (seccomp_unotify(2)):
//
//	test ──▶ this binary again: installs the filter, hands over its listener, becomes
//	  ▲        └──▶ the program ── system call ──▶ kernel
//	  └──────────────── what now? ───────────────────┘
type watch struct {
	calls []watched
	rule  func(*call) ruling // called by one goroutine for each process
}

// watched is a system call that the program is stopped at.
type watched struct {
	number uintptr
	first  int64 // only with this as its first argument; anyArgument: with any
}

const anyArgument = -1

// A ruling is what becomes of a call. The zero value lets the kernel carry it out.
type ruling struct {
	errno syscall.Errno // it fails with this
	done  bool          // it has returned 0, and somebody else has done what it does
}

// A call is a system call that waits for its ruling.
type call struct {
	listener int
	id       uint64
	thread   int
	number   uintptr
	args     [6]uint64
}

// launch starts the program as launch does, under watch. It skips the test where the kernel
// does not allow that.
func (w *watch) launch(t *testing.T, args ...string) *process {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), watchEnv+"="+w.encode(), programEnv+"="+program)
	cmd.ExtraFiles = []*os.File{theirs}
	p := begin(t, cmd)
	theirs.Close()
	listener, err := receiveFile(pair[0])
	syscall.Close(pair[0])
	if err != nil {
		t.Skipf("the kernel does not let a test answer system calls: %v", err)
	}
	var answering sync.WaitGroup
	answering.Go(func() { w.answer(listener) })
	t.Cleanup(func() {
		p.kill()
		answering.Wait()
	})
	return p
}

// Numbers that package syscall does not have; they are the same on all machines named below.
const (
	prSetNoNewPrivs = 38

	seccompSetModeFilter     = 1
	seccompNewListener       = 1 << 3
	seccompWaitKillable      = 1 << 5 // signals of the program's own do not interrupt a call that is being judged
	seccompUserNotif         = 0x7fc00000
	seccompAllow             = 0x7fff0000
	seccompNotifRecv         = 0xc0502100
	seccompNotifSend         = 0xc0182101
	seccompNotifIDValid      = 0x40082102
	seccompUserNotifContinue = 1
)

// machines has what a filter must know: the number of seccomp(2), and the name of the machine.
var machines = map[string]struct{ seccomp, audit uint32 }{
	"amd64": {317, 0xc000003e},
	"arm64": {277, 0xc00000b7},
}

// answer rules on calls until the process has ended.
func (w *watch) answer(listener int) {
	defer syscall.Close(listener)
	for {
		poll := struct {
			fd              int32
			events, revents int16
		}{fd: int32(listener), events: 1} // POLLIN
		_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, 0, 0, 0, 0)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0 || poll.revents&1 == 0: // hung up: nobody is under watch any more
			return
		}
		var n struct { // struct seccomp_notif
			id            uint64
			thread, flags uint32
			number        int32
			arch          uint32
			instruction   uint64
			args          [6]uint64
		}
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(listener), seccompNotifRecv, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // it was killed meanwhile
		}
		r := w.rule(&call{listener, n.id, int(n.thread), uintptr(n.number), n.args})
		resp := struct { // struct seccomp_notif_resp
			id    uint64
			value int64
			errno int32
			flags uint32
		}{id: n.id, errno: -int32(r.errno)}
		if r == (ruling{}) {
			resp.flags = seccompUserNotifContinue
		}
		// It fails when the process was killed: there is nobody to tell.
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, uintptr(listener), seccompNotifSend, uintptr(unsafe.Pointer(&resp)))
	}
}

// waits says whether the call still does: its thread's number may be somebody else's already.
func (c *call) waits() bool {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(c.listener), seccompNotifIDValid, uintptr(unsafe.Pointer(&c.id)))
	return errno == 0
}

// file is where the kernel shows the file that is the call's first argument.
func (c *call) file() string { return fmt.Sprintf("/proc/%d/fd/%d", c.thread, c.args[0]) }

// write changes the program's memory.
func (c *call) write(at uint64, b []byte) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", c.thread), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	if !c.waits() {
		return errors.New("the process has ended")
	}
	_, err = mem.WriteAt(b, int64(at))
	return err
}

// watchEnv tells the binary that it is only to become the program.
const watchEnv = "RINGTAIL_FAULTS_WATCH"

func (w *watch) encode() string {
	var all []string
	for _, c := range w.calls {
		all = append(all, fmt.Sprintf("%d %d", c.number, c.first))
	}
	return strings.Join(all, ",")
}

// init runs on the main thread, and must: the thread that installs the filter is the one that becomes
// the program.
func init() {
	calls := os.Getenv(watchEnv)
	if calls == "" {
		return
	}
	const socket = 3
	os.Unsetenv(watchEnv)
	listener, err := install(calls)
	if err != nil {
		syscall.Write(socket, []byte(err.Error()))
		os.Exit(1)
	}
	if err := syscall.Sendmsg(socket, []byte{0}, syscall.UnixRights(listener), nil, 0); err != nil {
		os.Exit(1)
	}
	syscall.CloseOnExec(socket)
	path := os.Getenv(programEnv)
	err = syscall.Exec(path, append([]string{path}, os.Args[1:]...), os.Environ())
	fmt.Fprintln(os.Stderr, "cannot become the program:", err)
	os.Exit(1)
}

// install stops this thread at these calls from now on, and returns who is asked.
func install(calls string) (listener int, err error) {
	machine, known := machines[runtime.GOARCH]
	if !known {
		return 0, errors.New("no filter is written for " + runtime.GOARCH)
	}
	const (
		load, equal, end         = 0x20, 0x15, 0x06
		atNumber, atArch, atArgs = 0, 4, 16 // of struct seccomp_data
	)
	filter := []syscall.SockFilter{
		{Code: load, K: atArch},
		{Code: equal, K: machine.audit, Jt: 1},
		{Code: end, K: seccompAllow},
	}
	for c := range strings.SplitSeq(calls, ",") {
		number, first, _ := strings.Cut(c, " ")
		n, err := strconv.ParseUint(number, 10, 32)
		f, err2 := strconv.ParseInt(first, 10, 32)
		if err := errors.Join(err, err2); err != nil {
			return 0, err
		}
		filter = append(filter, syscall.SockFilter{Code: load, K: atNumber})
		if f == anyArgument {
			filter = append(filter, syscall.SockFilter{Code: equal, K: uint32(n), Jf: 1})
		} else {
			filter = append(filter, syscall.SockFilter{Code: equal, K: uint32(n), Jf: 3},
				syscall.SockFilter{Code: load, K: atArgs}, syscall.SockFilter{Code: equal, K: uint32(f), Jf: 1})
		}
		filter = append(filter, syscall.SockFilter{Code: end, K: seccompUserNotif})
	}
	filter = append(filter, syscall.SockFilter{Code: end, K: seccompAllow})
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return 0, fmt.Errorf("prctl: %w", errno)
	}
	prog := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := syscall.RawSyscall(uintptr(machine.seccomp), seccompSetModeFilter, seccompNewListener|seccompWaitKillable, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}

// receiveFile takes the file that the other end of a socket sends, or what it says instead.
func receiveFile(socket int) (int, error) {
	text, rights := make([]byte, 1000), make([]byte, syscall.CmsgSpace(4))
	n, m, _, _, err := syscall.Recvmsg(socket, text, rights, syscall.MSG_CMSG_CLOEXEC)
	switch {
	case err != nil:
		return 0, err
	case m == 0:
		return 0, errors.New(string(text[:n]))
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:m])
	if err != nil {
		return 0, err
	}
	files, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return files[0], nil
}
