package collector

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// As many idle connections as the process may have files for: they hold little memory, and
// nobody else up. A connection takes two files, since both ends are here.
func TestThousandsOfIdleConnections(t *testing.T) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	n := int(min(10_000, (files.Cur-200)/2))
	if testing.Short() {
		n = min(n, 1000)
	}
	s := start(t, &sink{}, func(c *Config) { c.MaxConnections = n + 10; c.HeaderTimeout = time.Minute })
	conn := dial(t, s)
	if err := sendGRPC(conn, request(1)); err != nil {
		t.Fatal(err)
	}
	before := memoryInUse()
	for i := range n {
		if i%2 == 0 {
			idle(t, s.GRPCAddr(), "grpc")
		} else {
			idle(t, s.HTTPAddr(), "http")
		}
	}
	eventually(t, "all connections", func() bool { return s.Stats().OpenConnections == n+1 })
	each := (memoryInUse() - before) / n
	t.Logf("%d idle connections, %d bytes each, with the client's side", n, each)
	if each > 64<<10 {
		t.Errorf("an idle connection holds %d bytes", each)
	}
	for range 20 {
		if err := sendGRPC(conn, request(1)); err != nil {
			t.Error(err)
		}
		if err := send(t, s, "http", 1); err != nil {
			t.Error(err)
		}
	}
}

func memoryInUse() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}
