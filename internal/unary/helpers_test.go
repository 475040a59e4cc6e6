package unary

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// patience ends a wait for something that never comes. Nothing is measured by it.
const patience = 30 * time.Second

// seeded returns a source of random numbers and prints how to get it again.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// config is of a server for which nothing takes too long.
func config(h Handler) Config {
	return Config{
		Handler: h, MaxCalls: 8,
		HeaderTimeout: time.Hour, BodyTimeout: time.Hour, Idle: time.Hour, PingAfter: time.Hour, Patience: time.Hour,
		Unanswered:  func() *Status { return NewStatus(14, "unanswered", nil) },
		Misdirected: "HTTP/2 is spoken here",
	}
}

// talk is what a client says.
type talk struct {
	bytes.Buffer
	*http2.Framer
	fields bytes.Buffer
	hpack  *hpack.Encoder
}

// newTalk begins with the greeting, and SETTINGS.
func newTalk(settings ...http2.Setting) *talk {
	w := greeting()
	w.WriteSettings(settings...)
	return w
}

// greeting is without SETTINGS.
func greeting() *talk {
	w := more()
	w.WriteString(http2.ClientPreface)
	return w
}

// more is what is said behind the greeting.
func more() *talk {
	w := new(talk)
	w.Framer = http2.NewFramer(&w.Buffer, nil)
	w.AllowIllegalWrites = true
	w.hpack = hpack.NewEncoder(&w.fields)
	return w
}

// block packs a header: of a call, unless fields, name and value in turns, say otherwise.
func (w *talk) block(path string, fields ...string) []byte {
	w.fields.Reset()
	all := append([]string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "test", "content-type", "application/grpc", "te", "trailers"}, fields...)
	for i := 0; i < len(all); i += 2 {
		w.hpack.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	return bytes.Clone(w.fields.Bytes())
}

func (w *talk) open(id uint32, path string, fields ...string) *talk {
	w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.block(path, fields...), EndHeaders: true})
	return w
}

func (w *talk) data(id uint32, end bool, content string) *talk {
	w.WriteData(id, end, []byte(content))
	return w
}

func (w *talk) call(id uint32, path, content string) *talk {
	return w.open(id, path).data(id, true, content)
}

func (w *talk) raw(kind http2.FrameType, flags http2.Flags, id uint32, payload string) *talk {
	w.WriteRawFrame(kind, flags, id, []byte(payload))
	return w
}

// script is a connection on which what is read was written before. It ends with io.EOF.
type script struct {
	steps []any // []byte, or func(*conn)
	conn  *conn
	read  []byte // what was read last: it is written over

	mu      sync.Mutex
	late    bool // the deadline for reading is over
	closed  bool
	out     []byte
	writes  int
	longest int         // of them
	during  func(*conn) // called by each write
}

func (s *script) Read(p []byte) (int, error) {
	for i := range s.read {
		s.read[i] = 0xDB
	}
	s.read = nil
	for {
		s.mu.Lock()
		late, closed := s.late, s.closed
		s.mu.Unlock()
		switch {
		case closed:
			return 0, net.ErrClosed
		case late:
			return 0, os.ErrDeadlineExceeded
		case len(s.steps) == 0:
			return 0, io.EOF
		}
		switch step := s.steps[0].(type) {
		case []byte:
			if len(step) > 0 {
				n := copy(p, step)
				s.read = p[:n]
				s.steps[0] = step[n:]
				return n, nil
			}
		case func(*conn):
			step(s.conn)
		}
		s.steps = s.steps[1:]
	}
}

func (s *script) Write(p []byte) (int, error) {
	if s.during != nil {
		s.during(s.conn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	s.out = append(s.out, p...)
	s.writes++
	s.longest = max(s.longest, len(p))
	return len(p), nil
}

func (s *script) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *script) SetReadDeadline(at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = at.Equal(past)
	return nil
}

func (s *script) SetDeadline(at time.Time) error   { return s.SetReadDeadline(at) }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) LocalAddr() net.Addr              { return nil }
func (s *script) RemoteAddr() net.Addr             { return nil }

// converse has a server take a script, and returns what it sends.
func converse(s *Server, steps ...any) []byte {
	nc := &script{steps: slices.Clone(steps)}
	nc.conn = newConn(s, nc)
	nc.conn.serve()
	return nc.out
}

// pass lets time go by, and has the clock look.
func pass(d time.Duration) func(*conn) {
	return func(c *conn) {
		for range c.server.ticks(d) + 1 {
			c.look(c.server.tick.Add(1))
		}
		c.flushing.Wait()
	}
}

// heard is what a client understands of what a server sends behind its greeting, or without one: a
// line a frame, and one for an answer.
func heard(t testing.TB, out []byte) []string {
	t.Helper()
	r := &listener{framer: newFramer(nil, bytes.NewReader(out))}
	var lines []string
	for {
		line, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v, behind %q", err, lines)
		}
		lines = append(lines, line)
	}
	greeting := []string{
		"SETTINGS 3=8 4=262144 5=262144 6=65536", fmt.Sprintf("WINDOW_UPDATE 0 %d", connWindow-defaultWindow),
	}
	if len(lines) > 0 && strings.HasPrefix(lines[0], "GOAWAY 0 ") {
		return lines
	}
	if len(lines) < 2 || !slices.Equal(lines[:2], greeting) {
		t.Fatalf("the server greets with %q", lines)
	}
	return lines[2:]
}

func newFramer(w io.Writer, r io.Reader) *http2.Framer {
	f := http2.NewFramer(w, r)
	f.ReadMetaHeaders = hpack.NewDecoder(tableSize, nil)
	f.SetMaxReadFrameSize(1 << 14)
	return f
}

// listener puts a server's frames into words.
type listener struct {
	framer   *http2.Framer
	answered string // what of an answer has come
}

func (l *listener) next() (string, error) {
	for {
		frame, err := l.framer.ReadFrame()
		if err != nil {
			return "", err
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				return "SETTINGS ACK", nil
			}
			line := "SETTINGS"
			f.ForeachSetting(func(s http2.Setting) error {
				line += fmt.Sprintf(" %d=%d", s.ID, s.Val)
				return nil
			})
			return line, nil
		case *http2.WindowUpdateFrame:
			return fmt.Sprintf("WINDOW_UPDATE %d %d", f.StreamID, f.Increment), nil
		case *http2.PingFrame:
			if f.IsAck() {
				return fmt.Sprintf("PING ACK %s", f.Data[:]), nil
			}
			return "PING " + strings.TrimRight(string(f.Data[:]), "\x00"), nil
		case *http2.GoAwayFrame:
			return fmt.Sprintf("GOAWAY %d %v %s", f.LastStreamID, f.ErrCode, f.DebugData()), nil
		case *http2.RSTStreamFrame:
			return fmt.Sprintf("RST_STREAM %d %v", f.StreamID, f.ErrCode), nil
		case *http2.MetaHeadersFrame:
			values := map[string]string{}
			for _, field := range f.Fields {
				values[field.Name] = field.Value
			}
			switch {
			case f.StreamEnded() && l.answered == "":
				details := values["grpc-status-details-bin"]
				if b, err := base64.RawStdEncoding.DecodeString(details); err == nil && len(b) > 0 {
					details = " " + string(b)
				}
				return fmt.Sprintf("%d: %s %s %s%s", f.StreamID, values[":status"], values["grpc-status"], values["grpc-message"], details), nil
			case f.StreamEnded() && l.answered == fmt.Sprintf("%d: 200 0000000000", f.StreamID):
				line := fmt.Sprintf("%d: OK", f.StreamID)
				if values["grpc-status"] != "0" || len(f.Fields) != 1 {
					line = "a trailer that is none"
				}
				l.answered = ""
				return line, nil
			case f.StreamEnded():
				return "", fmt.Errorf("a trailer behind %q", l.answered)
			}
			l.answered = fmt.Sprintf("%d: %s ", f.StreamID, values[":status"])
		case *http2.DataFrame:
			l.answered += fmt.Sprintf("%x", f.Data())
		default:
			return fmt.Sprint(frame.Header()), nil
		}
	}
}

// leaks has a test fail that leaves goroutines of the package behind.
func leaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			all := make([]byte, 1<<20)
			all = all[:runtime.Stack(all, true)]
			n := strings.Count(string(all), "internal/unary.(*")
			if n == 0 {
				return
			}
			if time.Now().After(end) {
				t.Errorf("goroutines are left:\n%s", all)
				return
			}
		}
	})
}
