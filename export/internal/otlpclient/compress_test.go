package otlpclient

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

func TestCompressors(t *testing.T) {
	for _, name := range []string{"gzip", "zstd"} {
		c, err := NewCompressor(name)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, n := range []int{0, 1, 100, 5000} {
			wg.Go(func() {
				want := otlptest.Realistic(t, n).Bytes()
				for range 5 {
					cut := n / 3
					got, err := c.Append([]byte("before"), want[:cut], nil, want[cut:])
					if n == 100 {
						got, err = c.Append([]byte("before"), want)
					}
					if err != nil || !bytes.HasPrefix(got, []byte("before")) {
						t.Errorf("%s: %v", name, err)
						return
					}
					r, err := c.Reader(bytes.NewReader(got[len("before"):]))
					if err != nil {
						t.Error(err)
						return
					}
					back, err := io.ReadAll(r)
					if err != nil || !slices.Equal(back, want) {
						t.Errorf("%s: %d bytes came back as %d, %v", name, len(want), len(back), err)
					}
					r.Close()
				}
			})
		}
		wg.Wait()
		if _, err := c.Reader(bytes.NewReader([]byte("garbage"))); name == "gzip" && err == nil {
			t.Error("garbage is no error")
		}
	}
	if c, err := NewCompressor("none"); c != nil || err != nil {
		t.Errorf("none: %v, %v", c, err)
	}
	if _, err := NewCompressor("lz4"); err == nil {
		t.Error("lz4 is no error")
	}
}

// BenchmarkCompress compresses a request of 4096 spans on one goroutine.
func BenchmarkCompress(b *testing.B) {
	batch := otlptest.Realistic(b, 4096)
	for _, name := range []string{"gzip", "zstd"} {
		b.Run(name, func(b *testing.B) {
			c, err := NewCompressor(name)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(batch.Bytes())))
			var out []byte
			for b.Loop() {
				if out, err = c.Append(out[:0], batch.Bytes()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(batch.Bytes()))/float64(len(out)), "ratio")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*batch.Len()), "ns/span")
		})
	}
}
