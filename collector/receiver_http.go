package collector

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"mime"
	"net/http"
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
	cors   *cors
}

func newHTTPServer(s *Server, sink Sink, secure *tls.Config) *http.Server {
	// One request at a time on a connection, which bounds what a connection may cost. That
	// also leaves HTTP/2 to OTLP/gRPC.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           &receiverHTTP{server: s, sink: sink, cors: newCORS(s.cfg.CORS)},
		TLSConfig:         secure,
		Protocols:         &protocols,
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		ReadTimeout:       s.cfg.HeaderTimeout + s.cfg.BodyTimeout,
		WriteTimeout:      s.cfg.HeaderTimeout + s.cfg.BodyTimeout + sendGrace,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// What clients do to their connections is no business of our log.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// ServeHTTP answers one request.
func (r *receiverHTTP) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a := answer{w: w, json: isJSON(req)}
	if r.cors != nil {
		allowed := r.cors.permit(w.Header(), req)
		if preflight(req) {
			r.preflight(&a, req, allowed)
			return
		}
		if allowed {
			w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
		}
	}
	switch {
	case req.URL.Path == "/" && (req.Method == http.MethodGet || req.Method == http.MethodHead):
		welcome(w)
	case req.URL.Path != tracesPath:
		a.fail(http.StatusNotFound, codes.Unimplemented, fmt.Sprintf(
			"nothing is served at %s: ringtail receives traces, at %s", req.URL.Path, tracesPath))
	case req.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		a.fail(http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf(
			"method %s is not allowed: send spans with POST", req.Method))
	case !a.json && !isProtobuf(req):
		w.Header().Set("Accept", protobufType+", "+jsonType)
		a.fail(http.StatusUnsupportedMediaType, codes.InvalidArgument, fmt.Sprintf(
			"content type %q is not supported: send %s or %s", req.Header.Get("Content-Type"), protobufType, jsonType))
	default:
		r.export(&a, req)
	}
}

// preflight answers a browser that asks whether a page may send.
func (r *receiverHTTP) preflight(a *answer, req *http.Request, allowed bool) {
	if !allowed {
		a.fail(http.StatusForbidden, codes.PermissionDenied, fmt.Sprintf(
			"pages of %s may not send spans: the receiver's CORS allowed_origins do not have it", req.Header.Get("Origin")))
		return
	}
	r.cors.answer(a.w.Header(), req)
	a.w.WriteHeader(http.StatusNoContent)
}

// welcome is for somebody who looks what listens here.
func welcome(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "This is ringtail, an OpenTelemetry receiver of traces.\nSend spans with POST "+tracesPath+" ("+protobufType+" or "+jsonType+").\n")
}

func (r *receiverHTTP) export(a *answer, req *http.Request) {
	s := r.server
	b := body{budget: s.budget, max: s.cfg.MaxRequestBytes}
	defer b.free()
	if err := b.read(req); err != nil {
		v, code, grpcCode := readVerdict(err)
		s.counts.add(v)
		if v == overloaded || v == timedOut {
			a.retry(s.cfg.RetryDelay)
		}
		// What is left of the body is not worth reading, and so the connection cannot
		// be used again.
		a.w.Header().Set("Connection", "close")
		a.fail(code, grpcCode, err.Error())
		return
	}
	waiting := patience(req.Context(), s.cfg.BodyTimeout)
	defer waiting.end()
	_, err := r.submit(waiting, &b, a.json)
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
func (r *receiverHTTP) submit(ctx context.Context, b *body, json bool) (int, error) {
	if !json {
		return r.sink.Append(ctx, [][]byte{b.bytes()})
	}
	// The encoding is never twice as long as the JSON; that much is taken.
	n := len(b.bytes())
	if int64(b.held+2*n) > b.budget.limitFor(2*n) {
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
	return r.sink.Append(ctx, [][]byte{encoded})
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
