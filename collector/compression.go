package collector

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
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
