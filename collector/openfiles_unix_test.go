//go:build unix

package collector

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Clients get half of the files that the process may have open, whatever MaxConnections says:
// the log and the exporters need the others. The limit is a process's, and so is the test.
func TestConnectionsLeaveFilesToOthers(t *testing.T) {
	const files, clients = 100, 80
	if os.Getenv("COLLECTOR_TEST_FILES") != "" {
		serveWithFewFiles(files)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestConnectionsLeaveFilesToOthers$")
	cmd.Env = append(os.Environ(), "COLLECTOR_TEST_FILES=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close() // and so it ends
	said := bufio.NewReader(out)
	addr, err := said.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, clients)
	for range clients {
		conn, err := net.Dial("tcp", strings.TrimSpace(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			_, err := conn.Read(make([]byte, 1))
			closed <- err
		}()
	}
	timeout := time.After(10 * time.Second)
	for n := range clients - files/2 {
		select {
		case err := <-closed:
			if err == nil {
				t.Error("somebody was answered who has asked nothing")
			}
		case <-timeout:
			t.Fatalf("%d of %d connections were closed, want %d", n, clients, clients-files/2)
		}
	}
	io.WriteString(in, "and now?\n")
	got, _ := said.ReadString('\n')
	if want := fmt.Sprintf("%d connections, %d refused, %d files opened\n", files/2, clients-files/2, files/4); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}

// serveWithFewFiles serves until its input ends, and tells how that went, when it is asked,
// and how many files it could open then.
func serveWithFewFiles(files int) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fail(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(files), Max: uint64(files)}))
	cfg := DefaultConfig()
	cfg.GRPCAddr, cfg.HTTPAddr = "", "127.0.0.1:0"
	s, err := New(cfg, &sink{})
	fail(err)
	go s.Serve()
	fmt.Println(s.HTTPAddr())
	in := bufio.NewReader(os.Stdin)
	in.ReadString('\n')
	opened := 0
	for range files / 4 {
		if _, err := os.Open(os.DevNull); err == nil {
			opened++
		}
	}
	st := s.Stats()
	fmt.Printf("%d connections, %d refused, %d files opened\n", st.OpenConnections, st.RefusedConnections, opened)
	in.ReadString('\n')
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	os.Exit(0)
}
