package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
)

// The relay is the floor: what it costs to get the same bytes from one socket to another
// through a process, without looking at them.

var relayReady = regexp.MustCompile(`relay at (\S+)\n`)

// startRelay starts this program once more, as a relay to the backend.
func startRelay(s *stage, w work, backends []string) (*target, error) {
	p, err := s.start(s.self, "-relay="+backends[0])
	if err != nil {
		return nil, err
	}
	m, err := p.await(relayReady)
	if err != nil {
		return nil, err
	}
	return &target{process: p, grpc: m[1]}, nil
}

// runRelay passes connections on until it is killed.
func runRelay(to string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "relay at %v\n", l.Addr())
	for {
		in, err := l.Accept()
		if err != nil {
			return err
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			return err
		}
		go relay(out, in)
		go relay(in, out)
	}
}

// relay copies what comes until the end, and passes the end on.
func relay(to, from net.Conn) {
	// Without the methods by which the kernel would splice the sockets: the bytes are to
	// come through user space, as they do in a collector.
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 64<<10))
	to.Close()
	from.Close()
}
