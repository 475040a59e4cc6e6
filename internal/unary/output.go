package unary

import (
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
)

const (
	defaultWindow = 1<<16 - 1 // (RFC 9113, section 6.9.2)
	maxWindow     = 1<<31 - 1
	emptyMessage  = 5 // bytes: not compressed, length 0
)

// output is what a connection sends. All of it is guarded by conn.mu.
type output struct {
	wire    net.Conn    // nil: no handshake yet; set once, so that who has seen out may use it
	hello   bool        // the client was greeted
	out     []byte      // to be sent
	buffer  *[]byte     // where out was taken from
	much    atomic.Bool // out is longer than maxOutput
	corked  bool        // who reads will send it
	soon    bool        // a goroutine is about to send it
	writing bool        // somebody sends
	broken  bool        // nobody needs it any more

	flushing sync.WaitGroup // goroutines; none is added once it is broken

	open    int    // calls that are not answered, or not even there
	waiting queue  // calls that were handed over, by when that was
	opened  uint32 // the last call that was begun

	sendWindow  int64            // content that the client takes
	callWindow  int64            // the same, of one call
	callWindows map[uint32]int64 // what was added to it for calls in held, as long as it is too small
	held        []uint32         // calls that are answered when the client takes it

	draining uint64 // ticks: when the client was told not to begin calls; 0: it was not
	gone     bool   // what it begins is not looked at
	done     bool   // nothing is to be done any more

	stuck     uint64 // ticks: when the write under way began; 0: none is
	idleSince uint64 // ticks: when open became 0
	pinged    bool   // the client was asked for a sign of life
}

// outputs are what is sent from. Only connections that are about to send have one.
var outputs = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// room returns where to append what is to be sent.
func (c *conn) room() []byte {
	if c.out == nil {
		c.buffer = outputs.Get().(*[]byte)
		c.out = (*c.buffer)[:0]
	} else if len(c.out) > maxOutput {
		c.much.Store(true)
	}
	return c.out
}

func (c *conn) cork(on bool) {
	c.mu.Lock()
	c.corked = on
	c.mu.Unlock()
}

// greet sends what the client must know first. The client greets first: one that speaks HTTP/1
// would not understand. (RFC 9113, section 3.4.)
func (c *conn) greet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hello = true
	settings := []http2.Setting{
		{ID: http2.SettingMaxConcurrentStreams, Val: uint32(c.server.cfg.MaxCalls)},
		{ID: http2.SettingInitialWindowSize, Val: Window},
		{ID: http2.SettingMaxFrameSize, Val: maxFrame},
		{ID: http2.SettingMaxHeaderListSize, Val: MaxHeader},
	}
	out := appendFrame(c.room(), 6*len(settings), http2.FrameSettings, 0, 0)
	for _, s := range settings {
		out = binary.BigEndian.AppendUint16(out, uint16(s.ID))
		out = binary.BigEndian.AppendUint32(out, s.Val)
	}
	c.out = appendWindowUpdate(out, 0, connWindow-defaultWindow)
}

// grant lets the client send more.
func (c *conn) grant(stream uint32, n int) {
	c.mu.Lock()
	c.out = appendWindowUpdate(c.room(), stream, n)
	c.mu.Unlock()
}

// answer answers a call that was handed over, at once or as soon as the client takes it.
func (c *conn) answer(call *Call, status *Status) {
	call.answered = true
	c.waiting.remove(call)
	switch {
	case call.reset:
		c.closed()
	case status != nil:
		c.out = status.append(c.room(), call.id)
		c.closed()
	case c.sendWindow < emptyMessage || c.callWindow < emptyMessage || len(c.held) > 0:
		c.held = append(c.held, call.id)
		c.release()
	default:
		c.succeed(call.id)
	}
}

func (c *conn) succeed(id uint32) {
	c.sendWindow -= emptyMessage
	c.out = appendSuccess(c.room(), id)
	c.closed()
}

// release answers the calls that the client takes the answers of now.
func (c *conn) release() {
	for i := 0; i < len(c.held) && c.sendWindow >= emptyMessage; {
		id := c.held[i]
		if c.callWindow+c.callWindows[id] < emptyMessage {
			i++
			continue
		}
		c.held = slices.Delete(c.held, i, i+1)
		delete(c.callWindows, id)
		c.succeed(id)
	}
}

// unwanted notes that the client does not wait for an answer any more.
func (c *conn) unwanted(id uint32) {
	if i := slices.Index(c.held, id); i >= 0 {
		c.held = slices.Delete(c.held, i, i+1)
		c.closed()
		return
	}
	for call := c.waiting.first; call != nil; call = call.next {
		if call.id == id {
			call.reset = true
			return
		}
	}
}

// moreOf notes that the client takes more of one call. That counts only if it does not take
// an empty message of each.
func (c *conn) moreOf(id uint32, n int64) {
	if c.callWindow >= emptyMessage || len(c.callWindows) >= 2*c.server.cfg.MaxCalls {
		return
	}
	if c.callWindows == nil {
		c.callWindows = map[uint32]int64{}
	}
	c.callWindows[id] += n
}

// closed counts a call that is over.
func (c *conn) closed() {
	if c.open--; c.open > 0 {
		return
	}
	c.idleSince = c.server.tick.Load()
	c.callWindows = nil
	if c.gone {
		c.finish()
	}
}

// leaving is the PING whose answer says that the client knows that we are leaving.
var leaving = [8]byte{'l', 'e', 'a', 'v', 'i', 'n', 'g'}

// drain asks the client not to begin calls any more, and ends the connection when those
// that there are have been answered. What the client began before it knew is still
// taken. (RFC 9113, section 6.8.)
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.hello:
		c.nc.Close()
	case c.draining == 0 && !c.gone:
		c.draining = c.server.tick.Load()
		c.out = appendGoAway(c.room(), maxWindow, http2.ErrCodeNo, "")
		c.out = appendPing(c.out, false, leaving)
		c.flushSoon()
	}
}

// leave takes no call that is not here.
func (c *conn) leave() {
	if c.gone {
		return
	}
	c.gone = true
	c.out = appendGoAway(c.room(), c.opened, http2.ErrCodeNo, "")
	if c.open == 0 {
		c.finish()
	}
}

// finish has who reads end the connection.
func (c *conn) finish() {
	c.done = true
	c.nc.SetReadDeadline(past)
}

// flush sends what there is to be sent, unless somebody does so already. It waits for the
// network.
func (c *conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.soon = false
	if c.writing {
		return nil
	}
	c.writing = true
	defer func() { c.writing = false }()
	for len(c.out) > 0 && !c.broken {
		out, buffer := c.out, c.buffer
		c.out, c.stuck = nil, c.server.tick.Load()
		c.much.Store(false)
		c.mu.Unlock()
		_, err := c.wire.Write(out)
		if cap(out) <= maxOutput {
			*buffer = out
			outputs.Put(buffer)
		}
		c.mu.Lock()
		c.stuck = 0
		if err != nil {
			c.broken = true
			c.nc.Close()
			return err
		}
	}
	if c.broken {
		return net.ErrClosed
	}
	return nil
}

// relieve has everything sent before a round goes on. A client that does not read meanwhile
// is held up, and has Config.Patience.
func (c *conn) relieve() error {
	c.flushing.Wait() // there are no more of them while the round is on
	return c.flush()
}

// flushSoon has somebody else flush.
func (c *conn) flushSoon() {
	if !c.corked && !c.soon && !c.writing && !c.broken && len(c.out) > 0 {
		c.soon = true
		c.flushing.Go(func() { c.flush() })
	}
}

func appendFrame(dst []byte, length int, kind http2.FrameType, flags http2.Flags, stream uint32) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags),
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendWindowUpdate(dst []byte, stream uint32, n int) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(dst, 4, http2.FrameWindowUpdate, 0, stream), uint32(n))
}

func appendReset(dst []byte, stream uint32, code http2.ErrCode) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(dst, 4, http2.FrameRSTStream, 0, stream), uint32(code))
}

func appendPing(dst []byte, answer bool, data [8]byte) []byte {
	var flags http2.Flags
	if answer {
		flags = http2.FlagPingAck
	}
	return append(appendFrame(dst, len(data), http2.FramePing, flags, 0), data[:]...)
}

func appendGoAway(dst []byte, last uint32, code http2.ErrCode, text string) []byte {
	dst = appendFrame(dst, 8+len(text), http2.FrameGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(code))
	return append(dst, text...)
}
