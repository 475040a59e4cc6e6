package otlphttp

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

// BenchmarkExport sends batches of 4096 spans, about 1 MiB, one after another, to a
// receiver in the same process that reads them and does nothing else. The batch is
// in one piece, or in as many as a daemon has read from its log, and then a new one
// for each export, as there.
func BenchmarkExport(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	batch := otlptest.Realistic(b, 4096)
	for _, compression := range []string{"none", "gzip"} {
		for _, pieces := range []int{1, 32} {
			b.Run(fmt.Sprintf("compression=%s/pieces=%d", compression, pieces), func(b *testing.B) {
				e, err := New(server.URL, WithCompression(compression))
				if err != nil {
					b.Fatal(err)
				}
				defer e.Shutdown(b.Context())
				requests := otlptest.Pieces(b, batch, pieces)
				b.SetBytes(int64(batch.Size()))
				b.ReportAllocs()
				for b.Loop() {
					if err := e.Export(b.Context(), ringtail.JoinBatch(requests, batch.Len())); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed())/float64(b.N*batch.Len()), "ns/span")
			})
		}
	}
}
