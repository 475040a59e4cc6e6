package sink

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

// A format is a compression that requests may have.
type format struct {
	name    string
	readers sync.Pool // of resetter
	open    func(io.Reader) (resetter, error)
}

type resetter interface {
	io.Reader
	Reset(io.Reader) error
}

var formats = []*format{
	{name: "gzip", open: func(r io.Reader) (resetter, error) { return gzip.NewReader(r) }},
	{name: "zstd", open: func(r io.Reader) (resetter, error) {
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(32<<20))
	}},
}

func formatNamed(name string) *format {
	for _, f := range formats {
		if f.name == name {
			return f
		}
	}
	return nil
}

// unpacker reads what was compressed; Close gives its reader to the next.
type unpacker struct {
	resetter
	format *format
}

func (f *format) unpack(r io.Reader) (io.ReadCloser, error) {
	if z, ok := f.readers.Get().(resetter); ok {
		if err := z.Reset(r); err != nil {
			f.readers.Put(z)
			return nil, err
		}
		return &unpacker{z, f}, nil
	}
	z, err := f.open(r)
	if err != nil {
		return nil, err
	}
	return &unpacker{z, f}, nil
}

func (u *unpacker) Close() error {
	if u.resetter != nil {
		u.format.readers.Put(u.resetter)
		u.resetter = nil
	}
	return nil
}

// gRPC unpacks messages itself, and knows compressions only by a registry of the whole process. What
// another package has registered serves as well: in one binary with the daemon it is the daemon's.
func init() {
	for _, f := range formats {
		if encoding.GetCompressor(f.name) == nil {
			encoding.RegisterCompressor(registered{f})
		}
	}
}

type registered struct{ *format }

func (r registered) Name() string { return r.name }

// Decompress returns what gRPC closes once it has read it.
func (r registered) Decompress(in io.Reader) (io.Reader, error) { return r.unpack(in) }

// Compress is for answers, which gRPC compresses as the requests were. They have a few bytes.
func (r registered) Compress(w io.Writer) (io.WriteCloser, error) {
	if r.name == "gzip" {
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	}
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<10))
}
