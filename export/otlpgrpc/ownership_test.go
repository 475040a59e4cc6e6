package otlpgrpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// A receiver that allows everything and reads nothing makes grpc-go stop in the
// middle of a message. Export's time is over, the batch is overwritten, unless it is
// kept, and only then does the receiver go on to read: what it gets must be what was
// exported.
func TestBatchIsReadAfterExport(t *testing.T) {
	b := otlptest.Batch(t, 1, 16, 1<<20) // more than the socket takes
	t.Run("one piece", func(t *testing.T) { exportAndOverwrite(t, b.Clone()) })
	t.Run("many pieces", func(t *testing.T) {
		exportAndOverwrite(t, ringtail.JoinBatch(otlptest.Pieces(t, b, 16), b.Len()))
	})
}

func exportAndOverwrite(t *testing.T, b *ringtail.Batch) {
	otlptest.NoLeaks(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	goOn, got := make(chan struct{}), make(chan []byte, 1)
	go func() {
		conn, err := lis.Accept()
		if err != nil {
			got <- nil
			return
		}
		defer conn.Close()
		f := http2.NewFramer(conn, conn)
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		_ = f.WriteWindowUpdate(0, 1<<30)
		<-goOn
		_, _ = io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface)))
		var data []byte
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				got <- data
				return
			}
			switch d := frame.(type) {
			case *http2.DataFrame:
				data = append(data, d.Data()...)
			case *http2.RSTStreamFrame:
				got <- data
				return
			}
		}
	}()
	e := newTestExporter(t, lis.Addr().String(), WithInsecure(), WithMaxRequestBytes(1<<30),
		WithTimeout(300*time.Millisecond), WithRetry(export.RetryConfig{MaxAttempts: 1}))
	want := b.Clone().Bytes()
	if err := e.Export(t.Context(), b); status.Code(err) != codes.DeadlineExceeded {
		t.Fatal(err)
	}
	if overwrite(b); !b.Kept() {
		t.Error("the batch is not kept: the test has shown nothing")
	}
	close(goOn)
	data := <-got
	const header = 5 // of a gRPC message
	if len(data) < header || !bytes.HasPrefix(want, data[header:]) {
		t.Errorf("%d bytes arrived that are not the batch's", len(data))
	}
	if len(data) == header+len(want) {
		t.Error("the receiver got everything: the test has shown nothing")
	}
}

// overwrite does what owners do to a batch that is not kept.
func overwrite(b *ringtail.Batch) {
	if b.Kept() {
		return
	}
	for _, piece := range b.Parts() {
		clear(piece)
	}
}

// A receiver may answer before it has read the request. The race detector sees who
// reads what the test overwrites.
func TestReceiverThatAnswersBeforeItReads(t *testing.T) {
	otlptest.NoLeaks(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		return status.Error(codes.InvalidArgument, "did not even look")
	}))
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(lis) }()
	defer func() { server.Stop(); <-done }()
	batch := otlptest.Batch(t, 1, 4000, 200)
	kept, exports := 0, 0
	for _, compressor := range []string{"none", "gzip", "zstd"} {
		e := newTestExporter(t, lis.Addr().String(), WithInsecure(), WithCompressor(compressor), quick)
		for i := range 40 {
			b := batch.Clone()
			if i%4 < 2 {
				b = ringtail.JoinBatch(otlptest.Pieces(t, b, 20), b.Len())
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if i%2 == 1 {
				ctx, cancel = context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
			}
			if err := e.Export(ctx, b); err == nil {
				t.Error("taken")
			}
			cancel()
			overwrite(b)
			if exports++; b.Kept() {
				kept++
			}
		}
	}
	t.Logf("%d of %d are kept", kept, exports)
}

// What was delivered is its owner's again: only a batch that is kept costs memory.
func TestDeliveredBatchIsNotKept(t *testing.T) {
	otlptest.NoLeaks(t)
	small, large := otlptest.Batch(t, 1, 40, 100), otlptest.Batch(t, 1, 4, 100_000)
	for _, compressor := range []string{"none", "gzip", "zstd"} {
		e := newTestExporter(t, rawReceiver(t, compressor), WithInsecure(), WithCompressor(compressor), WithMaxRequestBytes(300_000), quick)
		for range 20 {
			for _, b := range []*ringtail.Batch{
				small.Clone(), large.Clone(), // the second is split
				ringtail.JoinBatch(otlptest.Pieces(t, small, 40), small.Len()),
				ringtail.JoinBatch([][]byte{small.Bytes(), large.Bytes(), small.Bytes()}, 2*small.Len()+large.Len()),
			} {
				if err := e.Export(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				if b.Kept() {
					t.Errorf("%s: a batch of %d bytes in %d pieces is kept", compressor, b.Size(), len(b.Parts()))
				}
			}
		}
	}
}

// TestRequestInPieces: in pieces of whatever size a message is the same, and all that was
// handed out comes back.
func TestRequestInPieces(t *testing.T) {
	var pieces [][]byte
	for i, size := range []int{0, 1, 900, 1024, 5000, 1025, 0, tiny - 1, tiny, tiny + 1, 100_000, 3, 0} {
		pieces = append(pieces, bytes.Repeat([]byte{byte(i)}, size))
	}
	r := newRequest(pieces)
	first, err := codec{}.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := codec{}.Marshal(r) // as by an interceptor that tries again
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []mem.BufferSlice{first, again} {
		if !bytes.Equal(data.Materialize(), slices.Concat(pieces...)) {
			t.Error("the message is another one")
		}
		if len(data) != 6 { // tiny ones that adjoin are one
			t.Errorf("%d buffers", len(data))
		}
	}
	first.Free()
	if r.end() {
		t.Error("ended while somebody has pieces")
	}
	if r.hold() {
		r.release()
	} else {
		t.Error("nobody may have the pieces any more, though somebody has")
	}
	again.Free()
	select {
	case <-r.free:
	default:
		t.Error("all came back, and nobody notices")
	}
	if data, err := (codec{}).Marshal(r); err == nil {
		t.Errorf("%d buffers of memory that is its owner's again", len(data))
	}
	if r := newRequest(pieces); !r.end() {
		t.Error("a call that was not made keeps the message")
	}
}

// TestPatience: pieces that come back soon after a call are waited for, others are not.
func TestPatience(t *testing.T) {
	for after, free := range map[time.Duration]bool{patience - 1: true, patience + 1: false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRequest([][]byte{make([]byte, 2*tiny)})
			data, err := codec{}.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				time.Sleep(after)
				data.Free()
			}()
			if r.end() != free {
				t.Errorf("after %v they are free: %v", after, !free)
			}
			<-r.free
		})
	}
}
