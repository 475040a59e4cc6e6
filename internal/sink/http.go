package sink

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ringtail-otel/ringtail/otlp"
)

// newHTTP serves OTLP/HTTP, and the report.
func (s *Sink) newHTTP() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", s.serveTraces)
	mux.HandleFunc("GET /report", s.serveReport)
	return &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
}

func (s *Sink) serveReport(w http.ResponseWriter, _ *http.Request) {
	report, err := s.Report()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(report)
}

func (s *Sink) serveTraces(w http.ResponseWriter, req *http.Request) {
	isJSON := strings.HasPrefix(req.Header.Get("Content-Type"), "application/json")
	body, err := readBody(req)
	defer buffers.Put(body)
	request := *body
	if err == nil && isJSON {
		request, err = otlp.AppendFromJSON(nil, request)
	}
	if err != nil {
		s.count(func(c *Counts) { c.Malformed++ })
		r := refused(codes.InvalidArgument, http.StatusBadRequest, err.Error())
		r.write(w, isJSON)
		return
	}
	r := s.take(req.Context(), request)
	r.write(w, isJSON)
}

// write answers in the request's own content type. (OTLP specification, "OTLP/HTTP Response".)
func (r *reply) write(w http.ResponseWriter, isJSON bool) {
	if r.silent {
		panic(http.ErrAbortHandler) // closes the connection, if it is not yet
	}
	header := w.Header()
	header["Content-Type"] = protobufType
	status, text := otlp.AppendStatus, otlp.AppendTraceResponse
	if isJSON {
		header["Content-Type"] = jsonType
		status, text = otlp.AppendStatusJSON, otlp.AppendTraceResponseJSON
	}
	switch {
	case r.garbage:
		io.WriteString(w, garbage)
	case r.code != codes.OK:
		if r.retry > 0 {
			header.Set("Retry-After", strconv.Itoa(int(math.Ceil(r.retry.Seconds()))))
		}
		w.WriteHeader(r.http)
		w.Write(status(nil, int32(r.code), r.text))
	case r.rejected > 0:
		w.Write(text(nil, int64(r.rejected), r.text))
	case isJSON:
		w.Write(text(nil, 0, ""))
	}
}

var protobufType, jsonType = []string{"application/x-protobuf"}, []string{"application/json"}

// readBody reads and unpacks a body into a buffer, which is never nil.
func readBody(req *http.Request) (*[]byte, error) {
	var in io.Reader = req.Body
	size := req.ContentLength
	if name := req.Header.Get("Content-Encoding"); name != "" && name != "identity" {
		f := formatNamed(name)
		if f == nil {
			return new([]byte), fmt.Errorf("content encoding %q is not known: send gzip, zstd or none", name)
		}
		z, err := f.unpack(in)
		if err != nil {
			return new([]byte), fmt.Errorf("cannot unpack the %s body: %w", name, err)
		}
		defer z.Close()
		in, size = z, -1
	}
	if size > maxRequest {
		return new([]byte), fmt.Errorf("a request of %d bytes is too large", size)
	}
	if size >= 0 {
		b := buffers.Get(int(size))
		_, err := io.ReadFull(in, *b)
		return b, err
	}
	return readUnknown(in)
}

// readUnknown reads a body whose length is not known.
func readUnknown(in io.Reader) (*[]byte, error) {
	b := buffers.Get(64 << 10)
	used := 0
	for {
		n, err := in.Read((*b)[used:])
		if used += n; used > maxRequest {
			return b, fmt.Errorf("a request of more than %d bytes is too large", maxRequest)
		}
		if err == io.EOF {
			*b = (*b)[:used]
			return b, nil
		}
		if err != nil {
			return b, fmt.Errorf("cannot read the body: %w", err)
		}
		if used < len(*b) {
			continue
		}
		larger := buffers.Get(2 * used)
		copy(*larger, (*b)[:used])
		buffers.Put(b)
		b = larger
	}
}
