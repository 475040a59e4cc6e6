package otlpgrpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// rawCodec is for a receiver that takes messages as they come and looks at none.
type rawCodec struct{}

func (rawCodec) Name() string                             { return "proto" }
func (rawCodec) Marshal(any) (mem.BufferSlice, error)     { return nil, nil }
func (rawCodec) Unmarshal(b mem.BufferSlice, v any) error { *v.(*int) = b.Len(); return nil }

// rawReceiver starts a receiver in this process, with grpc-go's defaults, that reads
// requests and does nothing with them.
func rawReceiver(tb testing.TB, compressor string) (addr string) {
	tb.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}),
		//lint:ignore SA1019 for the same reason as in the exporter
		grpc.RPCDecompressor(leave(compressor)),
	)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var n int
			return nil, dec(&n)
		}}},
	}, nil)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(lis) }()
	tb.Cleanup(func() { server.Stop(); <-done })
	return lis.Addr().String()
}

// leave is a decompressor that leaves messages as they are.
type leave string

func (l leave) Type() string                 { return string(l) }
func (leave) Do(r io.Reader) ([]byte, error) { return io.ReadAll(r) }

// BenchmarkExport sends batches of 4096 spans, about 1 MiB, one after another, to a
// receiver in the same process, which does not decompress them. cpu-ns/span is user
// and system time of both sides. The batch is in one piece, or in as many as a daemon
// has read from its log, and then a new one for each export, as there.
func BenchmarkExport(b *testing.B) {
	const spans = 4096
	batch := otlptest.Realistic(b, spans)
	for _, compressor := range []string{"none", "gzip", "zstd"} {
		for _, pieces := range []int{1, 32} {
			b.Run(fmt.Sprintf("compressor=%s/pieces=%d", compressor, pieces), func(b *testing.B) {
				benchmark(b, batch, pieces, compressor)
			})
		}
	}
}

func benchmark(b *testing.B, batch *ringtail.Batch, pieces int, compressor string) {
	e, err := New(rawReceiver(b, compressor), WithInsecure(), WithCompressor(compressor))
	if err != nil {
		b.Fatal(err)
	}
	defer e.Shutdown(b.Context())
	requests := otlptest.Pieces(b, batch, pieces)
	b.SetBytes(int64(batch.Size()))
	b.ReportAllocs()
	if err := e.Export(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	cpu := cpuTime()
	for b.Loop() {
		if err := e.Export(b.Context(), ringtail.JoinBatch(requests, batch.Len())); err != nil {
			b.Fatal(err)
		}
	}
	total := float64(b.N) * float64(batch.Len())
	b.ReportMetric(float64(b.Elapsed())/total, "ns/span")
	b.ReportMetric(float64(cpuTime()-cpu)/total, "cpu-ns/span")
}
