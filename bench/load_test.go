package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
)

func TestReadAnswer(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{\"a\"}"
	n, err := readAnswer(iotest.OneByteReader(strings.NewReader(answer+"more")), make([]byte, 4096))
	if err != nil || n != len(answer) {
		t.Errorf("got %d bytes, %v; want %d", n, err, len(answer))
	}
	for name, answer := range map[string]string{
		"it ends early":       answer[:len(answer)-1],
		"it has no length":    strings.ReplaceAll(answer, "Content-Length: 5", "Connection: close"),
		"it is longer than b": strings.ReplaceAll(answer, ": 5", ": 5000") + strings.Repeat("x", 5000),
	} {
		if n, err := readAnswer(strings.NewReader(answer), make([]byte, 4096)); err == nil {
			t.Errorf("%s: %d bytes were taken for an answer", name, n)
		}
	}
}

// Load counts all answers, and takes the time of those that came while it measured.
func TestAsk(t *testing.T) {
	asked := 0
	service := users(noop.NewTracerProvider().Tracer(""))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++ // by one connection
		service.ServeHTTP(w, r)
	}))
	l := load{Address: server.Listener.Addr().String(), Path: "/users/12345"}
	began := time.Now()
	all, took, err := l.ask(began.Add(100*time.Millisecond), began.Add(200*time.Millisecond))
	server.Close() // which waits for the handler
	if err != nil {
		t.Fatal(err)
	}
	if all == 0 {
		t.Skip("this machine is too busy to ask anything in 200 ms")
	}
	if all != asked || len(took) > all {
		t.Errorf("%d requests were answered, %d of them while it measured; the service answered %d", all, len(took), asked)
	}
}

func TestAskRefusesOtherAnswers(t *testing.T) {
	server := httptest.NewServer(users(noop.NewTracerProvider().Tracer("")))
	defer server.Close()
	l := load{Address: server.Listener.Addr().String(), Path: "/nowhere"}
	if all, _, err := l.ask(time.Now(), time.Now().Add(5*time.Second)); err == nil || all != 0 {
		t.Errorf("got %d answers and error %v, want an error for 404", all, err)
	}
}

// A program that does not trace answers as one that does.
func TestServicesAreTheSame(t *testing.T) {
	body := func(h http.Handler) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/users/7", nil))
		return w.Body.String()
	}
	got, want := body(untracedUsers()), body(users(noop.NewTracerProvider().Tracer("")))
	if got != want || !strings.Contains(got, `"id":"7"`) {
		t.Errorf("got %q, want %q", got, want)
	}
}
