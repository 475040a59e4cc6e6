package seglog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTwoProcesses runs the test binary again to hold the lock.
func TestTwoProcesses(t *testing.T) {
	if dir := os.Getenv("SEGLOG_TEST_HOLD"); dir != "" {
		l, err := Open(dir, Options{Logger: quiet()})
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		if _, err := l.Append(context.Background(), []byte("of another process"), 1); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println("holds")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it is killed
		os.Exit(1)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$")
	cmd.Env = append(os.Environ(), "SEGLOG_TEST_HOLD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, second := Open(dir, Options{Logger: quiet()})
	look, lookErr := Verify(dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if line != "holds\n" {
		t.Fatalf("the other process says %q", line)
	}
	if !errors.Is(second, ErrLocked) || !strings.Contains(second.Error(), fmt.Sprint(cmd.Process.Pid)) {
		t.Errorf("second process: %v; want ErrLocked and pid %d", second, cmd.Process.Pid)
	}
	if lookErr != nil || len(look.Damage) > 0 || look.Count != 1 {
		t.Errorf("beside it: %+v, %v", look, lookErr)
	}
	l, err := Open(dir, Options{Logger: quiet()})
	if err != nil {
		t.Fatalf("when it was killed: %v", err)
	}
	defer l.Close()
	r := mustRead(t, mustCursor(t, l, "c"), Want{})
	if got := bodies(r); !slices.Equal(got, []string{"of another process"}) {
		t.Errorf("read %q", got)
	}
	r.Release()
}
