package collector

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

// zstdWindow is the largest window that a zstd frame may ask for, the largest that
// common encoders use. The decoder's memory follows it.
const zstdWindow = 32 << 20

// A decoder is an algorithm's reader, and the pool that it goes back to.
type decoder struct {
	io.Reader
	back func()
}

// Close gives the reader back. It does not close what was read from.
func (d *decoder) Close() error {
	if d.back != nil {
		d.back()
		d.back = nil
	}
	return nil
}

var (
	gzipReaders sync.Pool // of *gzip.Reader
	zstdReaders sync.Pool // of *zstd.Decoder: of one goroutine, the caller's, so that nothing needs closing
)

// decode unpacks r, which is compressed in that way; ok is false when the way is
// not known. Closing the decoder gives it back, and leaves r alone.
func decode(encoding string, r io.Reader) (d *decoder, ok bool, err error) {
	switch encoding {
	case "gzip":
		z, _ := gzipReaders.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		if err := z.Reset(r); err != nil {
			gzipReaders.Put(z)
			return nil, true, fmt.Errorf("gzip: %w", err)
		}
		return &decoder{z, func() { gzipReaders.Put(z) }}, true, nil
	case "zstd":
		z, _ := zstdReaders.Get().(*zstd.Decoder)
		if z == nil {
			z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
			if err != nil {
				return nil, true, err
			}
		}
		if err := z.Reset(r); err != nil {
			zstdReaders.Put(z)
			return nil, true, fmt.Errorf("zstd: %w", err)
		}
		return &decoder{z, func() { z.Reset(nil); zstdReaders.Put(z) }}, true, nil
	}
	return nil, false, nil
}

// grpcCompressor is a compression as gRPC knows it, by a registry of the process, without
// which it turns compressed requests away. This package unpacks them itself, where the
// budget is asked as they grow, and sends nothing that is worth compressing; clients in the
// same process may use it, too.
type grpcCompressor struct {
	name    string
	writers sync.Pool // of resettable
	make    func() resettable
}

type resettable interface {
	io.WriteCloser
	Reset(io.Writer)
}

func init() {
	encoding.RegisterCompressor(&grpcCompressor{name: "gzip", make: func() resettable { return gzip.NewWriter(nil) }})
	encoding.RegisterCompressor(&grpcCompressor{name: "zstd", make: func() resettable {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			panic(err) // the options are constants
		}
		return w
	}})
}

func (c *grpcCompressor) Name() string { return c.name }

func (c *grpcCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	z, _ := c.writers.Get().(resettable)
	if z == nil {
		z = c.make()
	}
	z.Reset(w)
	return &pooledWriter{z, &c.writers}, nil
}

type pooledWriter struct {
	resettable
	pool *sync.Pool
}

func (w *pooledWriter) Close() error {
	err := w.resettable.Close()
	w.pool.Put(w.resettable)
	return err
}

func (c *grpcCompressor) Decompress(r io.Reader) (io.Reader, error) {
	d, _, err := decode(c.name, r)
	if err != nil {
		return nil, err
	}
	return d, nil // gRPC closes it
}
