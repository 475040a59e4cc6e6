package otlpgrpc

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
)

type (
	request  [][]byte // an encoded ExportTraceServiceRequest in pieces, perhaps compressed
	response []byte   // an encoded ExportTraceServiceResponse
)

// codec passes encoded messages through. It is used for our calls only and is not
// registered.
//
// grpc-go may read a message after the call has returned: when the receiver answers,
// or the time is over, before all was written. There is no way to know when it has
// let go, since it forgets to release what belongs to a stream that has gone. So the
// bytes are copied, into memory that grpc-go gives back once it is done, and that
// the garbage collector takes if it does not. docs/design/otlp-export.md says what
// that costs. A message in pieces is joined by the same copy.
type codec struct {
	copied bool // what sends the message takes a copy by itself
}

// Name makes the content type the usual one, application/grpc+proto.
func (codec) Name() string { return "proto" }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	msg, ok := v.(request)
	if !ok {
		return nil, fmt.Errorf("otlpgrpc: cannot send a %T", v)
	}
	if c.copied {
		data := make(mem.BufferSlice, len(msg))
		for i, piece := range msg {
			data[i] = mem.SliceBuffer(piece)
		}
		return data, nil
	}
	size := 0
	for _, piece := range msg {
		size += len(piece)
	}
	buf := copies.Get(size)
	joined := (*buf)[:0]
	for _, piece := range msg {
		joined = append(joined, piece...)
	}
	return mem.BufferSlice{mem.NewBuffer(buf, copies)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	resp, ok := v.(*response)
	if !ok {
		return fmt.Errorf("otlpgrpc: cannot receive a %T", v)
	}
	*resp = data.Materialize()
	return nil
}

// copies holds the memory of messages that grpc-go is about to write. Other than its
// own pools it does not clear a buffer that will be overwritten.
var copies mem.BufferPool = new(pool)

type pool struct{ buffers sync.Pool }

// maxPooled is the largest buffer that is kept: a request of the usual maximum.
const maxPooled = 4 << 20

func (p *pool) Get(n int) *[]byte {
	buf, ok := p.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	*buf = slices.Grow((*buf)[:0], n)[:n]
	return buf
}

func (p *pool) Put(buf *[]byte) {
	if cap(*buf) <= maxPooled {
		p.buffers.Put(buf)
	}
}

// compression returns the options that make all messages of a connection be
// announced as compressed. The message is compressed already: once, however often it
// is sent. What grpc-go takes for the compressor copies it.
//
// These options belong to the older of grpc-go's two interfaces. The newer one
// knows only compressors that are registered for the whole process, which would make
// each of its gRPC servers accept zstd.
func compression(c *otlpclient.Compressor) []grpc.DialOption {
	//lint:ignore SA1019 see above; "will be supported throughout 1.x"
	to := grpc.WithCompressor(compressed{c.Name})
	//lint:ignore SA1019 see above
	from := grpc.WithDecompressor(decompressor{c})
	return []grpc.DialOption{to, from}
}

type compressed struct{ name string }

func (c compressed) Type() string { return c.name }

func (compressed) Do(w io.Writer, msg []byte) error {
	_, err := w.Write(msg)
	return err
}

type decompressor struct{ c *otlpclient.Compressor }

func (d decompressor) Type() string { return d.c.Name }

func (d decompressor) Do(r io.Reader) ([]byte, error) {
	z, err := d.c.Reader(r)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return io.ReadAll(io.LimitReader(z, otlpclient.MaxResponse+1)) // grpc-go refuses the one byte more
}
