package collector

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// writeRequest begins a gRPC request.
func writeRequest(t *testing.T, f *http2.Framer, stream uint32) {
	t.Helper()
	var block bytes.Buffer
	h := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", exportMethod}, {":authority", "x"},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		if err := h.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
}

// A client that sends a byte a frame, with or without padding, is cut off before it has cost much,
// and before it has sent a window.
func TestTinyFramesEndTheConnection(t *testing.T) {
	for name, padding := range map[string][]byte{"plain": nil, "padded": make([]byte, 255)} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &sink{}, nil)
			conn, err := net.Dial("tcp", s.GRPCAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			hungUp := make(chan struct{})
			go func() { defer close(hungUp); io.Copy(io.Discard, conn) }()

			var sent bytes.Buffer
			f := http2.NewFramer(&sent, nil)
			sent.WriteString(http2.ClientPreface)
			f.WriteSettings()
			writeRequest(t, f, 1)
			f.WriteData(1, false, []byte{0, 0, 4, 0, 0}) // 256 KiB are to come
			for range streamWindow / 2 {
				if padding == nil {
					f.WriteData(1, false, []byte{0})
				} else {
					f.WriteDataPadded(1, false, []byte{0}, padding)
				}
			}
			conn.Write(sent.Bytes()) // fails, or not
			<-hungUp
			eventually(t, "a connection that was ended for it", func() bool { return s.Stats().EndedConnections == 1 })
		})
	}
}

// What honest clients send, however it is cut, is welcome for ever.
func TestFramesOfHonestClients(t *testing.T) {
	var sent bytes.Buffer
	f := http2.NewFramer(&sent, nil)
	sent.WriteString(http2.ClientPreface)
	f.WriteSettings()
	stream := uint32(1)
	for range 2 * mostCredit { // small requests, as from clients that send the end by itself
		writeRequest(t, f, stream)
		f.WriteData(stream, false, make([]byte, 5))
		f.WriteData(stream, false, make([]byte, 300))
		f.WriteData(stream, true, nil)
		stream += 2
	}
	writeRequest(t, f, stream)
	for range 2 * mostCredit { // a large one, each frame of it with a small rest
		f.WriteData(stream, false, make([]byte, 4096))
		f.WriteData(stream, false, make([]byte, 10))
	}
	for step := 1; step < 100_000; step = step*7 + 1 { // however it is read
		watch := newFrames()
		for rest := sent.Bytes(); len(rest) > 0; {
			n := min(step, len(rest))
			if !watch.look(rest[:n]) {
				t.Fatalf("ended when read in steps of %d, with %d bytes left", step, len(rest))
			}
			rest = rest[n:]
		}
	}
}
