package collector

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/otlp"
)

func TestMemoryJoinsPieces(t *testing.T) {
	exporter := &countingExporter{}
	c, err := ringtail.New(exporter)
	if err != nil {
		t.Fatal(err)
	}
	sink := Memory(c)
	whole := encoded(t, request(5))
	n := len(whole)
	for _, pieces := range [][][]byte{{whole}, {whole[:1], whole[1 : n-1], whole[n-1:]}, {whole[:n/2], nil, whole[n/2:]}} {
		if spans, err := sink.Append(t.Context(), pieces); spans != 5 || err != nil {
			t.Errorf("%d pieces: %d, %v", len(pieces), spans, err)
		}
	}
	for _, pieces := range [][][]byte{nil, {}, {nil}, {{}, {}}} {
		if spans, err := sink.Append(t.Context(), pieces); spans != 0 || err != nil {
			t.Errorf("empty: %d, %v", spans, err)
		}
	}
	var syntax *otlp.SyntaxError
	if _, err := sink.Append(t.Context(), [][]byte{whole, {0xff}}); !errors.As(err, &syntax) {
		t.Errorf("%v", err)
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if n := exporter.spans.Load(); n != 15 {
		t.Errorf("%d spans arrived", n)
	}
	if _, err := sink.Append(t.Context(), [][]byte{whole}); err != ringtail.ErrClosed {
		t.Errorf("%v", err)
	}
}

type transient struct{ retryable bool }

func (transient) Error() string     { return "the disk is full" }
func (e transient) Retryable() bool { return e.retryable }

// What a sink says, as each protocol puts it.
func TestSinkErrors(t *testing.T) {
	var answer error
	s := start(t, &sink{answer: func([]byte) error { return answer }}, nil)
	conn := dial(t, s)
	for _, test := range []struct {
		err  error
		code codes.Code
		http string
	}{
		{fmt.Errorf("cannot append: %w", transient{true}), codes.Unavailable, "503 Service Unavailable"},
		{transient{false}, codes.Internal, "500 Internal Server Error"},
		{fmt.Errorf("log: %w", ringtail.ErrFull), codes.Unavailable, "503 Service Unavailable"},
		{context.DeadlineExceeded, codes.Unavailable, "503 Service Unavailable"},
		{fmt.Errorf("log: %w", &otlp.SyntaxError{}), codes.InvalidArgument, "400 Bad Request"},
		{errors.New("a bug"), codes.Internal, "500 Internal Server Error"},
	} {
		answer = test.err
		st := status.Convert(sendGRPC(conn, request(1)))
		retry := false
		for _, d := range st.Details() {
			_, ok := d.(*errdetails.RetryInfo)
			retry = retry || ok
		}
		if st.Code() != test.code || retry != (test.code == codes.Unavailable) {
			t.Errorf("%v: %v", test.err, st)
		}
		if err := send(t, s, "http", 1); err == nil || len(err.Error()) < len(test.http) || err.Error()[:len(test.http)] != test.http {
			t.Errorf("%v: %v", test.err, err)
		}
	}
}

// A sink that waits is told when to stop, and only then is there a timer.
func TestSinkMayWaitUntilItsContextEnds(t *testing.T) {
	s := start(t, waitingSink{}, func(c *Config) { c.BodyTimeout = 30 * time.Millisecond })
	for _, protocol := range []string{"grpc", "http"} {
		if err := send(t, s, protocol, 1); err == nil {
			t.Errorf("%s: acknowledged", protocol)
		}
	}
	if got := s.Stats(); got.Overloaded != 2 || got.TimedOut != 0 {
		t.Errorf("%+v", got)
	}
	w := patience(t.Context(), time.Hour)
	w.end()
	if w.Err() != nil || w.cancel == nil {
		t.Error("nobody waited, and it has ended")
	}
	w = patience(t.Context(), time.Hour)
	done := w.Done()
	if deadline, ok := w.Deadline(); !ok || time.Until(deadline) > time.Hour || w.Err() != nil {
		t.Error("it has no deadline, or has ended")
	}
	w.end()
	<-done
}

type waitingSink struct{}

func (waitingSink) Append(ctx context.Context, _ [][]byte) (int, error) {
	<-ctx.Done()
	return 0, fmt.Errorf("waiting for the sync: %w", ctx.Err())
}
