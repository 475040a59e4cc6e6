package unary

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// exchange is a handler, and counts what becomes of its calls. What a call's path contains says
// what is done with it: "refuse" by Begin, "data" or "keep" by the method, "later" answered
// when the test says so, "fail" with a status.
type exchange struct {
	mu      sync.Mutex
	open    map[*request]bool
	pending []*request          // to be answered later
	took    map[string]string   // path: bytes, of calls that ended
	count   map[string]int      // what became of calls, and "begin"
	handed  func(*request) bool // what is done with "later" calls; nil: they are pending
	wrong   []string            // broken promises
}

func newExchange() *exchange {
	return &exchange{open: map[*request]bool{}, took: map[string]string{}, count: map[string]int{}}
}

type request struct {
	x       *exchange
	call    *Call
	path    string
	kept    []byte
	arrived [][]byte
}

var (
	refused = NewStatus(8, "refused", nil)
	failed  = NewStatus(3, "failed", nil)
	late    = NewStatus(4, "late", nil)
)

func (x *exchange) Begin(call *Call, h Header) (Body, *Status) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count["begin"]++
	if strings.Contains(h.Path, "refuse") {
		x.count["refused"]++
		return nil, refused
	}
	r := &request{x: x, call: call, path: h.Path}
	x.open[r] = true
	return r, nil
}

// over notes what became of a call: one thing only.
func (r *request) over(what string) {
	r.x.count[what]++
	if !r.x.open[r] {
		r.x.wrong = append(r.x.wrong, what+" of a call that is over: "+r.path)
	}
	delete(r.x.open, r)
}

func (r *request) Data(p []byte) *Status {
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	if !r.x.open[r] || len(p) == 0 {
		r.x.wrong = append(r.x.wrong, fmt.Sprintf("%d bytes for %s", len(p), r.path))
	}
	if strings.Contains(r.path, "data") {
		r.over("refused")
		return refused
	}
	r.arrived = append(r.arrived, p)
	return nil
}

func (r *request) Keep() *Status {
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	if !r.x.open[r] || len(r.arrived) == 0 {
		r.x.wrong = append(r.x.wrong, "nothing to keep of "+r.path)
	}
	if strings.Contains(r.path, "keep") {
		r.over("refused")
		return refused
	}
	r.keep()
	return nil
}

func (r *request) keep() {
	for _, p := range r.arrived {
		r.kept = append(r.kept, p...)
	}
	r.arrived = nil
}

func (r *request) End() {
	r.x.mu.Lock()
	r.over("end")
	r.keep()
	r.x.took[r.path] += string(r.kept)
	later := strings.Contains(r.path, "later")
	if later && r.x.handed == nil {
		r.x.pending = append(r.x.pending, r)
	}
	r.x.mu.Unlock()
	if !later || r.x.handed != nil && r.x.handed(r) {
		r.answer()
	}
}

func (r *request) answer() {
	if strings.Contains(r.path, "fail") {
		r.call.Reply(failed)
	} else {
		r.call.Reply(nil)
	}
}

func (r *request) Abort(cause Cause) *Status {
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	if cause == Late {
		r.over("late")
		return late
	}
	r.over("gone")
	return nil
}

// answerAll answers the calls that are to be answered later.
func (x *exchange) answerAll() {
	x.mu.Lock()
	pending := x.pending
	x.pending = nil
	x.mu.Unlock()
	for _, r := range pending {
		r.answer()
	}
}

// check says whether all calls have come to one end each.
func (x *exchange) check(t testing.TB) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.open) > 0 {
		t.Errorf("%d calls are left", len(x.open))
	}
	if n := x.count["refused"] + x.count["end"] + x.count["gone"] + x.count["late"]; n != x.count["begin"] {
		t.Errorf("calls ended %d times: %v", n, x.count)
	}
	for _, w := range x.wrong {
		t.Error(w)
	}
}

// handler is a Begin alone.
type handler func(*Call, Header) (Body, *Status)

func (h handler) Begin(call *Call, header Header) (Body, *Status) { return h(call, header) }
