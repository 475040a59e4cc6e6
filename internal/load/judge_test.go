package load

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ringtail-otel/ringtail/otlp"
)

// Answers mean what the OTLP specification says.
func TestJudgeGRPC(t *testing.T) {
	later := func(code codes.Code) error {
		st, err := status.New(code, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		return st.Err()
	}
	for _, test := range []struct {
		err  error
		want verdict
		code string
	}{
		{nil, taken, ""}, {later(codes.ResourceExhausted), refusedForNow, "RESOURCE_EXHAUSTED"}, {later(codes.Unavailable), refusedForNow, "UNAVAILABLE"},
		{status.Error(codes.ResourceExhausted, "too large"), refusedForGood, "RESOURCE_EXHAUSTED"},
		{status.Error(codes.InvalidArgument, ""), refusedForGood, "INVALID_ARGUMENT"}, {status.Error(codes.Internal, ""), refusedForGood, "INTERNAL"},
		{status.Error(codes.Unimplemented, ""), refusedForGood, "UNIMPLEMENTED"}, {errors.New("odd"), refusedForGood, "UNKNOWN"},
		{status.Error(codes.Unavailable, "queue is full"), refusedForNow, "UNAVAILABLE"}, {status.Error(codes.Aborted, ""), refusedForNow, "ABORTED"},
		{status.Error(codes.OutOfRange, ""), refusedForNow, "OUT_OF_RANGE"}, {status.Error(codes.DataLoss, ""), refusedForNow, "DATA_LOSS"},
		{status.Error(codes.DeadlineExceeded, ""), unanswered, "timeout"}, {status.Error(codes.Canceled, ""), unanswered, "timeout"},
		{status.Error(codes.Unavailable, "connection error: desc = \"transport: x\""), unanswered, "connection"},
		{status.Error(codes.Unavailable, "error reading from server: EOF"), unanswered, "connection"},
		{status.Error(99, ""), refusedForGood, "code 99"},
	} {
		o := judgeGRPC(nil, test.err)
		if o.verdict != test.want || o.code != test.code || o.told && o.after != 3*time.Second {
			t.Errorf("%v: %+v", test.err, o)
		}
	}
	if o := judgeGRPC(otlp.AppendTraceResponse(nil, 7, "why"), nil); o.verdict != taken || o.rejected != 7 {
		t.Errorf("%+v", o)
	}
	if o := judgeGRPC([]byte{0xff}, nil); o.verdict != taken || o.code != "garbage" {
		t.Errorf("%+v", o)
	}
}

func TestJudgeHTTP(t *testing.T) {
	for _, test := range []struct {
		status int
		after  string
		want   verdict
		told   bool
	}{
		{200, "", taken, false}, {202, "", taken, false}, {429, "2", refusedForNow, true}, {502, "", refusedForNow, false},
		{503, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), refusedForNow, true}, {504, "-1", refusedForNow, false},
		{400, "2", refusedForGood, false}, {500, "", refusedForGood, false}, {413, "", refusedForGood, false}, {302, "", refusedForGood, false},
	} {
		for _, json := range []bool{false, true} {
			resp := &http.Response{StatusCode: test.status, Header: http.Header{"Retry-After": {test.after}}}
			var body []byte
			if json {
				body = []byte("{}")
			}
			o := (&httpSender{json: json}).judge(resp, body)
			if o.verdict != test.want || o.told != test.told {
				t.Errorf("%d %q: %+v", test.status, test.after, o)
			}
		}
	}
	if d, ok := retryAfter("2"); d != 2*time.Second || !ok {
		t.Error(d)
	}
	if o := brokenHTTP(io.ErrUnexpectedEOF); o.verdict != unanswered || o.code != "connection" {
		t.Errorf("%+v", o)
	}
}
