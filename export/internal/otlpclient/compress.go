package otlpclient

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compressor compresses whole messages, and decompresses what comes back. It may be
// used by several goroutines at once.
type Compressor struct {
	Name   string                                          // as content-encoding and grpc-encoding spell it
	Append func(dst []byte, src ...[]byte) ([]byte, error) // src is one message, in pieces
	Reader func(src io.Reader) (io.ReadCloser, error)
}

// NewCompressor returns the compressor of that name, and nil for "none" and "".
//
// Both work at their fastest level; docs/design/otlp-export.md has the figures.
func NewCompressor(name string) (*Compressor, error) {
	switch name {
	case "", "none":
		return nil, nil
	case "gzip":
		return &Compressor{Name: name, Append: appendGzip, Reader: func(r io.Reader) (io.ReadCloser, error) {
			return gzip.NewReader(r)
		}}, nil
	case "zstd":
		// No more than two work at a time: each keeps a window and its tables.
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
		if err != nil {
			return nil, err
		}
		return &Compressor{
			Name:   name,
			Append: func(dst []byte, src ...[]byte) ([]byte, error) { return appendZstd(enc, dst, src), nil },
			Reader: func(r io.Reader) (io.ReadCloser, error) {
				d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*MaxResponse))
				if err != nil {
					return nil, err
				}
				return d.IOReadCloser(), nil
			},
		}, nil
	}
	return nil, fmt.Errorf("is %q, must be none, gzip or zstd", name)
}

// A gzip writer has tables of some 100 KiB, always of the same size.
var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one that exists
	}
	return w
}}

func appendGzip(dst []byte, src ...[]byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(out)
	for _, piece := range src {
		if _, err := w.Write(piece); err != nil {
			return dst, err
		}
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

// appendZstd lays the pieces side by side first: a frame can also be written piece by
// piece, but its writer copies all it is given into a window of its own, too, of
// megabytes for each writer.
func appendZstd(enc *zstd.Encoder, dst []byte, src [][]byte) []byte {
	if len(src) == 1 {
		return enc.EncodeAll(src[0], dst)
	}
	joined := buffers.Get().(*[]byte)
	defer putBuffer(joined)
	*joined = (*joined)[:0]
	for _, piece := range src {
		*joined = append(*joined, piece...)
	}
	return enc.EncodeAll(*joined, dst)
}
