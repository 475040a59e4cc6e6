package unary

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

const frameHead = 9 // bytes: length 3, type, flags, stream 4 (RFC 9113, section 4.1)

// frame is the frame that is coming.
type frame struct {
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32
	left   int   // bytes of the payload that have not come
	pad    int   // of these, how many at the end mean nothing
	padded bool  // how many is still to come
	call   *Call // whose content it is; nil: nobody's any more
}

// feed takes the next bytes of a connection, however they are cut.
func (c *conn) feed(p []byte) error {
	if c.greeted < len(http2.ClientPreface) {
		n := min(len(http2.ClientPreface)-c.greeted, len(p))
		for _, b := range p[:n] {
			switch {
			case b == http2.ClientPreface[c.greeted]:
				c.greeted++
			case c.greeted < len("PRI") && b >= 'A' && b <= 'Z': // another method
				return errHTTP1
			default:
				return &mistake{http2.ErrCodeProtocol, "this is not HTTP/2"}
			}
		}
		p = p[n:]
		if c.greeted == len(http2.ClientPreface) {
			c.greet()
		}
	}
	for len(p) > 0 {
		if c.much.Load() { // small frames can have large answers
			if err := c.relieve(); err != nil {
				return err
			}
		}
		if c.frame.left == 0 {
			if c.have == 0 && len(p) >= frameHead {
				copy(c.head[:], p)
				p = p[frameHead:]
			} else {
				n := copy(c.head[c.have:], p)
				p = p[n:]
				if c.have += n; c.have < frameHead {
					return nil
				}
				c.have = 0
			}
			if err := c.begin(); err != nil {
				return err
			}
			if c.frame.left > 0 {
				continue
			}
			if err := c.payload(nil); err != nil { // there is none
				return err
			}
			continue
		}
		n := min(c.frame.left, len(p))
		now := p[:n]
		p = p[n:]
		c.frame.left -= n
		if c.frame.kind == http2.FrameData {
			if err := c.content(now); err != nil {
				return err
			}
			continue
		}
		if len(c.part) > 0 || c.frame.left > 0 {
			c.part = append(c.part, now...)
			if c.frame.left > 0 {
				return nil
			}
			now = c.part
		}
		err := c.payload(now)
		if c.part = c.part[:0]; cap(c.part) > 4<<10 {
			c.part = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin looks at the head of a frame.
func (c *conn) begin() error {
	f := &c.frame
	length := int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
	*f = frame{
		kind: http2.FrameType(c.head[3]), flags: http2.Flags(c.head[4]),
		stream: binary.BigEndian.Uint32(c.head[5:]) & (1<<31 - 1), left: length,
	}
	switch {
	case length > maxFrame || f.kind != http2.FrameData && length > MaxHeader:
		return &mistake{http2.ErrCodeFrameSize, "a frame is too long"}
	case !c.settled && (f.kind != http2.FrameSettings || f.flags.Has(http2.FlagSettingsAck)):
		return &mistake{http2.ErrCodeProtocol, "the first frame is not SETTINGS"}
	case (c.header.stream != 0) != (f.kind == http2.FrameContinuation) || c.header.stream != 0 && f.stream != c.header.stream:
		return &mistake{http2.ErrCodeProtocol, "a header does not go on where it should"}
	case f.kind == http2.FrameData:
		return c.beginContent(length)
	case c.settled && c.header.stream == 0:
		c.header.began = c.server.tick.Load()
	}
	return nil
}

// beginContent looks at the head of a frame with content.
func (c *conn) beginContent(length int) error {
	f := &c.frame
	if f.stream%2 == 0 || f.stream > c.last {
		return &mistake{http2.ErrCodeProtocol, "content of a stream that was not opened"}
	}
	if f.call = c.current; f.call == nil || f.call.id != f.stream {
		f.call = c.calls[f.stream]
		c.current = f.call
	}
	// Content of calls that were refused may still come for a while. It counts, too. No
	// frame is so long that it could overrun this window, since half of it is always free.
	if c.unacked += length; c.unacked >= connWindow/2 {
		c.grant(0, c.unacked)
		c.unacked = 0
	}
	if call := f.call; call != nil {
		call.ended = f.flags.Has(http2.FlagDataEndStream)
		if call.unacked += length; call.unacked > Window {
			return &mistake{http2.ErrCodeFlowControl, "the client has sent more than it may"}
		}
		if call.unacked >= Window/2 && !call.ended {
			c.grant(call.id, call.unacked)
			call.unacked = 0
		}
	}
	f.padded = f.flags.Has(http2.FlagDataPadded)
	return nil
}

// content takes bytes of a frame with content, the last ones if no others are left.
func (c *conn) content(p []byte) error {
	f := &c.frame
	if f.padded && len(p) > 0 {
		f.padded = false
		f.pad = int(p[0])
		p = p[1:]
		if f.pad > len(p)+f.left {
			return &mistake{http2.ErrCodeProtocol, "a frame is all padding, and more"}
		}
	}
	if cut := f.pad - f.left; cut > 0 { // so many of these bytes are padding
		p = p[:len(p)-min(cut, len(p))]
	}
	if f.call != nil && len(p) > 0 {
		if !f.call.touched {
			f.call.touched = true
			c.touched = append(c.touched, f.call)
		}
		if status := f.call.body.Data(p); status != nil {
			c.refuse(f.call, status) // and it is nobody's content any more
		}
	}
	if f.left == 0 && f.call != nil && f.call.ended {
		c.hand(f.call)
	}
	return nil
}

// payload takes the whole payload of a frame that is no content, or has none.
func (c *conn) payload(p []byte) error {
	f := &c.frame
	switch f.kind {
	case http2.FrameData:
		if f.padded {
			return &mistake{http2.ErrCodeFrameSize, "a frame does not say how much padding it has"}
		}
		return c.content(nil)
	case http2.FrameHeaders:
		return c.headers(p)
	case http2.FrameContinuation:
		return c.continued(p)
	case http2.FrameSettings:
		return c.settings(p)
	case http2.FramePing:
		return c.ping(p)
	case http2.FrameWindowUpdate:
		return c.windowUpdate(p)
	case http2.FrameRSTStream:
		return c.reset(p)
	case http2.FramePriority:
		switch {
		case f.stream == 0:
			return &mistake{http2.ErrCodeProtocol, "PRIORITY of no stream"}
		case len(p) != 5:
			return wrongLength(f.kind)
		}
	case http2.FramePushPromise:
		return &mistake{http2.ErrCodeProtocol, "clients do not push"}
	}
	return nil // GOAWAY: the client will close when it is done. Others are of extensions.
}

// headers takes a HEADERS frame. (RFC 9113, section 6.2.)
func (c *conn) headers(p []byte) error {
	f := &c.frame
	if f.stream%2 == 0 {
		return &mistake{http2.ErrCodeProtocol, "a header on a stream that no client can open"}
	}
	pad := 0
	if f.flags.Has(http2.FlagHeadersPadded) {
		if len(p) == 0 {
			return errShortHeader
		}
		pad = int(p[0])
		p = p[1:]
	}
	if f.flags.Has(http2.FlagHeadersPriority) {
		if len(p) < 5 {
			return errShortHeader
		}
		p = p[5:]
	}
	if pad > len(p) {
		return errShortHeader
	}
	p = p[:len(p)-pad]
	c.header.last = f.flags.Has(http2.FlagHeadersEndStream)
	if f.flags.Has(http2.FlagHeadersEndHeaders) {
		return c.call(f.stream, p)
	}
	c.header.stream, c.header.continued = f.stream, 0
	c.header.block = append(c.header.block[:0], p...)
	return nil
}

var errShortHeader = &mistake{http2.ErrCodeProtocol, "a HEADERS frame is shorter than it says"}

// continued takes a CONTINUATION frame. (RFC 9113, section 6.10.)
func (c *conn) continued(p []byte) error {
	h := &c.header
	if h.continued++; h.continued > maxContinued || len(h.block)+len(p) > MaxHeader {
		return &mistake{http2.ErrCodeEnhanceYourCalm, "a header is too large"}
	}
	h.block = append(h.block, p...)
	if !c.frame.flags.Has(http2.FlagContinuationEndHeaders) {
		return nil
	}
	h.stream = 0
	err := c.call(c.frame.stream, h.block)
	h.block = nil
	return err
}

// settings takes a SETTINGS frame. (RFC 9113, section 6.5.)
func (c *conn) settings(p []byte) error {
	f := &c.frame
	ack := f.flags.Has(http2.FlagSettingsAck)
	switch {
	case f.stream != 0:
		return &mistake{http2.ErrCodeProtocol, "SETTINGS of a stream"}
	case len(p)%6 != 0, ack && len(p) > 0:
		return wrongLength(f.kind)
	case ack:
		return nil
	}
	c.settled = true
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; len(p) > 0; p = p[6:] {
		s := http2.Setting{ID: http2.SettingID(binary.BigEndian.Uint16(p)), Val: binary.BigEndian.Uint32(p[2:])}
		if code, bad := s.Valid().(http2.ConnectionError); bad {
			return &mistake{http2.ErrCode(code), "SETTINGS with a value that may not be"}
		}
		if s.ID == http2.SettingInitialWindowSize { // else: our frames are short, and their headers not compressed
			c.callWindow = int64(s.Val)
		}
	}
	c.out = appendFrame(c.room(), 0, http2.FrameSettings, http2.FlagSettingsAck, 0)
	c.release()
	return nil
}

// ping answers a PING, or hears that ours was answered. (RFC 9113, section 6.7.)
func (c *conn) ping(p []byte) error {
	switch {
	case c.frame.stream != 0:
		return &mistake{http2.ErrCodeProtocol, "PING of a stream"}
	case len(p) != 8:
		return wrongLength(c.frame.kind)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	data := [8]byte(p)
	switch {
	case !c.frame.flags.Has(http2.FlagPingAck):
		c.out = appendPing(c.room(), true, data)
	case data == leaving:
		c.leave()
	}
	return nil
}

// windowUpdate lets us send more. (RFC 9113, section 6.9.)
func (c *conn) windowUpdate(p []byte) error {
	if len(p) != 4 {
		return wrongLength(c.frame.kind)
	}
	id, n := c.frame.stream, int64(binary.BigEndian.Uint32(p)&(1<<31-1))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case id > c.last:
		return &mistake{http2.ErrCodeProtocol, "a window of a stream that was not opened"}
	case id != 0:
		c.moreOf(id, n)
	case n == 0:
		return &mistake{http2.ErrCodeProtocol, "a window is moved by nothing"}
	case c.sendWindow+n > maxWindow:
		return &mistake{http2.ErrCodeFlowControl, "a window is moved too far"}
	default:
		c.sendWindow += n
	}
	c.release()
	return nil
}

// reset forgets a call. One that was handed over goes on, and counts until then: its answer
// is not sent. (RFC 9113, section 6.4.)
func (c *conn) reset(p []byte) error {
	f := &c.frame
	switch {
	case len(p) != 4:
		return wrongLength(f.kind)
	case f.stream == 0 || f.stream > c.last:
		return &mistake{http2.ErrCodeProtocol, "a reset of a stream that was not opened"}
	}
	if call := c.calls[f.stream]; call != nil {
		c.forget(call)
		call.body.Abort(Gone)
		c.mu.Lock()
		c.closed()
		c.mu.Unlock()
		call.recycle()
		return nil
	}
	c.mu.Lock()
	c.unwanted(f.stream)
	c.mu.Unlock()
	return nil
}

func wrongLength(kind http2.FrameType) error {
	return &mistake{http2.ErrCodeFrameSize, "a " + kind.String() + " frame has not its length"}
}
