package unary

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// protocol runs conversations, uncut, and compares what the server says.
func protocol(t *testing.T, tests map[string]conversation) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newExchange()
			s := New(config(x))
			w := test.talk
			if w == nil {
				w = newTalk()
			}
			steps := append([]any{w.Bytes()}, test.then...)
			if got := heard(t, converse(s, steps...)); !slices.Equal(got, append([]string{"SETTINGS ACK"}, test.want...)) {
				t.Errorf("heard %q\nwant %q behind the greeting", got, test.want)
			}
			for path, want := range test.took {
				if got := x.took[path]; got != want {
					t.Errorf("%s took %.100q, want %.100q", path, got, want)
				}
			}
			x.answerAll()
			x.check(t)
		})
	}
}

type conversation struct {
	talk *talk
	then []any
	want []string
	took map[string]string
}

func goAway(last uint32, code http2.ErrCode, text string) []string {
	return []string{fmt.Sprintf("GOAWAY %d %v %s", last, code, text)}
}

func TestEachMistakeHasItsGoAway(t *testing.T) {
	wrong := func(code http2.ErrCode, text string, kind http2.FrameType, flags http2.Flags, id uint32, payload string) conversation {
		return conversation{talk: newTalk().open(1, "/a").raw(kind, flags, id, payload).call(99, "/not", "seen"), want: goAway(1, code, text)}
	}
	const (
		protocolError = http2.ErrCodeProtocol
		frameSize     = http2.ErrCodeFrameSize
		flowControl   = http2.ErrCodeFlowControl
		compression   = http2.ErrCodeCompression
		calm          = http2.ErrCodeEnhanceYourCalm

		noWay    = "a header does not go on where it should"
		unopened = "content of a stream that was not opened"
		short    = "a HEADERS frame is shorter than it says"
		value    = "SETTINGS with a value that may not be"
	)
	several := func(first http2.Flags, fragments int, size int) *talk {
		w := newTalk().raw(http2.FrameHeaders, first, 1, "")
		for range fragments {
			w.raw(http2.FrameContinuation, 0, 1, strings.Repeat("x", size))
		}
		return w
	}
	protocol(t, map[string]conversation{
		"content of stream 0":          wrong(protocolError, unopened, http2.FrameData, 0, 0, "x"),
		"content of an even stream":    wrong(protocolError, unopened, http2.FrameData, 0, 2, "x"),
		"content before a header":      wrong(protocolError, unopened, http2.FrameData, 0, 3, "x"),
		"padding as long as the frame": wrong(protocolError, "a frame is all padding, and more", http2.FrameData, http2.FlagDataPadded, 1, "\x03xx"),
		"padding without a length":     wrong(frameSize, "a frame does not say how much padding it has", http2.FrameData, http2.FlagDataPadded, 1, ""),
		"a frame too long":             wrong(frameSize, "a frame is too long", http2.FrameData, 0, 1, strings.Repeat("x", maxFrame+1)),
		"a header too long":            wrong(frameSize, "a frame is too long", http2.FrameHeaders, http2.FlagHeadersEndHeaders, 3, strings.Repeat("x", MaxHeader+1)),

		"a header of stream 0":        wrong(protocolError, "a header on a stream that no client can open", http2.FrameHeaders, 4, 0, ""),
		"a header of an even stream":  wrong(protocolError, "a header on a stream that no client can open", http2.FrameHeaders, 4, 2, ""),
		"a header all padding":        wrong(protocolError, short, http2.FrameHeaders, 4|http2.FlagHeadersPadded, 3, "\x02x"),
		"a header without padding":    wrong(protocolError, short, http2.FrameHeaders, 4|http2.FlagHeadersPadded, 3, ""),
		"a header without priority":   wrong(protocolError, short, http2.FrameHeaders, 4|http2.FlagHeadersPriority, 3, "1234"),
		"a header that is cut":        wrong(compression, "a header cannot be unpacked", http2.FrameHeaders, 4, 3, "\x00\x05abc"),
		"a header of no table":        wrong(compression, "a header cannot be unpacked", http2.FrameHeaders, 4, 3, "\xff\x01"),
		"a header that does not end":  wrong(protocolError, "a second header that does not end the stream", http2.FrameHeaders, 4, 1, ""),
		"a continuation of nothing":   wrong(protocolError, noWay, http2.FrameContinuation, 4, 1, ""),
		"many continuations":          {talk: several(0, maxContinued+1, 0), want: goAway(0, calm, "a header is too large")},
		"long continuations":          {talk: several(0, 5, 16<<10), want: goAway(0, calm, "a header is too large")},
		"a frame within a header":     {talk: newTalk().raw(http2.FrameHeaders, 0, 1, "").raw(http2.FramePing, 0, 0, "12345678"), want: goAway(0, protocolError, noWay)},
		"another header within":       {talk: newTalk().raw(http2.FrameHeaders, 0, 1, "").raw(http2.FrameHeaders, 4, 3, ""), want: goAway(0, protocolError, noWay)},
		"a continuation of another":   {talk: newTalk().raw(http2.FrameHeaders, 0, 1, "").raw(http2.FrameContinuation, 4, 3, ""), want: goAway(0, protocolError, noWay)},
		"an unknown frame within":     {talk: newTalk().raw(http2.FrameHeaders, 0, 1, "").raw(77, 0, 1, ""), want: goAway(0, protocolError, noWay)},
		"SETTINGS of a stream":        wrong(protocolError, "SETTINGS of a stream", http2.FrameSettings, 0, 1, ""),
		"SETTINGS that are cut":       wrong(frameSize, "a SETTINGS frame has not its length", http2.FrameSettings, 0, 0, "12345"),
		"SETTINGS ACK with something": wrong(frameSize, "a SETTINGS frame has not its length", http2.FrameSettings, 1, 0, "123456"),
		"SETTINGS with a window":      wrong(flowControl, value, http2.FrameSettings, 0, 0, "\x00\x04\x80\x00\x00\x00"),
		"SETTINGS with small frames":  wrong(protocolError, value, http2.FrameSettings, 0, 0, "\x00\x05\x00\x00\x00\xff"),
		"PING of a stream":            wrong(protocolError, "PING of a stream", http2.FramePing, 0, 1, "12345678"),
		"PING too short":              wrong(frameSize, "a PING frame has not its length", http2.FramePing, 0, 0, "1234567"),
		"window too short":            wrong(frameSize, "a WINDOW_UPDATE frame has not its length", http2.FrameWindowUpdate, 0, 0, "123"),
		"window by nothing":           wrong(protocolError, "a window is moved by nothing", http2.FrameWindowUpdate, 0, 0, "\x80\x00\x00\x00"),
		"window too far":              wrong(flowControl, "a window is moved too far", http2.FrameWindowUpdate, 0, 0, "\x7f\xff\x00\x01"),
		"window of no stream":         wrong(protocolError, "a window of a stream that was not opened", http2.FrameWindowUpdate, 0, 3, "\x00\x00\x00\x01"),
		"reset too short":             wrong(frameSize, "a RST_STREAM frame has not its length", http2.FrameRSTStream, 0, 1, "123"),
		"reset of stream 0":           wrong(protocolError, "a reset of a stream that was not opened", http2.FrameRSTStream, 0, 0, "1234"),
		"reset of no stream":          wrong(protocolError, "a reset of a stream that was not opened", http2.FrameRSTStream, 0, 3, "1234"),
		"PRIORITY of stream 0":        wrong(protocolError, "PRIORITY of no stream", http2.FramePriority, 0, 0, "12345"),
		"PRIORITY too short":          wrong(frameSize, "a PRIORITY frame has not its length", http2.FramePriority, 0, 1, "1234"),
		"a push":                      wrong(protocolError, "clients do not push", http2.FramePushPromise, 4, 1, "1234"),
		"more than the window": {
			talk: newTalk().open(1, "/a").data(1, false, strings.Repeat("x", Window/2-1)).data(1, false, strings.Repeat("x", Window/2+2)),
			want: goAway(1, flowControl, "the client has sent more than it may"),
		},
	})
}

func TestGreetingMustBeOne(t *testing.T) {
	text := "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nHTTP/2 is spoken here\n"
	for greeting, http1 := range map[string]bool{
		"GET / HTTP/1.1\r\n\r\n": true, "POST / HTTP/1.1\r\n\r\n": true, "PUT / HTTP/1.1\r\n\r\n": true, "PROPFIND / HTTP/1.1\r\n\r\n": true,
		"\x16\x03\x01": false, "PRI * HTTP/1.1\r\n\r\n": false, "PRI * GOPHER": false, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r ": false,
	} {
		for _, cut := range []int{1, 2, 100} {
			var steps []any
			for piece := range slices.Chunk([]byte(greeting), cut) {
				steps = append(steps, piece)
			}
			out := converse(New(config(newExchange())), steps...)
			if http1 {
				if string(out) != text {
					t.Errorf("%q: %q", greeting, out)
				}
			} else if got := heard(t, out); !slices.Equal(got, goAway(0, http2.ErrCodeProtocol, "this is not HTTP/2")) {
				t.Errorf("%q: %q", greeting, got)
			}
		}
	}
	for name, first := range map[string]*talk{
		"PING":         greeting().raw(http2.FramePing, 0, 0, "12345678"),
		"SETTINGS ACK": greeting().raw(http2.FrameSettings, 1, 0, ""),
	} {
		want := goAway(0, http2.ErrCodeProtocol, "the first frame is not SETTINGS")
		if got := heard(t, converse(New(config(newExchange())), first.Bytes())); !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestCallsAndTheirAnswers(t *testing.T) {
	padded := newTalk().open(1, "/a")
	padded.WriteDataPadded(1, false, []byte("with"), make([]byte, 255))
	padded.WriteDataPadded(1, false, nil, make([]byte, 7))
	padded.WriteDataPadded(1, true, []byte(" padding"), nil)

	header := newTalk()
	header.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: header.block("/a"), EndHeaders: true, PadLength: 9,
		Priority: http2.PriorityParam{StreamDep: 7, Weight: 9},
	})
	header.data(1, true, "x")

	continued := newTalk()
	block := continued.block("/a")
	continued.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:3]})
	continued.WriteContinuation(1, false, nil)
	continued.WriteContinuation(1, true, block[3:])
	continued.data(1, true, "x")

	trailers := newTalk().open(1, "/a").data(1, false, "x")
	trailers.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: trailers.block("/b"), EndHeaders: true, EndStream: true})

	alone := newTalk()
	alone.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: alone.block("/a"), EndHeaders: true, EndStream: true})
	alone.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: alone.block("/refuse"), EndHeaders: true, EndStream: true})

	many := newTalk()
	for i := range uint32(9) {
		many.call(1+2*i, "/later", "x")
	}

	bomb := newTalk()
	fields := []string{}
	for range 40 {
		fields = append(fields, "l", strings.Repeat("l", 2000))
	}
	bomb.open(1, "/a", fields...).call(3, "/a", "x")

	rejected := func(id int) []string {
		return []string{fmt.Sprintf("%d: 200 8 refused", id), fmt.Sprintf("RST_STREAM %d NO_ERROR", id)}
	}
	protocol(t, map[string]conversation{
		"a call":             {talk: newTalk().call(1, "/a", "x"), want: []string{"1: OK"}, took: map[string]string{"/a": "x"}},
		"a call that fails":  {talk: newTalk().call(1, "/fail", "x"), want: []string{"1: 200 3 failed"}},
		"an empty call":      {talk: alone, want: []string{"1: OK", "3: 200 8 refused"}, took: map[string]string{"/a": ""}},
		"padding":            {talk: padded, want: []string{"1: OK"}, took: map[string]string{"/a": "with padding"}},
		"a padded header":    {talk: header, want: []string{"1: OK"}, took: map[string]string{"/a": "x"}},
		"the reserved bit":   {talk: newTalk().open(1, "/a").raw(http2.FrameData, 1, 1<<31+1, "x"), want: []string{"1: OK"}, took: map[string]string{"/a": "x"}},
		"a header in frames": {talk: continued, want: []string{"1: OK"}, took: map[string]string{"/a": "x"}},
		"trailers":           {talk: trailers, want: []string{"1: OK"}, took: map[string]string{"/a": "x"}},
		"several at once": {
			talk: newTalk().open(1, "/a").open(3, "/b").data(1, false, "a").data(3, false, "b").data(1, true, "A").data(3, true, "B"),
			want: []string{"1: OK", "3: OK"}, took: map[string]string{"/a": "aA", "/b": "bB"},
		},
		"refused by Begin": {talk: newTalk().call(1, "/refuse", "x").call(3, "/a", "x"), want: append(rejected(1), "3: OK")},
		"refused by Data":  {talk: newTalk().open(1, "/data").data(1, false, "x").data(1, true, "y"), want: rejected(1)},
		"refused by Data, all sent": {
			talk: newTalk().call(1, "/data", "x"), want: []string{"1: 200 8 refused"},
		},
		"refused by Keep": {
			talk: newTalk().open(1, "/keep").data(1, false, "x"), then: []any{more().data(1, true, "y").Bytes()},
			want: rejected(1),
		},
		"more than may be": {talk: many, want: []string{"RST_STREAM 17 REFUSED_STREAM"}},
		"content of refused and ended calls": {
			talk: newTalk().call(1, "/a", "x").data(1, true, "y").open(3, "/refuse").data(3, false, strings.Repeat("x", 9)).call(5, "/a", "z"),
			want: append(append([]string{"1: OK"}, rejected(3)...), "5: OK"), took: map[string]string{"/a": "xz"},
		},
		"a stream that was passed over": {talk: newTalk().call(5, "/a", "x").call(3, "/a", "y"), want: []string{"5: OK"}, took: map[string]string{"/a": "x"}},
		"not POST":                      {talk: newTalk().call2(1, ":method", "GET"), want: []string{"1: 405 12 gRPC calls are made with POST", "RST_STREAM 1 NO_ERROR"}},
		"not gRPC":                      {talk: newTalk().call2(1, "content-type", "application/grpc-web"), want: []string{"1: 415 3 the content type is not application/grpc", "RST_STREAM 1 NO_ERROR"}},
		"a content type with more":      {talk: newTalk().open(1, "/a", "content-type", "application/grpc+proto").data(1, true, ""), want: []string{"1: OK"}},
		"a large header":                {talk: bomb, want: []string{"1: 431 8 the request's header is larger than 65536 bytes", "RST_STREAM 1 NO_ERROR", "3: OK"}},
		"a reset": {
			talk: newTalk().open(1, "/a").data(1, false, "x").raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08").data(1, true, "x").call(3, "/a", "y"),
			want: []string{"3: OK"}, took: map[string]string{"/a": "y"},
		},
		"PING":             {talk: newTalk().raw(http2.FramePing, 0, 0, "12345678"), want: []string{"PING ACK 12345678"}},
		"an answer to ask": {talk: newTalk().raw(http2.FramePing, 1, 0, "12345678")},
		"frames that mean nothing": {
			talk: newTalk().open(1, "/a").raw(77, 0xff, 9, "xyz").raw(http2.FramePriority, 0, 9, "12345").raw(http2.FrameGoAway, 0, 0, "12345678").
				raw(http2.FrameSettings, 1, 0, "").raw(http2.FrameSettings, 0, 0, "\x99\x99\x00\x00\x00\x00").data(1, true, "x"),
			want: []string{"SETTINGS ACK", "1: OK"},
		},
		"a mistake when we leave": {
			talk: newTalk().call(1, "/later", "x"),
			then: []any{
				func(c *conn) {
					c.drain()
					c.flushing.Wait()
				},
				more().raw(http2.FramePing, 1, 0, string(leaving[:])).open(3, "/a").raw(http2.FramePing, 0, 1, "12345678").Bytes(),
			},
			want: []string{"GOAWAY 2147483647 NO_ERROR ", "PING leaving", "GOAWAY 1 NO_ERROR ", "GOAWAY 1 PROTOCOL_ERROR PING of a stream"},
		},
		"SETTINGS each acknowledged": {talk: newTalk().raw(http2.FrameSettings, 0, 0, "").raw(http2.FrameSettings, 0, 0, ""), want: []string{"SETTINGS ACK", "SETTINGS ACK"}},
	})
}

// call2 is a call with one field that is different.
func (w *talk) call2(id uint32, name, value string) *talk {
	return w.open(id, "/a", name, value).data(id, true, "x")
}

func TestWindowsMove(t *testing.T) {
	half := strings.Repeat("x", Window/2)
	w := newTalk().open(1, "/a")
	var want []string
	for i := 1; i <= 32; i++ {
		w.data(1, i == 32, half)
		if i%(connWindow/Window) == 0 {
			want = append(want, fmt.Sprintf("WINDOW_UPDATE 0 %d", connWindow/2))
		}
		if i < 32 {
			want = append(want, fmt.Sprintf("WINDOW_UPDATE 1 %d", Window/2))
		}
	}
	refused := newTalk().open(1, "/refuse")
	for range connWindow / Window {
		refused.WriteDataPadded(1, false, []byte(half[:len(half)-11]), make([]byte, 10))
	}
	protocol(t, map[string]conversation{
		"of a long call": {talk: w, want: append(want, "1: OK"), took: map[string]string{"/a": strings.Repeat(half, 32)}},
		"of the connection, by what nobody wants, and by padding": {
			talk: refused, want: []string{"1: 200 8 refused", "RST_STREAM 1 NO_ERROR", fmt.Sprintf("WINDOW_UPDATE 0 %d", connWindow/2)},
		},
	})
}

func TestAnswersWaitForWindows(t *testing.T) {
	none := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4}
	two := func() *talk { return newTalk(none).call(1, "/a", "x").call(3, "/a", "y").call(5, "/fail", "z") }
	update := func(w *talk, id, n uint32) *talk {
		w.WriteWindowUpdate(id, n)
		return w
	}
	settings := func(w *talk, n uint32) *talk {
		w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: n})
		return w
	}
	empty := newTalk(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5})
	const calls = defaultWindow / emptyMessage
	for i := range uint32(calls + 2) {
		empty.call(1+2*i, "/a", "")
	}
	answers := make([]string, 0, calls+2)
	for i := range calls + 2 {
		answers = append(answers, fmt.Sprintf("%d: OK", 1+2*i))
	}
	protocol(t, map[string]conversation{
		"none":              {talk: two(), want: []string{"5: 200 3 failed"}},
		"of a stream":       {talk: update(two(), 3, 1), want: []string{"5: 200 3 failed", "3: OK"}},
		"of it, before":     {talk: update(newTalk(none).open(1, "/a"), 1, 1).data(1, true, "x"), want: []string{"1: OK"}},
		"of the other":      {talk: update(two(), 5, 100), want: []string{"5: 200 3 failed"}},
		"of all":            {talk: settings(two(), 5), want: []string{"5: 200 3 failed", "SETTINGS ACK", "1: OK", "3: OK"}},
		"of all, too small": {talk: settings(update(two(), 1, 4), 0), want: []string{"5: 200 3 failed", "1: OK", "SETTINGS ACK"}},
		"as they are":       {talk: settings(newTalk().open(1, "/a"), 0).data(1, true, ""), want: []string{"SETTINGS ACK"}},
		"of the connection": {talk: empty, want: answers[:calls]},
		"of the connection, moved": {
			talk: update(bytesOf(empty), 0, 9), want: answers[:calls+1],
		},
		"of what was reset": {
			talk: settings(two().raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08"), 5), want: []string{"5: 200 3 failed", "SETTINGS ACK", "3: OK"},
		},
	})
}

// bytesOf is the same again, to be gone on with.
func bytesOf(w *talk) *talk {
	again := more()
	again.Write(w.Bytes())
	return again
}

// Whoever asks for a table smaller than the usual may insist on being told that it is.
func TestHeadersBeginWithNoTable(t *testing.T) {
	for name, block := range map[string][]byte{"success": successHeader, "a status": refused.block} {
		if block[0] != 0x20 {
			t.Errorf("%s begins with %#x", name, block[0])
		}
	}
}

func TestStatusFitsIntoAFrame(t *testing.T) {
	for text, want := range map[string]string{
		"all well": "all well", "100%\n": "100%25%0A", "ß": "%C3%9F", "\xff": "?",
	} {
		if got := escape(text); got != want {
			t.Errorf("%q is sent as %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"x", "x\x80", "ß", "語", "%", "🙂"} {
		s := NewStatus(2, strings.Repeat(text, 1<<16), bytes.Repeat([]byte{1}, 2*maxText))
		if got := len(escape(strings.Repeat(text, 1<<16))); got > maxText || got < maxText-12 {
			t.Errorf("%q, often, has %d bytes", text, got)
		}
		fields, err := hpack.NewDecoder(tableSize, nil).DecodeFull(s.block)
		if err != nil || len(fields) != 5 || len(s.block) > 1<<14 {
			t.Errorf("a block of %d bytes: %v, %v", len(s.block), fields, err)
		}
	}
	for n := range 1000 {
		text := strings.Repeat("x", n)
		fields, err := hpack.NewDecoder(tableSize, nil).DecodeFull(NewStatus(2, text, nil).block)
		if err != nil || fields[3].Value != text {
			t.Fatalf("a text of %d bytes: %v, %v", n, fields, err)
		}
	}
	details := converse(New(config(newExchange())), newTalk().Bytes())
	details = NewStatus(14, "busy", []byte("details")).append(details, 1)
	if got := heard(t, details); got[len(got)-1] != "1: 200 14 busy details" {
		t.Errorf("heard %q", got)
	}
}
