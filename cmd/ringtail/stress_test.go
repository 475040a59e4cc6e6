package main

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestStressExactCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans")
	stdout, stderr, code := execute(t, "stress", "--producers", "3", "--spans", "10001", "--duration", "0", "--ring-bits", "6", "--export", "json="+path)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if n := spansInFile(t, path); n != 10001 || ledgerEntry(t, stdout, "submitted") != n || ledgerEntry(t, stdout, "exported") != n {
		t.Errorf("%d spans in the file:\n%s", n, stdout)
	}
	for _, want := range []string{"3 producers × 5 attributes", "spans/s", "p50", "p99.9", "mean of 64 submits", "in rings"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
}

// Ctrl-C ends the load, and every span that was submitted arrives.
func TestStressInterrupted(t *testing.T) {
	for _, extra := range [][]string{nil, {"--rate", "20000"}, {"--ring-bits", "6"}, {"--try", "--ring-bits", "6"}} {
		t.Run(strings.Join(extra, " "), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "spans")
			p := launch(t, append([]string{"stress", "--duration", "1h", "--producers", "2", "--attributes", "2", "--export", "json=" + path}, extra...)...)
			// It is under way when something is in the file.
			for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
				if fi, err := os.Stat(path); err == nil && fi.Size() > 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("nothing is written")
				}
			}
			p.signal(os.Interrupt)
			p.signal(os.Interrupt) // the same one, as far as people are concerned
			if code := p.end(); code != exitOK {
				t.Errorf("exit code %d: %s", code, p.errors())
			}
			out := p.stdout.String()
			n := spansInFile(t, path)
			if n == 0 || n != ledgerEntry(t, out, "exported") || n != ledgerEntry(t, out, "submitted")-ledgerEntry(t, out, "dropped") {
				t.Errorf("%d spans in the file:\n%s", n, out)
			}
			if !slices.Contains(extra, "--try") && ledgerEntry(t, out, "dropped") != 0 {
				t.Errorf("spans were dropped:\n%s", out)
			}
			if !strings.Contains(out, "✓ every span") {
				t.Errorf("the ledger finds fault:\n%s", out)
			}
			if !strings.Contains(out, "ended by Ctrl-C") {
				t.Error("it does not say why it ended")
			}
		})
	}
}

// A backend that takes connections and never answers.
func hungBackend(t *testing.T) (addr string, connected <-chan bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := make(chan bool, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			c <- true
		}
	}()
	return l.Addr().String(), c
}

// A second Ctrl-C leaves a backend alone that does not answer, and says what is lost.
func TestStressForced(t *testing.T) {
	addr, connected := hungBackend(t)
	p := launch(t, "stress", "--duration", "1h", "--rate", "2000", "--shutdown-timeout", "1h", "--export", "otlp-grpc="+addr)
	<-connected
	p.signal(os.Interrupt)
	time.Sleep(sameSignal + 100*time.Millisecond) // people are slower than programs
	p.signal(os.Interrupt)
	if code := p.end(); code != exitLost {
		t.Errorf("exit code %d", code)
	}
	out := p.stdout.String()
	lost := ledgerEntry(t, out, "dropped")
	if lost == 0 || lost != ledgerEntry(t, out, "submitted") || !strings.Contains(out, "shutdown") {
		t.Errorf("the ledger:\n%s", out)
	}
	if !strings.Contains(p.errors(), count(lost)+" spans did not arrive") {
		t.Errorf("it does not say what was lost:\n%s", p.errors())
	}
}

// As many spans as the rate and the time make, however few: never more, and less by a
// block at most.
func TestStressKeepsToTheRate(t *testing.T) {
	for _, test := range []struct {
		rate        float64
		want, block int // spans in 5 s
	}{{0.5, 2, 1}, {10, 50, 1}, {64, 320, 3}, {1000, 5000, 50}, {50_000, 250_000, 64}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			pace, block, n := newPacer(test.rate), blockSize(test.rate), 0
			for pace.wait(ctx, block); ctx.Err() == nil; pace.wait(ctx, block) {
				n += block
			}
			if block != test.block || n < test.want-block || n > test.want {
				t.Errorf("%v a second: %d in 5 s, want %d; in blocks of %d, want %d", test.rate, n, test.want, block, test.block)
			}
		})
	}
}

// A number of spans takes as long as it takes, unless there is a time as well.
func TestStressSpansWithoutDuration(t *testing.T) {
	flags := newStress().Flags()
	s := stress{spans: 1, duration: time.Second}
	if s.limit(flags); s.duration != 0 {
		t.Errorf("ends after %v", s.duration)
	}
	if err := flags.Set("duration", "1s"); err != nil {
		t.Fatal(err)
	}
	s.duration = time.Second
	if s.limit(flags); s.duration != time.Second {
		t.Errorf("ends after %v", s.duration)
	}
}

func TestStressReportsProgressWithoutATerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a line that comes every five seconds")
	}
	p := launch(t, "stress", "--duration", "1h", "--rate", "1000")
	p.await(`spans/s  exported \S+( k)?  dropped 0  in flight \d`)
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// The histogram's quantiles against those of the sorted values.
func TestHistogram(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var h, part histogram
	var values []float64
	for i := range 20_000 {
		d := time.Duration(rng.ExpFloat64() * 1e4)
		values = append(values, float64(d))
		if i%2 == 0 {
			h.record(d, 1)
		} else {
			part.record(d, 1)
		}
	}
	h.add(&part)
	slices.Sort(values)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999} {
		want := values[int(q*float64(len(values)))]
		if got := h.quantile(q); got < want || got > want*17/16+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.quantile(1) != values[len(values)-1] {
		t.Errorf("the maximum is %v", h.quantile(1))
	}
	for ns := uint64(0); ns < 1<<20; ns += 1 + ns/100 {
		if b := bucket(ns); upper(b) <= float64(ns) || b > 0 && upper(b-1) > float64(ns) {
			t.Fatalf("%d is in bucket %d, which ends at %v", ns, b, upper(b))
		}
	}
	if bucket(1<<64-1) >= len(h.buckets) {
		t.Error("the largest value has no bucket")
	}
	if !regexp.MustCompile(`^p50 .* · max .*$`).MatchString(h.String()) {
		t.Error(h.String())
	}
}

func TestFigures(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1 000"}, {count(uint64(1234567)), "1 234 567"}, {count(-1234), "-1 234"}, {count(-123), "-123"},
		{brief(0), "0"}, {brief(999), "999"}, {brief(1234), "1.23 k"}, {brief(999_600), "1 M"}, {brief(2.5e9), "2.5 G"},
		{size(1 << 20), "1 MiB"}, {size(3 << 29), "1.5 GiB"}, {size(2048), "2 KiB"},
		{plural(1, "span"), "1 span"}, {plural(2000, "span"), "2 000 spans"},
		{nanos(83.4), "83ns"}, {nanos(1234), "1.2µs"}, {nanos(57_123_456), "57ms"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestByteSize(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "1024": 1024, "1KiB": 1 << 10, "64MiB": 64 << 20, "2GiB": 2 << 30} {
		var b byteSize
		if err := b.Set(in); err != nil || int64(b) != want {
			t.Errorf("%q is %d, %v", in, b, err)
		}
		var again byteSize
		if again.Set(b.String()); again != b {
			t.Errorf("%q is printed as %q", in, b.String())
		}
	}
	for _, in := range []string{"", "x", "-1", "1.5MiB", "99999999999GiB", "MiB"} {
		if new(byteSize).Set(in) == nil {
			t.Errorf("%q is taken", in)
		}
	}
}
