package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"time"
)

// load asks an HTTP service the same thing over and over, from a process of its own.
// It reads just as much of an answer as it takes to know that it is whole and the
// one expected, since the processors are those of the service, too.
type load struct {
	Address     string // host:port
	Path        string
	Connections int           // each has one request under way
	Warm, Lasts time.Duration // before it measures, and while it does
}

// loaded is what came of it.
type loaded struct {
	All      int // requests answered, warm-up and end included
	Measured int // those answered while it measured
	Seconds  float64
	P50, P99 time.Duration
	CPU      time.Duration // what the load itself took of the processors, all in all
}

// run starts the process and waits for it. It calls begin and end where the measuring
// begins and ends.
func (l load) run(begin, end func()) (*loaded, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	order, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-role=load")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(order), os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(stdout)
	_, err = lines.ReadBytes('\n')
	begin()
	if err == nil {
		_, err = lines.ReadBytes('\n')
	}
	end()
	result := new(loaded)
	if err == nil {
		err = json.NewDecoder(lines).Decode(result)
	}
	return result, errors.Join(err, cmd.Wait())
}

// loadRole is the process. It has one processor: its goroutines hardly do more than
// wait.
func loadRole() error {
	runtime.GOMAXPROCS(1)
	var l load
	if err := json.NewDecoder(os.Stdin).Decode(&l); err != nil {
		return err
	}
	began := time.Now()
	from, until := began.Add(l.Warm), began.Add(l.Warm+l.Lasts)
	took := make([][]time.Duration, l.Connections)
	all := make([]int, l.Connections)
	errs := make([]error, l.Connections)
	var wg sync.WaitGroup
	for i := range l.Connections {
		wg.Go(func() { all[i], took[i], errs[i] = l.ask(from, until) })
	}
	time.Sleep(time.Until(from))
	fmt.Println("begin")
	time.Sleep(time.Until(until))
	fmt.Println("end")
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	measured := slices.Concat(took...)
	if len(measured) == 0 {
		return errors.New("no request was answered")
	}
	slices.Sort(measured)
	result := loaded{
		Measured: len(measured),
		Seconds:  l.Lasts.Seconds(),
		P50:      measured[len(measured)/2],
		P99:      measured[len(measured)*99/100],
	}
	for _, n := range all {
		result.All += n
	}
	user, system := cpuTime()
	result.CPU = time.Duration(user + system)
	return json.NewEncoder(os.Stdout).Encode(result)
}

// ask uses one connection, and returns how many requests were answered, and how long
// each of those that were answered between from and until took.
func (l *load) ask(from, until time.Time) (all int, took []time.Duration, err error) {
	conn, err := net.Dial("tcp", l.Address)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	request := []byte("GET " + l.Path + " HTTP/1.1\r\nHost: users.svc\r\nUser-Agent: load/1\r\nAccept: */*\r\n\r\n")
	answer := make([]byte, 4096)
	length := 0 // of an answer; all have the same
	for start := time.Now(); start.Before(until); {
		if _, err := conn.Write(request); err != nil {
			return all, nil, err
		}
		n := 0
		if length == 0 {
			n, err = readAnswer(conn, answer)
			length = n
		} else {
			n, err = io.ReadAtLeast(conn, answer, length)
		}
		if err != nil {
			return all, nil, err
		}
		if n != length || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
			return all, nil, fmt.Errorf("unexpected answer %q", answer[:n])
		}
		now := time.Now()
		all++
		if now.After(from) && now.Before(until) {
			took = append(took, now.Sub(start))
		}
		start = now
	}
	return all, took, nil
}

// readAnswer reads one answer with a Content-Length into b, and returns its length.
func readAnswer(r io.Reader, b []byte) (int, error) {
	for n := 0; n < len(b); {
		more, err := r.Read(b[n:])
		if err != nil {
			return n, err
		}
		n += more
		head, body, whole := bytes.Cut(b[:n], []byte("\r\n\r\n"))
		if !whole {
			continue
		}
		_, after, _ := bytes.Cut(head, []byte("\r\nContent-Length: "))
		var length int
		if _, err := fmt.Sscan(string(after), &length); err != nil {
			return n, fmt.Errorf("cannot read the length of the answer %q: %w", b[:n], err)
		}
		if len(body) >= length {
			return n, nil
		}
	}
	return len(b), fmt.Errorf("the answer is longer than %d bytes", len(b))
}
