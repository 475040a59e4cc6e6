package otlpgrpc

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
)

// classify says of a failed call whether it may be made again.
// (OTLP specification, "OTLP/gRPC Response", "Failures"; "OTLP/gRPC Throttling".)
func classify(err error) error {
	st := status.Convert(err)
	after, throttled := retryDelay(st)
	switch st.Code() {
	case codes.Canceled, codes.Aborted, codes.OutOfRange, codes.DataLoss:
	case codes.Unavailable:
		if strings.Contains(st.Message(), "looked like an HTTP/1.1 header") { // says golang.org/x/net/http2
			err = fmt.Errorf("%w: this looks like a port for OTLP/HTTP, usually 4318; that of OTLP/gRPC is usually 4317", err)
		}
	case codes.DeadlineExceeded:
		err = fmt.Errorf("%w (%w)", err, context.DeadlineExceeded)
	case codes.ResourceExhausted:
		if !throttled {
			return otlpclient.Permanent(err)
		}
	default:
		return otlpclient.Permanent(err)
	}
	return &export.RetryableError{Err: err, After: after}
}

// retryDelay returns the delay of a status' RetryInfo, and whether it has one.
func retryDelay(st *status.Status) (time.Duration, bool) {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return max(info.GetRetryDelay().AsDuration(), 0), true
		}
	}
	return 0, false
}
