//go:build linux

package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ringtail-otel/ringtail/internal/load"
)

// onOwnDisk runs the test again in a mount namespace of its own, as root there, and says
// whether this is that run. It skips the test where the kernel does not allow it.
func onOwnDisk(t *testing.T) bool {
	t.Helper()
	if os.Getenv(programEnv) != "" {
		return true
	}
	// Every test has a name of its own here: subtests are not used.
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), programEnv+"="+program)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	switch text := string(out); {
	case err != nil && !errors.As(err, &failed):
		t.Skipf("the kernel gives no namespace to mount a disk in: %v", err)
	case strings.Contains(text, "--- SKIP"):
		t.Skip(text)
	case err != nil || !strings.Contains(text, "--- PASS: "+t.Name()):
		t.Errorf("%v\n%s", err, text)
	default:
		t.Log(text)
	}
	return false
}

// mount mounts a disk of that size at a directory.
func mount(t *testing.T, size string) string {
	t.Helper()
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Skip("cannot make mounts private: ", err)
	}
	dir := t.TempDir()
	if err := syscall.Mount("ringtail", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("cannot mount a tmpfs: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill writes a file until the disk has no more than so many bytes left.
func fill(t *testing.T, path string, leave uint64) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, free(t, filepath.Dir(path))-leave), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDiskFull fills the disk under the log, first with a file of somebody else's, then with
// the log itself. Clients are told to come back, and can as soon as there is room.
func TestDiskFull(t *testing.T) {
	if !onOwnDisk(t) {
		return
	}
	dir, acked := mount(t, "6m"), filepath.Join(t.TempDir(), "acked")
	s := receive(t, "--acked", acked)
	way := newGate(t)
	d := serve(t, plan{dir: dir, logBytes: 8 << 20, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(way.addr)}})
	const full = "the log's disk fails.*no space left on device"

	filler := filepath.Join(dir, "filler")
	fill(t, filler, 1<<20)
	first := sendTo(t, d.plan.grpc, "--acked", acked, "--spans", "8000")
	d.await(full)
	refused(t, d, acked)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	taken := first.report()

	// 14 MB, through a disk of 6 MB.
	second := sendTo(t, d.plan.grpc, "--acked", acked, "--spans", "30000")
	eventually(t, "the log has filled the disk", func() bool { return free(t, dir) < 64<<10 })
	refused(t, d, acked)
	way.open(s.grpc)
	taken2 := second.report()
	for _, r := range []load.Report{taken, taken2} {
		if r.Acknowledged != r.Sent || r.FinalRefusals != 0 {
			t.Errorf("%d of %d spans acknowledged, %d requests refused for good: %s", r.Acknowledged, r.Sent, r.FinalRefusals, r.LastError)
		}
	}
	d.await("the log takes frames again")
	delivered(t, d)
	for _, run := range s.finish().Runs {
		if *run.Lost != 0 {
			t.Errorf("%d of %d spans acknowledged are lost: %v", *run.Lost, *run.Acked, run.LostRanges)
		}
	}
}

// free returns how many bytes a disk has left.
func free(t *testing.T, dir string) uint64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Bavail * uint64(st.Bsize)
}

// refused sends a little while the log is full: each request is taken, or refused so that the
// client comes back.
func refused(t *testing.T, d *daemon, acked string) load.Report {
	t.Helper()
	r := sendTo(t, d.plan.grpc, "--no-retry", "--spans", "500", "--acked", acked).report()
	if r.RefusedRetryable == 0 || r.Acknowledged+r.RefusedRetryable != r.Sent {
		t.Errorf("while the disk was full, of %d spans %d were acknowledged, %d refused for the moment: %v %s", r.Sent, r.Acknowledged, r.RefusedRetryable, r.Errors, r.LastError)
	}
	return r
}

// TestReadOnlyDirectory makes the directory read-only under a daemon that runs, until it needs
// another segment. It goes on when it may write again.
func TestReadOnlyDirectory(t *testing.T) {
	if !onOwnDisk(t) {
		return
	}
	dir, acked := mount(t, "32m"), filepath.Join(t.TempDir(), "acked")
	s := receive(t, "--acked", acked)
	d := serve(t, plan{dir: dir, logBytes: 8 << 20, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(s.grpc)}})
	send(t, d.plan.grpc, "--acked", acked, "--spans", "200")
	logDir := d.plan.logDir()
	readOnly(t, logDir)
	client := sendTo(t, d.plan.grpc, "--acked", acked, "--spans", "5000")
	d.await("the log's disk fails.*read-only file system")
	refused(t, d, acked)
	if err := syscall.Unmount(logDir, syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if r := client.report(); r.Acknowledged != r.Sent {
		t.Errorf("%d of %d spans acknowledged: %s", r.Acknowledged, r.Sent, r.LastError)
	}
	delivered(t, d)
	if r := s.finish(); r.Lost() != 0 || r.Seen() < 5200 {
		t.Errorf("%d spans came, %d are lost", r.Seen(), r.Lost())
	}

	readOnly(t, logDir)
	p := d.plan
	next := launch(t, p.args(t)...)
	if code, text := next.end(), next.stderr.String(); code != 1 || !strings.Contains(text, logDir) || !strings.Contains(text, "read-only file system") {
		t.Errorf("a start on a read-only directory: exit code %d: %s", code, text)
	}
}

// readOnly lays a read-only view of a directory over it: files that are open stay writable.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	err := syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
	if err == nil {
		err = syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// TestStartOnFullDisk kills the daemon and fills the disk to its last byte before the next start, with
// the beginning of a frame at the log's end that was being written. What is in the log is
// delivered all the same, and there is room again.
func TestStartOnFullDisk(t *testing.T) {
	if !onOwnDisk(t) {
		return
	}
	dir, acked := mount(t, "8m"), filepath.Join(t.TempDir(), "acked")
	s := receive(t, "--acked", acked)
	way := newGate(t)
	d := serve(t, plan{dir: dir, logBytes: 4 << 20, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(way.addr)}})
	send(t, d.plan.grpc, "--acked", acked, "--spans", "4000")
	d.kill()
	segments, err := filepath.Glob(filepath.Join(d.plan.logDir(), "*.seg"))
	if err != nil || len(segments) < 2 {
		t.Fatal(err, segments)
	}
	change(t, segments[len(segments)-1], func(b []byte) []byte { return append(b, b[segmentHeader:segmentHeader+20000]...) })
	fill(t, filepath.Join(dir, "filler"), 0)
	d = d.again()
	way.open(s.grpc)
	send(t, d.plan.grpc, "--acked", acked, "--spans", "2000")
	delivered(t, d)
	if r := s.finish(); r.Lost() != 0 || r.Seen() < 6000 {
		t.Errorf("%d spans came, %d are lost", r.Seen(), r.Lost())
	}
}
