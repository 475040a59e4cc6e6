package otlpgrpc

import (
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
)

// response is an encoded ExportTraceServiceResponse.
type response []byte

// codec passes encoded messages through. It is used for our calls only and is not
// registered.
type codec struct{}

// Name makes the content type the usual one, application/grpc+proto.
func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*request)
	if !ok {
		return nil, fmt.Errorf("otlpgrpc: cannot send a %T", v)
	}
	return r.buffers()
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	resp, ok := v.(*response)
	if !ok {
		return fmt.Errorf("otlpgrpc: cannot receive a %T", v)
	}
	*resp = data.Materialize()
	return nil
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
