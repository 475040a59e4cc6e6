package collector

import (
	"fmt"
	"io"
	"runtime"
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

// grpcCompressor is a compression for gRPC, which unpacks messages itself, before
// this package sees them, and knows compressions only by a registry of the process.
//
// A small message may unpack to the largest allowed, and what it unpacks to is
// charged to the budget only afterwards. So only as many messages as there are
// processors unpack at a time: it is work for the processor alone, since the message
// has arrived, and more at once would not be faster.
type grpcCompressor struct {
	name    string
	writers sync.Pool // of resettable
	make    func() resettable
}

type resettable interface {
	io.WriteCloser
	Reset(io.Writer)
}

var unpacking = make(chan struct{}, runtime.GOMAXPROCS(0))

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
	unpacking <- struct{}{}
	d, _, err := decode(c.name, r)
	if err != nil {
		<-unpacking
		return nil, err
	}
	back := d.back
	d.back = func() { back(); <-unpacking }
	return d, nil // gRPC closes it
}
