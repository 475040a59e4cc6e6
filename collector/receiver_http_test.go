package collector

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
)

func compressed(t testing.TB, how string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch how {
	case "":
		return b
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		w, _ = zstd.NewWriter(&buf)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return buf.Bytes()
}

func jsonOf(t testing.TB, pb []byte) []byte {
	t.Helper()
	j, err := otlp.AppendJSON(nil, pb)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestHTTPTakesEveryEncoding(t *testing.T) {
	want := request(300)
	pb := encoded(t, want)
	for _, contentType := range []string{protobufType, jsonType, "application/json; charset=utf-8"} {
		for _, how := range []string{"", "gzip", "zstd"} {
			for _, announced := range []bool{true, false} {
				t.Run(fmt.Sprint(contentType, how, announced), func(t *testing.T) {
					sink := &sink{}
					s := start(t, sink, nil)
					body := pb
					if contentType != protobufType {
						body = jsonOf(t, pb)
					}
					var r io.Reader = bytes.NewReader(compressed(t, how, body))
					if !announced {
						r = struct{ io.Reader }{r} // chunked
					}
					req, _ := http.NewRequest("POST", "http://"+s.HTTPAddr().String()+tracesPath, r)
					req.Header.Set("Content-Type", contentType)
					req.Header.Set("Content-Encoding", how)
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					answer, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					wantType, wantBody := protobufType, ""
					if contentType != protobufType {
						wantType, wantBody = jsonType, "{}"
					}
					if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != wantType || string(answer) != wantBody {
						t.Errorf("%s, %q, %q", resp.Status, resp.Header.Get("Content-Type"), answer)
					}
					got := &tracepb.TracesData{}
					if len(sink.requests) != 1 || proto.Unmarshal(sink.requests[0], got) != nil || !proto.Equal(got, want) {
						t.Errorf("not what was sent: %.300v", got)
					}
				})
			}
		}
	}
}

func TestHTTPAnswers(t *testing.T) {
	var answer error
	s := start(t, &sink{answer: func([]byte) error { return answer }}, func(c *Config) { c.RetryDelay = 1500 * time.Millisecond })
	good := encoded(t, request(2))
	zeros := make([]byte, 8<<20)
	endless := func() io.Reader { // empty gzip blocks: much comes in, nothing goes out
		empty := compressed(t, "gzip", nil)
		return io.MultiReader(bytes.NewReader(bytes.Repeat(empty, 2<<20/len(empty))))
	}
	for _, test := range []struct {
		name        string
		method      string
		path        string
		contentType string
		encoding    string
		body        io.Reader
		sink        error
		code        int
		grpcCode    codes.Code
		text        string
		retryAfter  string
	}{
		{name: "path", path: "/v1/metrics", body: bytes.NewReader(good), code: 404, grpcCode: codes.Unimplemented, text: "at /v1/traces"},
		{name: "method", method: "PUT", body: bytes.NewReader(good), code: 405, grpcCode: codes.Unimplemented, text: "method PUT"},
		{name: "get", method: "GET", code: 405, grpcCode: codes.Unimplemented, text: "method GET"},
		{name: "no content type", contentType: "none", body: bytes.NewReader(good), code: 415, grpcCode: codes.InvalidArgument, text: `content type ""`},
		{name: "content type", contentType: "text/plain", body: bytes.NewReader(good), code: 415, grpcCode: codes.InvalidArgument, text: "text/plain"},
		{name: "content encoding", encoding: "br", body: bytes.NewReader(good), code: 415, grpcCode: codes.InvalidArgument, text: `"br"`},
		{name: "malformed", body: bytes.NewReader(good[:len(good)-1]), code: 400, grpcCode: codes.InvalidArgument, text: "resource_spans[0]"},
		{name: "malformed JSON", contentType: jsonType, body: strings.NewReader(`{"resourceSpans":[{`), code: 400, grpcCode: codes.InvalidArgument, text: "resourceSpans[0]"},
		{name: "no gzip", encoding: "gzip", body: bytes.NewReader(good), code: 400, grpcCode: codes.InvalidArgument, text: "cannot unpack the gzip body"},
		{name: "half a gzip", encoding: "gzip", body: bytes.NewReader(compressed(t, "gzip", good)[:30]), code: 400, grpcCode: codes.InvalidArgument, text: "cannot unpack the gzip body"},
		{name: "no zstd", encoding: "zstd", body: bytes.NewReader(good), code: 400, grpcCode: codes.InvalidArgument, text: "cannot unpack the zstd body"},
		{name: "too large", body: bytes.NewReader(zeros), code: 413, grpcCode: codes.ResourceExhausted, text: "8388608 bytes, of at most 1048576"},
		{name: "too large, chunked", body: struct{ io.Reader }{bytes.NewReader(zeros[:1<<20+1])}, code: 413, grpcCode: codes.ResourceExhausted, text: "more than 1048576 bytes"},
		{name: "gzip bomb", encoding: "gzip", body: bytes.NewReader(compressed(t, "gzip", zeros)), code: 413, grpcCode: codes.ResourceExhausted, text: "more than 1048576 bytes"},
		{name: "zstd bomb", encoding: "zstd", body: bytes.NewReader(compressed(t, "zstd", zeros)), code: 413, grpcCode: codes.ResourceExhausted, text: "more than 1048576 bytes"},
		{name: "endless gzip", encoding: "gzip", body: struct{ io.Reader }{endless()}, code: 413, grpcCode: codes.ResourceExhausted, text: "compressed"},
		{name: "full", body: bytes.NewReader(good), sink: ringtail.ErrFull, code: 503, grpcCode: codes.Unavailable, text: "queue is full", retryAfter: "2"},
		{name: "full, JSON", contentType: jsonType, body: bytes.NewReader(jsonOf(t, good)), sink: ringtail.ErrFull, code: 503, grpcCode: codes.Unavailable, text: "queue is full", retryAfter: "2"},
		{name: "closed", body: bytes.NewReader(good), sink: ringtail.ErrClosed, code: 503, grpcCode: codes.Unavailable, text: "shutting down", retryAfter: "2"},
		{name: "broken sink", body: bytes.NewReader(good), sink: io.ErrNoProgress, code: 500, grpcCode: codes.Internal, text: "no data or error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer = test.sink
			if test.method == "" {
				test.method = "POST"
			}
			if test.path == "" {
				test.path = tracesPath
			}
			if test.contentType == "" {
				test.contentType = protobufType
			}
			req, err := http.NewRequest(test.method, "http://"+s.HTTPAddr().String()+test.path, test.body)
			if err != nil {
				t.Fatal(err)
			}
			if test.contentType != "none" {
				req.Header.Set("Content-Type", test.contentType)
			}
			req.Header.Set("Content-Encoding", test.encoding)
			if req.ContentLength == 0 && req.Body != nil {
				req.ContentLength = -1
			}
			// A recorder takes the answer even where a connection would break under what
			// the client is still sending.
			w := httptest.NewRecorder()
			s.http.Handler.ServeHTTP(w, req)
			resp := w.Result()
			body, _ := io.ReadAll(resp.Body)
			parse := otlp.ParseStatus
			if test.contentType == jsonType {
				parse = otlp.ParseStatusJSON
			}
			code, text, err := parse(body)
			if resp.StatusCode != test.code || err != nil || codes.Code(code) != test.grpcCode || !strings.Contains(text, test.text) {
				t.Errorf("%s, %v: %s (%v)", resp.Status, codes.Code(code), text, err)
			}
			if got := resp.Header.Get("Retry-After"); got != test.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, test.retryAfter)
			}
			if test.code == 405 && resp.Header.Get("Allow") != "POST" {
				t.Error("Allow is missing")
			}
		})
	}
}

func TestHTTPWelcomesPeople(t *testing.T) {
	s := start(t, &sink{}, nil)
	resp, err := http.Get("http://" + s.HTTPAddr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || !strings.Contains(string(text), "POST /v1/traces") || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%s, %v: %s", resp.Status, resp.Header, text)
	}
}

// connect opens a connection that says what it is told to.
func connect(t *testing.T, s *Server, say string) *bufio.Reader {
	t.Helper()
	conn, err := net.Dial("tcp", s.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn)
}

func TestHTTPEndsSlowSenders(t *testing.T) {
	s := start(t, &sink{}, func(c *Config) { c.HeaderTimeout, c.BodyTimeout = 30*time.Millisecond, 30*time.Millisecond })
	body := connect(t, s, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\nabc")
	resp, err := http.ReadResponse(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	if _, message, err := otlp.ParseStatus(text); resp.StatusCode != http.StatusServiceUnavailable || err != nil || !strings.Contains(message, "3 of 100 bytes came") {
		t.Errorf("%s: %q", resp.Status, message)
	}
	if _, err := body.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
	header := connect(t, s, "POST /v1/traces HTTP/1.1\r\nHost:")
	if _, err := io.ReadAll(header); err != nil {
		t.Errorf("half a header: %v", err)
	}
	if got := s.Stats(); got.TimedOut != 1 || got.HeldBytes != 0 {
		t.Errorf("%+v", got)
	}
}

// Beyond the budget a client is turned away before a byte of its body is read.
func TestHTTPTurnsAwayBeforeReading(t *testing.T) {
	s := start(t, &sink{}, func(c *Config) { c.MemoryLimit = 2 << 20 })
	if !s.budget.take(1<<20+1000, 0) {
		t.Fatal("the budget is used up")
	}
	defer s.budget.give(1<<20 + 1000)
	for _, encoding := range []string{"", "Content-Encoding: gzip\r\n"} {
		r := connect(t, s, fmt.Sprintf("POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n%sContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", encoding, 1<<20))
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%s %v", resp.Status, resp.Header)
		}
	}
}

// Many clients that announce the largest request and send nothing of it hold little, and
// keep nobody out.
func TestHTTPAnnouncementsHoldLittle(t *testing.T) {
	const clients, limit = 16, 4 << 20
	sink := &sink{}
	s := start(t, sink, func(c *Config) { c.MemoryLimit = limit })
	for i := range clients {
		encoding := ""
		if i%2 == 1 {
			encoding = "Content-Encoding: gzip\r\n"
		}
		r := connect(t, s, fmt.Sprintf("POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n%sContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", encoding, 1<<20))
		// The interim answer says that the request is being read.
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("client %d: %q, %v", i, line, err)
		}
	}
	if held := s.Stats().HeldBytes; held != clients*announcedFirst {
		t.Errorf("%d bytes are held, want %d", held, clients*announcedFirst)
	}
	resp, err := http.Post("http://"+s.HTTPAddr().String()+tracesPath, protobufType, bytes.NewReader(encoded(t, request(3))))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || sink.spans.Load() != 3 {
		t.Errorf("%s, %d spans", resp.Status, sink.spans.Load())
	}
}

// What has come is kept while its buffer grows, and the budget has as much as the body
// is long.
func TestHTTPGrowsWithWhatComes(t *testing.T) {
	for _, n := range []int{0, 1, announcedAtOnce - 1, announcedAtOnce, announcedAtOnce + 1, 3 * announcedAtOnce, 1 << 20} {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * 7 >> 3)
		}
		b := body{budget: newBudget(1<<20, 1<<20), max: 1 << 20}
		if err := b.fill(bytes.NewReader(want), n); err != nil || !bytes.Equal(b.bytes(), want) {
			t.Errorf("%d bytes: %v, and they are the same: %v", n, err, bytes.Equal(b.bytes(), want))
		}
		if held := b.budget.held.Load(); held != int64(n) {
			t.Errorf("%d bytes are held, want %d", held, n)
		}
		b.free()
	}
}

// Who goes away in the middle has not sent anything malformed.
func TestHTTPClientsThatGoAway(t *testing.T) {
	pb := encoded(t, request(3))
	for i, test := range []struct{ header, body string }{
		{fmt.Sprintf("Content-Length: %d\r\n", len(pb)), string(pb[:10])},
		{fmt.Sprintf("Content-Length: %d\r\n", len(pb)), ""},
		{"Transfer-Encoding: chunked\r\n", "a\r\n" + string(pb[:10]) + "\r\n"},
		{"Content-Encoding: gzip\r\nContent-Length: 100\r\n", string(compressed(t, "gzip", pb)[:30])},
		{"Content-Encoding: gzip\r\nContent-Length: 100\r\n", ""},
		{"Content-Encoding: zstd\r\nContent-Length: 100\r\n", string(compressed(t, "zstd", pb)[:30])},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s := start(t, &sink{}, nil)
			conn, err := net.Dial("tcp", s.HTTPAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			io.WriteString(conn, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"+test.header+"\r\n"+test.body)
			conn.(*net.TCPConn).CloseWrite()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			if got := s.Stats(); resp.StatusCode != http.StatusServiceUnavailable || got.TimedOut != 1 || got.Bad != 0 {
				t.Errorf("%s %q, %+v", resp.Status, text, got)
			}
		})
	}
}

func TestHTTPJSONNeedsThreeTimesItsSize(t *testing.T) {
	s := start(t, &sink{}, func(c *Config) { c.MaxRequestBytes, c.MemoryLimit = 1<<10, 1<<11 })
	w := httptest.NewRecorder()
	req := httptest.NewRequest("POST", tracesPath, strings.NewReader("{"+strings.Repeat(" ", 1000)+"}"))
	req.Header.Set("Content-Type", jsonType)
	s.http.Handler.ServeHTTP(w, req)
	if w.Code != 413 {
		t.Errorf("%d: it can never succeed, so the client must not send it again", w.Code)
	}
}

// namesThePlace says whether an error says where a request cannot be read.
func namesThePlace(text string) bool {
	return strings.Contains(text, "otlp: cannot read ") && strings.Contains(text, " at byte ") && !strings.HasSuffix(text, ": malformed")
}

func FuzzHTTPBody(f *testing.F) {
	pb := encoded(f, request(3))
	for flags := range byte(12) {
		body := pb
		if flags&1 != 0 {
			body = jsonOf(f, pb)
		}
		f.Add(flags, compressed(f, []string{"", "gzip", "zstd"}[flags>>1%3], body))
	}
	f.Add(byte(0), binary.AppendUvarint([]byte{10}, 1<<40))
	cfg := DefaultConfig()
	cfg.GRPCAddr, cfg.HTTPAddr = "", "127.0.0.1:0"
	cfg.MaxRequestBytes, cfg.MemoryLimit = 64<<10, 128<<10
	s, err := New(cfg, &sink{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.closeListeners)
	f.Fuzz(func(t *testing.T, flags byte, body []byte) {
		req := httptest.NewRequest("POST", tracesPath, bytes.NewReader(body))
		req.Header.Set("Content-Type", []string{protobufType, jsonType}[flags&1])
		encoding := []string{"", "gzip", "zstd"}[flags>>1%3]
		req.Header.Set("Content-Encoding", encoding)
		if flags&0x80 != 0 {
			req.ContentLength = -1
		}
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, req)
		parse := otlp.ParseStatus
		if flags&1 != 0 {
			parse = otlp.ParseStatusJSON
		}
		switch _, text, err := parse(w.Body.Bytes()); w.Code {
		case 200, 413:
		case 400:
			if err != nil || !strings.Contains(text, "cannot unpack the ") && !namesThePlace(text) {
				t.Errorf("400 with %q (%v)", text, err)
			}
		default:
			t.Errorf("%d: %s", w.Code, text)
		}
		if flags&1 == 0 && encoding == "" && len(body) <= cfg.MaxRequestBytes {
			if _, err := otlp.Validate(body); (err == nil) != (w.Code == 200) {
				t.Errorf("%d for %v", w.Code, err)
			}
		}
		if held := s.budget.held.Load(); held != 0 {
			t.Errorf("%d bytes are held", held)
		}
	})
}
