package unary

import (
	"sync"

	"golang.org/x/net/http2"
)

// Call is one call, from its header to its answer.
//
// It belongs to the goroutine that reads the connection until that calls Body.End, and then
// to the one call of Reply. Meanwhile it is in conn.waiting, and under conn.mu: the clock may
// answer it and the client reset it, which is noted. Whom it belongs to gives it back to the
// pool, as the last thing, when nothing of the connection refers to it any more.
type Call struct {
	conn *conn
	id   uint32 // of its stream
	body Body

	began   uint64 // ticks: when its header came; once it is handed over, when that was
	unacked int    // what the client has sent and was not told that it may send again
	touched bool   // it has bytes in the read buffer
	ended   bool   // the client sends no more of it

	answered bool // or not to be; guarded by conn.mu
	reset    bool // nobody waits for the answer; guarded by conn.mu

	next, prev *Call
}

var calls = sync.Pool{New: func() any { return new(Call) }}

func (call *Call) recycle() {
	*call = Call{}
	calls.Put(call)
}

// Reply answers a call that was handed over by End: with success if status is nil, and that
// is an empty message. It may be called by any goroutine, once; it does not wait for
// the network. The call is not to be touched afterwards. It is false when that was too late, and
// the client has the answer of Config.Unanswered.
func (call *Call) Reply(status *Status) (inTime bool) {
	c := call.conn
	c.mu.Lock()
	if inTime = !call.answered; inTime {
		c.answer(call, status)
		c.flushSoon()
	}
	c.mu.Unlock()
	call.recycle()
	return inTime
}

// call begins a call, or ends the content of one with what comes behind it.
func (c *conn) call(id uint32, block []byte) error {
	h := &c.header
	if err := h.decode(block); err != nil {
		return &mistake{http2.ErrCodeCompression, err.Error()}
	}
	if id <= c.last {
		call := c.calls[id]
		switch {
		case call == nil: // it was refused before it had come
		case !h.last:
			return &mistake{http2.ErrCodeProtocol, "a second header that does not end the stream"}
		default:
			c.hand(call)
		}
		return nil
	}
	c.last = id
	c.mu.Lock()
	refused := c.gone
	if !refused {
		c.opened = id
		if refused = c.open >= c.server.cfg.MaxCalls; refused {
			c.out = appendReset(c.room(), id, http2.ErrCodeRefusedStream) // not even looked at
		} else {
			c.open++
		}
	}
	c.mu.Unlock()
	if refused {
		return nil
	}
	call := calls.Get().(*Call)
	call.conn, call.id, call.ended, call.began = c, id, h.last, c.server.tick.Load()
	status := h.problem()
	if status == nil {
		call.body, status = c.server.cfg.Handler.Begin(call, h.Header)
	}
	if status != nil {
		c.refuse(call, status)
		return nil
	}
	c.calls[id] = call
	c.receiving.add(call)
	if call.ended {
		c.hand(call)
	}
	return nil
}

// problem says what makes a header no header of a call.
func (h *header) problem() *Status {
	switch {
	case h.size > MaxHeader:
		return statusLargeHeader
	case h.method != "POST":
		return statusMethod
	case !h.grpc():
		return statusType
	}
	return nil
}

// forget takes a call from those that are coming.
func (c *conn) forget(call *Call) {
	delete(c.calls, call.id)
	c.receiving.remove(call)
	if c.current == call {
		c.current = nil
	}
	if c.frame.call == call {
		c.frame.call = nil
	}
	if call.touched {
		call.touched = false
		for i := len(c.touched) - 1; i >= 0; i-- {
			if c.touched[i] == call {
				n := len(c.touched) - 1
				c.touched[i], c.touched[n] = c.touched[n], nil
				c.touched = c.touched[:n]
				break
			}
		}
	}
}

// hand hands a call over.
func (c *conn) hand(call *Call) {
	c.forget(call)
	call.began = c.server.tick.Load()
	body := call.body
	c.mu.Lock()
	c.waiting.add(call)
	c.mu.Unlock()
	body.End()
}

// refuse answers a call that has not come, or not all of it.
func (c *conn) refuse(call *Call, status *Status) {
	if call.body != nil {
		c.forget(call)
	}
	c.mu.Lock()
	c.out = status.append(c.room(), call.id)
	if !call.ended { // what else comes of it is not welcome (RFC 9113, section 8.1)
		c.out = appendReset(c.out, call.id, http2.ErrCodeNo)
	}
	c.closed()
	c.mu.Unlock()
	call.recycle()
}

// queue is a list of calls, in the order in which they were added.
type queue struct{ first, last *Call }

func (q *queue) add(call *Call) {
	call.prev, call.next = q.last, nil
	if q.last == nil {
		q.first = call
	} else {
		q.last.next = call
	}
	q.last = call
}

func (q *queue) remove(call *Call) {
	if call.prev == nil {
		q.first = call.next
	} else {
		call.prev.next = call.next
	}
	if call.next == nil {
		q.last = call.prev
	} else {
		call.next.prev = call.prev
	}
	call.next, call.prev = nil, nil
}
