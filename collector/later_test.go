package collector

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail/otlp"
)

// laterSink hands what it is given to a test, which answers it.
type laterSink struct {
	sink
	take func(request []byte, done func(int, error))
}

func (s *laterSink) AppendLater(pieces [][]byte, done func(int, error)) {
	s.take(bytes.Join(pieces, nil), done)
}

// Each request gets the answer that is its own, in whatever order they come, over one
// connection.
func TestAnswersThatComeLater(t *testing.T) {
	type waiting struct {
		spans int
		done  func(int, error)
	}
	const requests = 100
	arrived := make(chan waiting, requests)
	s := start(t, &laterSink{take: func(request []byte, done func(int, error)) {
		counts, err := otlp.Validate(request)
		if err != nil {
			t.Error(err)
		}
		arrived <- waiting{counts.Spans, done}
	}}, nil)
	conn := dial(t, s)
	answers := make([]error, requests)
	var clients sync.WaitGroup
	for i := range requests {
		clients.Go(func() { answers[i] = sendGRPC(conn, request(i+1)) })
	}
	var all []waiting
	for range requests {
		all = append(all, <-arrived)
	}
	for i := range all { // the last one first, and each by a goroutine of its own
		w := all[requests-1-i]
		go func() {
			var err error
			if w.spans%2 == 0 {
				err = fmt.Errorf("%d spans", w.spans)
			}
			w.done(w.spans, err)
		}()
	}
	clients.Wait()
	for i, err := range answers {
		if spans := i + 1; spans%2 == 1 && err != nil || spans%2 == 0 && status.Convert(err).Message() != fmt.Sprintf("%d spans", spans) {
			t.Errorf("the request of %d spans was answered %v", spans, err)
		}
	}
	if got := s.Stats(); got.Accepted != requests/2 || got.Failed != requests/2 {
		t.Errorf("%+v", got)
	}
}

// A client does not wait for ever, and an answer that comes too late harms nobody.
func TestRequestsThatAreNotAnsweredInTime(t *testing.T) {
	late := make(chan func(int, error), 1)
	s := start(t, &laterSink{take: func(_ []byte, done func(int, error)) { late <- done }}, func(c *Config) { c.BodyTimeout = 30 * time.Millisecond })
	conn := dial(t, s)
	st := status.Convert(sendGRPC(conn, request(1)))
	if st.Code() != codes.Unavailable || st.Message() != tooLate || len(st.Details()) != 1 {
		t.Errorf("%v", st)
	}
	(<-late)(1, nil)
	if got := s.Stats(); got.Accepted != 0 || got.Overloaded != 1 {
		t.Errorf("%+v", got)
	}
	go func() { (<-late)(1, nil) }()
	if err := sendGRPC(conn, request(1)); err != nil && status.Code(err) != codes.Unavailable {
		t.Errorf("the next request: %v", err)
	}
}

// A sink that panics, before it has answered or after, costs one request.
func TestSinkThatPanicsLater(t *testing.T) {
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	calls := 0
	s := start(t, &laterSink{take: func(_ []byte, done func(int, error)) {
		switch calls++; calls {
		case 1:
			panic("before")
		case 2:
			done(1, nil)
			panic("after")
		}
		done(1, errors.New("no more"))
	}}, nil)
	conn := dial(t, s)
	for i, want := range []codes.Code{codes.Internal, codes.OK, codes.Internal} {
		if err := sendGRPC(conn, request(1)); status.Code(err) != want {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	allGivenBack(t, s)
}
