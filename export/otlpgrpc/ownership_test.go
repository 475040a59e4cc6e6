package otlpgrpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// A receiver that allows everything and reads nothing makes grpc-go stop in the
// middle of a message. Export's time is over, the batch is overwritten, and only
// then does the receiver go on to read: what it gets must be what was exported.
func TestBatchIsNotReadAfterExport(t *testing.T) {
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
	overwrite(b)
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

func overwrite(b *ringtail.Batch) {
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
		}
	}
}
