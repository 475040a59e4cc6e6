package otlphttp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlpclient"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
	"github.com/ringtail-otel/ringtail/otlp"
)

const protobuf = "application/x-protobuf"

// answer is what a receiver says.
type answer struct {
	status int // 0 means 200
	header map[string]string
	body   []byte
}

// receiver is a real HTTP server that takes spans and answers as told.
type receiver struct {
	answer func(r *http.Request, ids []int) answer // nil takes everything

	t       *testing.T
	server  *httptest.Server
	mu      sync.Mutex
	taken   []int // span ids of requests that were answered with 2xx
	calls   int
	last    *http.Request
	remotes map[string]bool // addresses that requests came from
}

func (r *receiver) start(t *testing.T, setup ...func(*httptest.Server)) *receiver {
	r.t, r.remotes = t, map[string]bool{}
	r.server = httptest.NewUnstartedServer(r)
	for _, f := range setup {
		f(r.server)
	}
	if r.server.TLS != nil {
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := req.Body
	if z, err := otlpclient.NewCompressor(req.Header.Get("Content-Encoding")); err != nil {
		r.t.Error(err)
	} else if z != nil {
		if body, err = z.Reader(body); err != nil {
			r.t.Error(err)
			return
		}
	}
	msg, err := io.ReadAll(body)
	if err != nil {
		return // the exporter has broken off
	}
	if req.Header.Get("Content-Type") == "application/json" {
		if msg, err = otlp.AppendFromJSON(nil, msg); err != nil {
			r.t.Error(err)
		}
	}
	ids := otlptest.IDs(r.t, msg)
	r.mu.Lock()
	r.calls++
	r.last = req
	r.remotes[req.RemoteAddr] = true
	r.mu.Unlock()
	var a answer
	if r.answer != nil {
		a = r.answer(req, ids)
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.status/100 == 2 {
		r.mu.Lock()
		r.taken = append(r.taken, ids...)
		r.mu.Unlock()
	}
	w.Header().Set("Content-Type", req.Header.Get("Content-Type"))
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func (r *receiver) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls, r.taken = 0, nil
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// wantTaken checks that exactly the spans first … last were taken, once each.
func (r *receiver) wantTaken(first, last int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.Sorted(slices.Values(r.taken))
	if len(got) != last-first+1 || len(got) > 0 && (got[0] != first || got[len(got)-1] != last || len(slices.Compact(got)) != len(r.taken)) {
		r.t.Errorf("%d spans were taken, want %d to %d once each: %v", len(got), first, last, got)
	}
}

// quick is for tests in which pauses are of no interest.
var quick = WithRetry(export.RetryConfig{InitialInterval: time.Millisecond, MaxInterval: 5 * time.Millisecond})

func newTestExporter(t *testing.T, endpoint string, opts ...Option) *Exporter {
	t.Helper()
	e, err := New(endpoint, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.Shutdown(context.Background()) // returns the error of the test's own, if it had one
	})
	return e
}
