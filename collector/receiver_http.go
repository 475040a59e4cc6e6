package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ringtail-otel/ringtail/otlp"
)

const (
	tracesPath   = "/v1/traces"
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"

	// idleTimeout is how long a connection without a request is kept.
	idleTimeout = 2 * time.Minute

	// sendGrace is how much longer than a request may take to come, its answer may
	// take to go.
	sendGrace = 10 * time.Second
)

// receiverHTTP is OTLP over HTTP. Every answer is in the request's own content
// type, errors as a Status message. (OTLP specification, "OTLP/HTTP".)
type receiverHTTP struct {
	server *Server
	sink   Sink
}

func newHTTPServer(s *Server, sink Sink) *http.Server {
	return &http.Server{
		Handler:           &receiverHTTP{server: s, sink: sink},
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		ReadTimeout:       s.cfg.HeaderTimeout + s.cfg.BodyTimeout,
		WriteTimeout:      s.cfg.HeaderTimeout + s.cfg.BodyTimeout + sendGrace,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		// What clients do to their connections is no business of our log.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// ServeHTTP answers one request.
func (r *receiverHTTP) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a := answer{w: w, json: isJSON(req)}
	switch {
	case req.URL.Path != tracesPath:
		a.fail(http.StatusNotFound, codes.Unimplemented, fmt.Sprintf(
			"nothing is served at %s: ringtail receives traces, at %s", req.URL.Path, tracesPath))
		return
	case req.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		a.fail(http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf(
			"method %s is not allowed: send spans with POST", req.Method))
		return
	case !a.json && !isProtobuf(req):
		a.fail(http.StatusUnsupportedMediaType, codes.InvalidArgument, fmt.Sprintf(
			"content type %q is not supported: send %s or %s", req.Header.Get("Content-Type"), protobufType, jsonType))
		return
	}
	r.export(&a, req)
}

func (r *receiverHTTP) export(a *answer, req *http.Request) {
	s := r.server
	b := body{budget: s.budget, max: s.cfg.MaxRequestBytes}
	defer b.free()
	if err := b.read(req); err != nil {
		v, code, grpcCode := readVerdict(err)
		s.counts.add(v)
		if v == overloaded {
			a.retry(s.cfg.RetryDelay)
		}
		// What is left of the body is not worth reading, and so the connection cannot
		// be used again.
		a.w.Header().Set("Connection", "close")
		a.fail(code, grpcCode, err.Error())
		return
	}
	_, err := r.submit(&b, a.json)
	switch s.counts.judge(err) {
	case accepted:
		a.succeed()
	case bad:
		a.fail(http.StatusBadRequest, codes.InvalidArgument, err.Error())
	case overloaded:
		a.retry(s.cfg.RetryDelay)
		a.fail(http.StatusServiceUnavailable, codes.Unavailable, overloadText(err))
	case tooLarge:
		a.fail(http.StatusRequestEntityTooLarge, codes.ResourceExhausted, err.Error())
	default:
		a.fail(http.StatusInternalServerError, codes.Internal, err.Error())
	}
}

// submit hands the body to the sink, as protobuf.
func (r *receiverHTTP) submit(b *body, json bool) (int, error) {
	if !json {
		return r.sink.TrySubmitRequest(b.bytes())
	}
	// The encoding is never twice as long as the JSON; that much is taken.
	n := len(b.bytes())
	if int64(b.held+2*n) > b.budget.limit {
		return 0, fmt.Errorf("%w: JSON of %d bytes takes three times as many, more than --memory-limit", errTooLarge, n)
	}
	pb := body{budget: b.budget, max: 2 * n}
	defer pb.free()
	if err := pb.grow(2 * n); err != nil {
		return 0, err
	}
	encoded, err := otlp.AppendFromJSON((*pb.buffer)[:0], b.bytes())
	if err != nil {
		return 0, err
	}
	return r.sink.TrySubmitRequest(encoded)
}

// Why a body was not read.
var (
	errOverBudget = errors.New(overBudget)
	errTooLarge   = errors.New("request is too large")
	errEncoding   = errors.New("content encoding is not supported")
	errGone       = errors.New("the client went away")
)

func readVerdict(err error) (verdict, int, codes.Code) {
	var network net.Error
	switch {
	case errors.Is(err, errOverBudget):
		return overloaded, http.StatusServiceUnavailable, codes.Unavailable
	case errors.Is(err, errTooLarge):
		return tooLarge, http.StatusRequestEntityTooLarge, codes.ResourceExhausted
	case errors.Is(err, errEncoding):
		return bad, http.StatusUnsupportedMediaType, codes.InvalidArgument
	case errors.Is(err, errGone), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &network):
		return timedOut, http.StatusRequestTimeout, codes.DeadlineExceeded
	}
	return bad, http.StatusBadRequest, codes.InvalidArgument
}

// arriving is a request's body on the wire. It tells a client that went away in the
// middle from a compressed body that ends too early.
type arriving struct {
	body io.Reader
	err  error // what it ended with, other than its end
}

func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err == io.ErrUnexpectedEOF {
		err = errGone
	}
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

// announcedAtOnce is how much of an announced length is taken from the budget before
// anything has come: an announcement costs its sender nothing.
const announcedAtOnce = 64 << 10

// A body is a request's bytes, in a buffer whose size is taken from the budget.
type body struct {
	budget *budget
	max    int // bytes

	buffer *[]byte // nil until something was read
	used   int
	held   int // bytes of the budget
}

func (b *body) bytes() []byte {
	if b.buffer == nil {
		return nil
	}
	return (*b.buffer)[:b.used]
}

func (b *body) free() {
	if b.buffer != nil {
		buffers.Put(b.buffer)
		b.buffer = nil
	}
	b.budget.give(b.held)
	b.held = 0
}

// read reads a request's body and unpacks it.
func (b *body) read(req *http.Request) error {
	announced := req.ContentLength // -1: unknown
	if announced > int64(b.max) {
		return fmt.Errorf("%w: %d bytes, of at most %d (--max-request-bytes)", errTooLarge, announced, b.max)
	}
	// Before the client is told to go on sending (Expect: 100-continue), or the
	// compressed header is even looked at, there must be room.
	if !b.budget.fits(int(max(announced, 0))) {
		return errOverBudget
	}
	wire := &arriving{body: req.Body}
	encoding := strings.ToLower(req.Header.Get("Content-Encoding"))
	if encoding == "" || encoding == "identity" {
		return b.fill(wire, int(announced))
	}
	if err := b.grow(int(min(max(announced, 0), announcedAtOnce))); err != nil {
		return err
	}
	// What comes in is bounded apart from what comes out: empty blocks can go on for ever.
	in := &io.LimitedReader{R: wire, N: int64(b.max) + 1}
	d, known, err := decode(encoding, in)
	if !known {
		return fmt.Errorf("%w: %q; send gzip, zstd or none", errEncoding, encoding)
	}
	if err == nil {
		err = b.fill(d, -1)
		d.Close()
	}
	if in.N <= 0 {
		return fmt.Errorf("%w: more than %d bytes, compressed (--max-request-bytes)", errTooLarge, b.max)
	}
	if err != nil && wire.err != nil { // which a decoder need not pass on
		return fmt.Errorf("cannot read the %s body: %w", encoding, wire.err)
	}
	if err != nil && !errors.Is(err, errOverBudget) && !errors.Is(err, errTooLarge) {
		return fmt.Errorf("cannot unpack the %s body: %w", encoding, err)
	}
	return err
}

// fill reads r to its end. announced is its length; -1 if that is not known.
func (b *body) fill(r io.Reader, announced int) error {
	if announced >= 0 {
		return b.fillAnnounced(r, announced)
	}
	for {
		if b.buffer == nil || b.used == len(*b.buffer) {
			if b.used > b.max {
				return fmt.Errorf("%w: more than %d bytes (--max-request-bytes)", errTooLarge, b.max)
			}
			// One byte more than allowed, to notice what is too long.
			if err := b.grow(min(max(2*b.used, 1<<leastBufferBits), b.max+1)); err != nil {
				return err
			}
		}
		n, err := r.Read((*b.buffer)[b.used:])
		b.used += n
		if err == io.EOF {
			if b.used > b.max {
				return fmt.Errorf("%w: more than %d bytes (--max-request-bytes)", errTooLarge, b.max)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the body after %d bytes: %w", b.used, err)
		}
	}
}

// fillAnnounced reads as many bytes as were announced. The budget pays for what has come
// and as much again, not for what was announced.
func (b *body) fillAnnounced(r io.Reader, announced int) error {
	for {
		if err := b.grow(min(max(2*b.used, announcedAtOnce), announced)); err != nil {
			return err
		}
		n, err := io.ReadFull(r, (*b.buffer)[b.used:])
		b.used += n
		if b.used == announced {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the body: %d of %d bytes came: %w", b.used, announced, err)
		}
	}
}

// grow makes room for n bytes, once the budget has them, and keeps what was read. The
// one byte above max, which is there to notice what is too long, is free.
func (b *body) grow(n int) error {
	if more := min(n, b.max) - b.held; more > 0 {
		if !b.budget.take(more) {
			return errOverBudget
		}
		b.held += more
	}
	if b.buffer != nil && n <= cap(*b.buffer) {
		*b.buffer = (*b.buffer)[:n]
		return nil
	}
	larger := buffers.Get(n)
	if b.buffer != nil {
		copy(*larger, (*b.buffer)[:b.used])
		buffers.Put(b.buffer)
	}
	b.buffer = larger
	return nil
}

// An answer is written in the request's content type.
type answer struct {
	w    http.ResponseWriter
	json bool
}

func (a *answer) succeed() {
	if a.json {
		a.write(http.StatusOK, otlp.AppendTraceResponseJSON(nil, 0, ""))
		return
	}
	a.write(http.StatusOK, nil)
}

func (a *answer) retry(delay time.Duration) { a.w.Header().Set("Retry-After", retryAfter(delay)) }

// fail answers with a Status that carries the gRPC code and the text.
func (a *answer) fail(code int, grpcCode codes.Code, text string) {
	if a.json {
		a.write(code, otlp.AppendStatusJSON(nil, int32(grpcCode), text))
		return
	}
	a.write(code, otlp.AppendStatus(nil, int32(grpcCode), text))
}

func (a *answer) write(code int, body []byte) {
	h := a.w.Header()
	h["Content-Type"] = protobufHeader
	if a.json {
		h["Content-Type"] = jsonHeader
	}
	a.w.WriteHeader(code)
	a.w.Write(body) // a client that has gone away does not care
}

var protobufHeader, jsonHeader = []string{protobufType}, []string{jsonType}

func isProtobuf(req *http.Request) bool { return hasType(req, protobufType) }
func isJSON(req *http.Request) bool     { return hasType(req, jsonType) }

func hasType(req *http.Request, want string) bool {
	got := req.Header.Get("Content-Type")
	if got == want {
		return true // the usual case, without parameters
	}
	got, _, err := mime.ParseMediaType(got)
	return err == nil && got == want
}
