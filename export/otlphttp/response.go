package otlphttp

import (
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
	"github.com/ringtail-otel/ringtail/otlp"
)

// understand says what a response means. err is what went wrong when its body was
// read. (OTLP specification, "OTLP/HTTP Response".)
func (e *Exporter) understand(resp *http.Response, body []byte, err error) (otlpclient.Answer, error) {
	contentType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	grpc := strings.HasPrefix(contentType, "application/grpc")
	if resp.StatusCode/100 != 2 || grpc { // whose failures are trailers of a 200
		err := &statusError{code: resp.StatusCode, status: resp.Status, message: statusMessage(contentType, body)}
		if grpc {
			err.message = grpcPort
		}
		switch resp.StatusCode {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return otlpclient.Answer{}, &export.RetryableError{Err: err, After: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
		}
		return otlpclient.Answer{}, otlpclient.Permanent(err)
	}
	if contentType == "text/html" {
		return otlpclient.Answer{}, otlpclient.Permanent(errors.New("the answer is a web page: this is not an OTLP receiver"))
	}
	var a otlpclient.Answer
	switch {
	case err != nil:
		a.Err = fmt.Errorf("cannot read the answer: %w", err)
	case len(body) == 0:
	case contentType == "application/json" || contentType == "" && e.json:
		a.Rejected, a.Message, a.Err = otlp.ParseTraceResponseJSON(body)
	default:
		a.Rejected, a.Message, a.Err = otlp.ParseTraceResponse(body)
	}
	return a, nil
}

// grpcPort is for who mistakes one protocol's port for the other's.
const grpcPort = "this looks like a port for OTLP/gRPC, usually 4317; that of OTLP/HTTP is usually 4318"

// explain says of an error of net/http what it does not: that the answer begins with a frame of
// HTTP/2, a short one of type 4, which are the server's settings.
func explain(err error) error {
	if strings.Contains(err.Error(), `malformed HTTP response "\x00\x00`) {
		return fmt.Errorf("%w: %s", err, grpcPort)
	}
	return err
}

// statusError is a response that is not a success.
type statusError struct {
	code    int
	status  string
	message string
}

func (e *statusError) Error() string {
	if e.message == "" {
		return "the receiver answered " + e.status
	}
	return fmt.Sprintf("the receiver answered %s: %s", e.status, e.message)
}

// statusMessage returns what the body of an error says: the message of its Status,
// or the beginning of a text.
func statusMessage(contentType string, body []byte) string {
	const longest = 500
	var message string
	switch contentType {
	case "application/x-protobuf":
		_, message, _ = otlp.ParseStatus(body)
	case "application/json":
		_, message, _ = otlp.ParseStatusJSON(body)
	case "text/plain":
		message = string(body[:min(len(body), longest)])
	}
	if len(message) > longest {
		message = message[:longest] + "…"
	}
	return message
}

// retryAfter returns the delay that a Retry-After header asks for, in either of its
// forms, and zero if it is in none.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil {
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
