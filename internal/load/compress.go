package load

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A compressor appends the compressed form of src to dst. Both are used at their fastest level, as
// SDKs and collectors use them.
type compressor func(dst, src []byte) []byte

// newCompressor returns nil for none. name has been checked.
func newCompressor(name string) (compressor, error) {
	switch name {
	case "gzip":
		return appendGzip, nil
	case "zstd":
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
		if err != nil {
			return nil, err
		}
		return func(dst, src []byte) []byte { return enc.EncodeAll(src, dst) }, nil
	}
	return nil, nil
}

// A gzip writer has tables of some 100 KiB, always of the same size.
var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one that exists
	}
	return w
}}

func appendGzip(dst, src []byte) []byte {
	out := bytes.NewBuffer(dst)
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(out)
	w.Write(src) // a buffer fails at nothing
	w.Close()
	return out.Bytes()
}

// packed holds buffers for compressed messages, which the caller of pack gives back.
var packed = sync.Pool{New: func() any { return new([]byte) }}

// pack compresses a request's body.
func (r *request) pack(c compressor) *[]byte {
	body := r.render()
	dst := packed.Get().(*[]byte)
	*dst = c((*dst)[:0], *body)
	r.template.free.Put(body)
	return dst
}
