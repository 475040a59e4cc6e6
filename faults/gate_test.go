//go:build linux

package faults

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A gate is a network between two programs that can be cut. Shut, it takes connections and
// closes them, and those that were open. Left, it refuses them.
type gate struct {
	addr   string       // where to connect to
	listen net.Listener // belongs to the test
	wg     sync.WaitGroup

	mu    sync.Mutex
	to    string // empty: shut
	conns map[net.Conn]bool
	away  string // what to is when it is back
	cuts  int    // how often it was shut with connections open
}

// newGate returns a gate that is shut.
func newGate(t *testing.T) *gate {
	t.Helper()
	l, err := net.Listen("tcp", ownHost()+":0") // so that nobody takes the port while it is left
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: l.Addr().String(), listen: l, conns: map[net.Conn]bool{}}
	g.wg.Go(func() { g.accept(l) })
	t.Cleanup(func() {
		g.leave()
		g.shut()
		g.wg.Wait()
	})
	return g
}

// leave lets nobody listen at the gate's address, and closes what is open.
func (g *gate) leave() {
	g.listen.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away, g.to = g.to, ""
	g.cut()
}

// back is there again after leave, and open if it was.
func (g *gate) back(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	g.listen = l
	g.open(g.away)
	g.wg.Go(func() { g.accept(l) })
}

func (g *gate) open(to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = to
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = ""
	g.cut()
}

// cut closes what is open. The lock is held.
func (g *gate) cut() {
	if len(g.conns) > 0 {
		g.cuts++
	}
	for c := range g.conns {
		c.Close()
	}
}

func (g *gate) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		g.wg.Go(func() { g.pass(c) })
	}
}

func (g *gate) pass(in net.Conn) {
	defer in.Close()
	g.mu.Lock()
	to := g.to
	g.mu.Unlock()
	if to == "" {
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	g.mu.Lock()
	if g.to != to {
		g.mu.Unlock()
		return // shut meanwhile
	}
	g.conns[in], g.conns[out] = true, true
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, in)
		delete(g.conns, out)
	}()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(out, in); out.Close() })
	both.Go(func() { io.Copy(in, out); in.Close() })
	both.Wait()
}
