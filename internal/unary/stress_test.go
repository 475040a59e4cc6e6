package unary

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// Many connections at once, whose calls are answered by other goroutines, reset, refused,
// broken off and too late. Each comes to one end, and nothing is left.
func TestManyConnections(t *testing.T) {
	leaks(t)
	random := seeded(t)
	x := newExchange()
	var answers sync.WaitGroup
	x.handed = func(r *request) bool {
		answers.Go(func() {
			if len(r.kept)%3 == 0 {
				runtime.Gosched()
			}
			r.answer()
		})
		return false
	}
	cfg := config(x)
	cfg.BodyTimeout, cfg.PingAfter, cfg.Idle, cfg.Patience = 30*time.Millisecond, 20*time.Millisecond, 40*time.Millisecond, time.Second
	s, address := start(t, cfg)
	var clients sync.WaitGroup
	for range 8 {
		mine := rand.New(rand.NewPCG(random.Uint64(), 1))
		clients.Go(func() {
			for range 15 {
				rush(t, address, mine)
			}
		})
	}
	clients.Wait()
	half := dial(t, address)
	half.open(1, "/a").data(1, false, "x")
	half.send()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	s.Shutdown(ctx)
	answers.Wait()
	x.check(t)
	t.Logf("calls: %v", x.count)
	for _, what := range []string{"end", "refused", "gone"} {
		if x.count[what] == 0 {
			t.Errorf("no call of this kind: %s", what)
		}
	}
}

// rush is a connection of a client that is in a hurry. If it is polite, it waits for the
// answers to all its calls.
func rush(t *testing.T, address string, random *rand.Rand) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	const calls = 100
	polite := random.IntN(3) > 0
	read := make(chan struct{})
	go func() {
		defer close(read)
		l, answers, left := listener{framer: newFramer(nil, conn)}, 0, false
		for answers < calls {
			line, err := l.next()
			switch {
			case err != nil:
				if polite && !left {
					t.Errorf("%v, after %d answers", err, answers)
				}
				return
			case strings.HasPrefix(line, "GOAWAY"):
				if left = true; !strings.HasSuffix(line, " NO_ERROR ") {
					t.Error(line)
				}
			case strings.Contains(line, ": "), strings.HasSuffix(line, "REFUSED_STREAM"):
				answers++
			}
		}
	}()
	w := newTalk()
	for i := range uint32(calls) {
		id := 1 + 2*i
		path := []string{"/later", "/later", "/a", "/fail", "/data", "/keep", "/refuse"}[random.IntN(7)]
		w.open(id, fmt.Sprint(path, i))
		for range random.IntN(3) {
			w.data(id, false, strings.Repeat("x", random.IntN(3000)))
		}
		if !polite && random.IntN(4) == 0 {
			w.WriteRSTStream(id, http2.ErrCodeCancel)
		} else if polite || random.IntN(4) > 0 {
			w.data(id, true, "")
		}
		if random.IntN(5) == 0 || i == calls-1 {
			for piece := range slices.Chunk(w.Bytes(), 1+random.IntN(5000)) {
				if _, err := conn.Write(piece); err != nil {
					break // it was left alone for too long
				}
			}
			w.Reset()
		}
	}
	if !polite {
		conn.Close()
	}
	<-read
}
