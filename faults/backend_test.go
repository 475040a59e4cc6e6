//go:build linux

package faults

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
	"github.com/ringtail-otel/ringtail/otlp"
)

// A backend is many backends at one address: an exporter says by a header which of them it
// means, and a script says how that one answers.
type backend struct {
	grpc, http string // addresses
	end        chan struct{}

	mu      sync.Mutex
	scripts map[string]script
	inboxes map[string]*inbox
	calls   []string // names, in the order in which attempts came
}

// A script says how the nth attempt is answered, n from 1, which has the spans of these numbers.
// nil takes everything.
type script func(n int, spans []uint64) answer

// An answer is what a backend does with a request. The zero value takes it.
type answer struct {
	code    codes.Code // to refuse with, by gRPC
	status  int        // to refuse with, by HTTP
	retry   *time.Duration
	partial int64 // spans that are rejected
	half    bool  // take half of the spans, and hang
	hang    bool  // take nothing, and hang
	garbage bool  // take all, and answer with bytes that mean nothing
}

// An inbox is what came to one name.
type inbox struct {
	attempts int
	seen     numbers.Set
	spans    int // all, also those that came again
}

// by is the header that names the backend.
const by = "x-backend"

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{end: make(chan struct{}), scripts: map[string]script{}, inboxes: map[string]*inbox{}}
	var wg sync.WaitGroup
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	gl, hl := listen(), listen()
	b.grpc, b.http = gl.Addr().String(), hl.Addr().String()
	gs := grpc.NewServer(grpc.UnknownServiceHandler(b.serveGRPC))
	hs := &http.Server{Handler: http.HandlerFunc(b.serveHTTP)}
	wg.Go(func() { gs.Serve(gl) })
	wg.Go(func() { hs.Serve(hl) })
	t.Cleanup(func() {
		close(b.end)
		gs.Stop()
		hs.Close()
		wg.Wait()
	})
	return b
}

// on sets a script, and returns exporters for it, whose names are not the backend's concern.
func (b *backend) on(name string, s script) (byGRPC, byHTTP exporter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.scripts[name] = s
	b.inboxes[name] = &inbox{}
	headers := exporter{by: name}
	return toGRPC(b.grpc).with("headers", headers), toHTTP(b.http).with("headers", headers)
}

// take enters a request, and returns how to answer it.
func (b *backend) take(name string, req *tracepb.TracesData) answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	in := b.inboxes[name]
	if in == nil {
		return answer{code: codes.NotFound, status: http.StatusNotFound}
	}
	in.attempts++
	b.calls = append(b.calls, name)
	all := numbersIn(req)
	var a answer
	if s := b.scripts[name]; s != nil {
		a = s(in.attempts, all)
	}
	if a.code != codes.OK || a.status != 0 || a.hang {
		return a
	}
	if a.half {
		all = all[:len(all)/2]
	}
	for _, n := range all[:max(len(all)-int(a.partial), 0)] {
		in.seen.Add(n)
		in.spans++
	}
	return a
}

// numbersIn returns the numbers of a request's spans.
func numbersIn(req *tracepb.TracesData) (all []uint64) {
	for _, r := range req.ResourceSpans {
		for _, s := range r.ScopeSpans {
			for _, span := range s.Spans {
				if _, n, ok := numbers.Of(span.TraceId, span.SpanId); ok {
					all = append(all, n)
				}
			}
		}
	}
	return all
}

// got returns what has come to a name: attempts, different spans, and all spans.
func (b *backend) got(name string) (attempts int, seen uint64, spans int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in := b.inboxes[name]
	return in.attempts, in.seen.Len(), in.spans
}

// missing returns the numbers up to the last that did not come.
func (b *backend) missing(name string, last uint64) []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all numbers.Set
	all.AddRange(numbers.Range{First: 1, Last: last})
	var missing []uint64
	for r := range all.Without(&b.inboxes[name].seen) {
		for n := r.First; n <= r.Last; n++ {
			missing = append(missing, n)
		}
	}
	return missing
}

// order returns the names of attempts so far.
func (b *backend) order() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.calls...)
}

func (b *backend) serveGRPC(_ any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	name := append(md.Get(by), "")[0]
	req := &tracepb.TracesData{} // the same as an export request, on the wire
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	a := b.take(name, req)
	switch {
	case a.code != codes.OK:
		s := status.New(a.code, "as it was told")
		if a.retry != nil {
			s, _ = s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(*a.retry)})
		}
		return s.Err()
	case a.hang, a.half:
		b.wait(stream.Context().Done())
		return status.Error(codes.Canceled, "too late")
	}
	// The answer's bytes are those of a message whose fields are not known.
	m := &emptypb.Empty{}
	m.ProtoReflect().SetUnknown(a.body())
	return stream.SendMsg(m)
}

func (b *backend) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	req := &tracepb.TracesData{}
	if err != nil || proto.Unmarshal(body, req) != nil {
		http.Error(w, "cannot read it", http.StatusBadRequest)
		return
	}
	a := b.take(r.Header.Get(by), req)
	w.Header().Set("Content-Type", "application/x-protobuf")
	switch {
	case a.status != 0:
		if a.retry != nil {
			w.Header().Set("Retry-After", strconv.Itoa(int(a.retry.Seconds())))
		}
		w.WriteHeader(a.status)
	case a.hang, a.half:
		b.wait(r.Context().Done())
	default:
		w.Write(a.body())
	}
}

// wait hangs until the client has gone, or the test ends.
func (b *backend) wait(gone <-chan struct{}) {
	select {
	case <-gone:
	case <-b.end:
	}
}

// body is the answer of a request that was taken.
func (a *answer) body() []byte {
	if a.garbage {
		return []byte("\x0a\x7fno such thing") // a field that is longer than what there is
	}
	if a.partial > 0 {
		return otlp.AppendTraceResponse(nil, a.partial, "not all")
	}
	return nil
}
