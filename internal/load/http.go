package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringtail-otel/ringtail/otlp"
)

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// httpSender is as many connections as requests are in flight, by OTLP/HTTP. (OTLP specification, "OTLP/HTTP".)
type httpSender struct {
	transport *http.Transport
	url       string
	header    http.Header
	json      bool
	compress  compressor // nil: none
}

func (r *run) openHTTP() (sender, error) {
	compress, err := newCompressor(r.cfg.Compression)
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if r.endpoint.tls {
		scheme = "https"
	}
	host := r.endpoint.name
	if r.endpoint.network == "tcp" {
		host = r.endpoint.address
	}
	h := &httpSender{
		url: scheme + "://" + host + r.endpoint.path, header: make(http.Header), json: r.cfg.Protocol == HTTPJSON, compress: compress,
		transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, r.endpoint.network, r.endpoint.address)
			},
			TLSClientConfig:     r.cfg.TLS,
			MaxIdleConnsPerHost: r.cfg.InFlight,
			DisableCompression:  true,
			WriteBufferSize:     64 << 10,
		},
	}
	for name, value := range r.cfg.Headers {
		h.header.Set(name, value)
	}
	h.header.Set("User-Agent", "ringtail-load")
	h.header.Set("Content-Type", "application/x-protobuf")
	if h.json {
		h.header.Set("Content-Type", "application/json")
	}
	if compress != nil {
		h.header.Set("Content-Encoding", r.cfg.Compression)
	}
	return h, nil
}

func (h *httpSender) close() { h.transport.CloseIdleConnections() }

func (h *httpSender) send(ctx context.Context, r *request) (outcome, int) {
	body := &httpBody{}
	if h.compress == nil {
		body.bytes, body.back = r.render(), r.template.free.Put
	} else {
		body.bytes, body.back = r.pack(h.compress), func(b *[]byte) { packed.Put(b) }
	}
	n := len(*body.bytes)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, nil)
	if err != nil {
		return outcome{verdict: refusedForGood, code: "request", text: err.Error()}, 0
	}
	req.Header, req.Body, req.ContentLength = h.header, body, int64(n)
	resp, err := h.transport.RoundTrip(req)
	if err != nil {
		return brokenHTTP(err), n
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return brokenHTTP(err), n
	}
	return h.judge(resp, answer), n
}

// brokenHTTP is for when there is no answer.
func brokenHTTP(err error) outcome {
	code := "connection"
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) {
		code = "timeout"
	}
	return outcome{verdict: unanswered, code: code, text: err.Error()}
}

// judge says what an answer means. (OTLP specification, "OTLP/HTTP Response", "Failures" and "OTLP/HTTP
// Throttling".)
func (h *httpSender) judge(resp *http.Response, answer []byte) outcome {
	if resp.StatusCode/100 == 2 {
		parse := otlp.ParseTraceResponse
		if h.json {
			parse = otlp.ParseTraceResponseJSON
		}
		rejected, text, err := parse(answer)
		if err != nil {
			return outcome{code: "garbage", text: "cannot read the answer: " + err.Error()}
		}
		return outcome{rejected: uint64(max(rejected, 0)), text: text}
	}
	parse := otlp.ParseStatus
	if h.json {
		parse = otlp.ParseStatusJSON
	}
	o := outcome{verdict: refusedForGood, code: strconv.Itoa(resp.StatusCode), text: resp.Status}
	if _, text, err := parse(answer); err == nil && text != "" {
		o.text = fmt.Sprintf("%s: %s", resp.Status, text)
	} else if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		// Something else than a receiver, or than one of HTTP.
		text, _, _ := strings.Cut(string(answer[:min(len(answer), 300)]), "\n")
		o.text = fmt.Sprintf("%s: %s", resp.Status, strings.TrimSpace(text))
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		o.verdict = refusedForNow
		o.after, o.told = retryAfter(resp.Header.Get("Retry-After"))
	}
	return o
}

// retryAfter reads seconds, or a date.
func retryAfter(s string) (time.Duration, bool) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n <= math.MaxInt32 {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(time.Until(at), 0), true
	}
	return 0, false
}

// httpBody is the body of a request. Its bytes go back once, when net/http closes it, which can be while
// another goroutine of its reads, and after the answer has come.
type httpBody struct {
	mu    sync.Mutex
	bytes *[]byte // nil once closed
	at    int
	back  func(*[]byte)
}

func (b *httpBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes == nil || b.at == len(*b.bytes) {
		return 0, io.EOF
	}
	n := copy(p, (*b.bytes)[b.at:])
	b.at += n
	return n, nil
}

func (b *httpBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes != nil {
		b.back(b.bytes)
		b.bytes = nil
	}
	return nil
}
