package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const patience = 30 * time.Second

// receiver is an OTLP/HTTP backend that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	exported []*tracepb.ResourceSpans
	problems []error
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		got, err := decode(request)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			r.problems = append(r.problems, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.exported = append(r.exported, got.GetResourceSpans()...)
		w.Header().Set("Content-Type", "application/x-protobuf") // an empty answer: success
	}))
	t.Cleanup(r.Close)
	return r
}

func decode(r *http.Request) (*collectorpb.ExportTraceServiceRequest, error) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unzipped
	}
	bytes, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var out collectorpb.ExportTraceServiceRequest
	return &out, proto.Unmarshal(bytes, &out)
}

// recording is what one provider has exported of one run of the service, as the
// official protobuf package has decoded it, and what else was to be seen.
type recording struct {
	exported []*tracepb.ResourceSpans
	seen     []string          // by the customer
	ports    map[string]string // those that the service listened on, and what for
}

// record runs the service and makes all visits once, with a provider as the program
// itself sets it up, which exports to a receiver of its own.
func record(t *testing.T, provider string) *recording {
	t.Helper()
	backend := newReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", backend.URL)
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,team=b%C3%BCcher")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	tracing, err := newTracing(ctx, provider)
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(ctx, "127.0.0.1:0", tracing.telemetry)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{ports: map[string]string{port(t, strings.TrimPrefix(s.url, "http://")): "SHOP", port(t, s.grpcAddr): "PAYMENTS"}}
	drive(ctx, s, tracing.telemetry, "one", func(line string) { r.seen = append(r.seen, line) })
	if err := s.stop(ctx); err != nil {
		t.Fatalf("%s: %v", provider, err)
	}
	if err := tracing.shutdown(ctx); err != nil {
		t.Fatalf("%s: %v", provider, err)
	}
	backend.mu.Lock()
	defer backend.mu.Unlock()
	for _, err := range backend.problems {
		t.Errorf("%s: %v", provider, err)
	}
	r.exported = backend.exported
	for _, err := range r.implausible(began, time.Now()) {
		t.Errorf("%s: %v", provider, err)
	}
	return r
}

func port(t *testing.T, address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// exportedSpan is a span with what it stands under.
type exportedSpan struct {
	*tracepb.Span
	resource *tracepb.ResourceSpans
	scope    *tracepb.ScopeSpans
}

func (r *recording) spans() (all []exportedSpan) {
	for _, resource := range r.exported {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				all = append(all, exportedSpan{span, resource, scope})
			}
		}
	}
	return all
}

func (r *recording) clone() *recording {
	c := *r
	c.exported = nil
	for _, resource := range r.exported {
		c.exported = append(c.exported, proto.Clone(resource).(*tracepb.ResourceSpans))
	}
	return &c
}

// clockSteps is how far times may be from the order that they should have: neither
// provider promises that its clock, or the machine's, is never set back.
const clockSteps = uint64(time.Second)

// implausible returns what cannot be of times and ids, which the comparison of two
// recordings leaves out.
func (r *recording) implausible(began, ended time.Time) (errs []error) {
	ids := map[string]exportedSpan{}
	for _, s := range r.spans() {
		if len(s.TraceId) != 16 || len(s.SpanId) != 8 {
			errs = append(errs, fmt.Errorf("span %q has the ids %x, %x", s.Name, s.TraceId, s.SpanId))
		}
		if other, twice := ids[string(s.SpanId)]; twice {
			errs = append(errs, fmt.Errorf("spans %q and %q have the same id", s.Name, other.Name))
		}
		ids[string(s.SpanId)] = s
	}
	for _, s := range r.spans() {
		times := []uint64{uint64(began.UnixNano()), s.StartTimeUnixNano}
		if parent, ok := ids[string(s.ParentSpanId)]; ok {
			times = slices.Insert(times, 1, parent.StartTimeUnixNano)
		}
		for _, e := range s.Events {
			times = append(times, e.TimeUnixNano)
		}
		times = append(times, s.EndTimeUnixNano, uint64(ended.UnixNano()))
		if !inOrder(times) {
			errs = append(errs, fmt.Errorf("span %q: run, parent, span, events, span's end, run's end are not in this order: %v", s.Name, times))
		}
	}
	return errs
}

func inOrder(times []uint64) bool {
	for i := 1; i < len(times); i++ {
		if times[i-1] > times[i]+clockSteps {
			return false
		}
	}
	return true
}

// nameOfPort returns what a port is called in a comparison: ports of the service by
// what they are for, and those of its clients, which the system chooses, as such.
func (r *recording) nameOfPort(key string, n int64) (name string, ok bool) {
	if name, ok := r.ports[strconv.FormatInt(n, 10)]; ok {
		return name, true
	}
	return "ANY", key == "network.peer.port"
}

// withoutPorts returns s with names in place of the service's ports.
func (r *recording) withoutPorts(s string) string {
	for port, name := range r.ports {
		s = strings.ReplaceAll(s, "127.0.0.1:"+port, "127.0.0.1:"+name)
	}
	return s
}
