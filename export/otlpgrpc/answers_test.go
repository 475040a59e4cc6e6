package otlpgrpc

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
	"github.com/ringtail-otel/ringtail/otlp"
)

// OTLP specification, "OTLP/gRPC Response", "Failures": the table.
func TestCodes(t *testing.T) {
	otlptest.NoLeaks(t)
	retried := map[codes.Code]bool{
		codes.Canceled: true, codes.DeadlineExceeded: true, codes.Aborted: true, codes.OutOfRange: true,
		codes.Unavailable: true, codes.DataLoss: true,
	}
	var answer error
	r := (&receiver{answer: func(context.Context, []int) ([]byte, error) { return nil, answer }}).start(t)
	e := newTestExporter(t, r.addr, WithInsecure(), WithRetry(export.RetryConfig{InitialInterval: time.Millisecond, MaxAttempts: 3}))
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		answer = status.Error(code, "no")
		r.reset()
		err := e.Export(t.Context(), otlptest.Batch(t, 1, 7, 0))
		calls, reason := 1, ringtail.ReasonRejected
		if retried[code] {
			calls, reason = 3, ringtail.ReasonExport
		}
		if code == codes.DeadlineExceeded {
			reason = ringtail.ReasonTimeout
		}
		if losses := ringtail.Losses(err, 7); losses[reason] != 7 || r.count() != calls {
			t.Errorf("%v: %d calls, want %d; %v", code, r.count(), calls, err)
		}
		if status.Code(err) != code {
			t.Errorf("%v: the error hides the status: %v", code, err)
		}
	}
}

func TestRetryInfo(t *testing.T) {
	otlptest.NoLeaks(t)
	var answer error
	r := (&receiver{answer: func(context.Context, []int) ([]byte, error) { return nil, answer }}).start(t)
	e := newTestExporter(t, r.addr, WithInsecure(), WithRetry(export.RetryConfig{MaxAttempts: 1}))
	for _, c := range []struct {
		code  codes.Code
		delay *durationpb.Duration
		want  time.Duration
		again bool
	}{
		{codes.ResourceExhausted, durationpb.New(1500 * time.Millisecond), 1500 * time.Millisecond, true},
		{codes.ResourceExhausted, nil, 0, true},
		{codes.ResourceExhausted, durationpb.New(-time.Hour), 0, true},
		{codes.Unavailable, durationpb.New(3 * time.Second), 3 * time.Second, true},
		{codes.InvalidArgument, durationpb.New(3 * time.Second), 0, false},
	} {
		st, err := status.New(c.code, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: c.delay})
		if err != nil {
			t.Fatal(err)
		}
		answer = st.Err()
		after, again := export.Retryable(e.Export(t.Context(), otlptest.Batch(t, 1, 1, 0)))
		if after != c.want || again != c.again {
			t.Errorf("%v with %v: %v, %v", c.code, c.delay, after, again)
		}
	}
}

func TestPartialSuccess(t *testing.T) {
	otlptest.NoLeaks(t)
	var answer []byte
	r := (&receiver{answer: func(context.Context, []int) ([]byte, error) { return answer, nil }}).start(t)
	var log bytes.Buffer
	for _, c := range []struct {
		name   string
		answer []byte
		lost   uint64
		logged string
	}{
		{"none", nil, 0, ""},
		{"empty", []byte{0x0a, 0x00}, 0, ""},
		{"some", otlp.AppendTraceResponse(nil, 4, "four are odd"), 4, ""},
		{"too many", otlp.AppendTraceResponse(nil, 99, "liar"), 10, ""},
		{"negative", otlp.AppendTraceResponse(nil, -4, ""), 0, ""},
		{"warning", otlp.AppendTraceResponse(nil, 0, "slow down"), 0, "slow down"},
		{"garbage", []byte("\xff\xff\xff\xffnonsense"), 0, "cannot be read"},
	} {
		log.Reset()
		e := newTestExporter(t, r.addr, WithInsecure(), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		answer = c.answer
		r.reset()
		err := e.Export(t.Context(), otlptest.Batch(t, 1, 10, 0))
		if losses := ringtail.Losses(err, 10); losses[ringtail.ReasonRejected] != c.lost || losses.Total() != c.lost || r.count() != 1 {
			t.Errorf("%s: %v, %d calls", c.name, err, r.count())
		}
		if c.logged == "" && log.Len() > 0 || !strings.Contains(log.String(), c.logged) {
			t.Errorf("%s: log %q, want %q", c.name, &log, c.logged)
		}
	}
}

func TestHugeResponse(t *testing.T) {
	otlptest.NoLeaks(t)
	r := (&receiver{answer: func(context.Context, []int) ([]byte, error) { return make([]byte, 5<<20), nil }}).start(t)
	e := newTestExporter(t, r.addr, WithInsecure(), quick)
	err := e.Export(t.Context(), otlptest.Batch(t, 1, 3, 0))
	if losses := ringtail.Losses(err, 3); losses[ringtail.ReasonRejected] != 3 || r.count() != 1 {
		t.Errorf("%v, %d calls", err, r.count())
	}
}

func TestWhatIsNoReceiver(t *testing.T) {
	otlptest.NoLeaks(t)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	noise, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer noise.Close()
	wg.Go(func() {
		for {
			c, err := noise.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(strings.Repeat("noise", 1000)))
			c.Close()
		}
	})
	other := grpc.NewServer()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { _ = other.Serve(lis) })
	defer other.Stop()
	for name, addr := range map[string]string{
		"web server":         web.Listener.Addr().String(),
		"noise":              noise.Addr().String(),
		"other gRPC service": lis.Addr().String(),
	} {
		e := newTestExporter(t, addr, WithInsecure(), WithTimeout(2*time.Second), WithRetry(export.RetryConfig{InitialInterval: 1, MaxAttempts: 2}))
		err := e.Export(t.Context(), otlptest.Batch(t, 1, 3, 0))
		if losses := ringtail.Losses(err, 3); losses.Total() != 3 {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
}
