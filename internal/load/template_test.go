package load

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
	"github.com/ringtail-otel/ringtail/otlp"
)

func configured(change func(*Config)) *Config {
	c := DefaultConfig()
	c.Run = 0xfeed
	if change != nil {
		change(&c)
	}
	return &c
}

// decoded renders a request and reads it with the official types.
func decoded(t *testing.T, r *request) *tracepb.TracesData {
	t.Helper()
	body := r.render()
	defer r.template.free.Put(body)
	pb := *body
	if r.template.json {
		var err error
		if pb, err = otlp.AppendFromJSON(nil, pb); err != nil {
			t.Fatal(err)
		}
	}
	if counts, err := otlp.Validate(pb); err != nil || counts.InvalidIDs > 0 || uint64(counts.Spans) != r.spans() {
		t.Fatalf("%+v, %v", counts, err)
	}
	var req tracepb.TracesData
	if err := proto.Unmarshal(pb, &req); err != nil {
		t.Fatal(err)
	}
	return &req
}

// What is patched into a template is what the official decoder reads, again and again in the same memory.
func TestRequestsAreWhatTheySay(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"whole":     nil,
		"uneven":    func(c *Config) { c.Request, c.TraceSpans, c.Services = 23, 7, 1 },
		"scattered": func(c *Config) { c.Scattered = true },
		"json":      func(c *Config) { c.Protocol = HTTPJSON },
		"scattered json": func(c *Config) {
			c.Protocol, c.Scattered, c.Request, c.TraceSpans = HTTPJSON, true, 3, 4
		},
		"one span":  func(c *Config) { c.Request, c.TraceSpans, c.Attributes = 1, 1, 0 },
		"long":      func(c *Config) { c.Request, c.Attributes, c.AttributeBytes = 5, 128, 1000 },
		"big trace": func(c *Config) { c.Request, c.TraceSpans = 150, 150 },
	} {
		t.Run(name, func(t *testing.T) {
			c := configured(change)
			all := newTemplates(c)
			for index := range uint64(30) {
				n := uint64(c.Request)
				if index == 29 {
					n = (n + 1) / 2 // the last
				}
				r := &request{template: all.of(index, n), traces: all.shape.traces, services: c.Services, index: index,
					first: index*uint64(c.Request) + 1, now: 1_700_000_000_000_000_000 + index}
				compare(t, c, r, decoded(t, r))
			}
		})
	}
}

func compare(t *testing.T, c *Config, r *request, req *tracepb.TracesData) {
	t.Helper()
	resource := req.ResourceSpans[0]
	service := resource.Resource.Attributes[0].Value.GetStringValue()
	if want := "service-000" + string(rune('0'+r.index%uint64(c.Services))); service != want {
		t.Fatalf("service %q, want %q", service, want)
	}
	spans := resource.ScopeSpans[0].Spans
	for i, s := range spans {
		place := r.traces.Place(r.index, i)
		traceID, spanID := numbers.TraceID(c.Run, place.Trace), numbers.SpanID(r.first+uint64(i))
		parent := numbers.SpanID(place.Root)
		want := parent[:]
		if place.Index == 0 {
			want = nil
		}
		if !bytes.Equal(s.TraceId, traceID[:]) || !bytes.Equal(s.SpanId, spanID[:]) || !bytes.Equal(s.ParentSpanId, want) {
			t.Fatalf("span %d of request %d: %x %x %x, want %x %x %x", i, r.index, s.TraceId, s.SpanId, s.ParentSpanId, traceID, spanID, want)
		}
		start, end := r.times(place.Index)
		if s.StartTimeUnixNano != start || s.EndTimeUnixNano != end || start >= end || end > r.now {
			t.Fatalf("times %d to %d, want %d to %d", s.StartTimeUnixNano, s.EndTimeUnixNano, start, end)
		}
		if len(s.Attributes) != c.Attributes || s.Flags != 1 || (s.Kind == tracepb.Span_SPAN_KIND_SERVER) != (place.Index == 0) {
			t.Fatalf("%d attributes, flags %d, kind %v", len(s.Attributes), s.Flags, s.Kind)
		}
		for _, a := range s.Attributes {
			if v := a.Value.GetStringValue(); v != "" && len(v) != c.AttributeBytes {
				t.Fatalf("%s has %d bytes", a.Key, len(v))
			}
		}
	}
}

// The sizes that are printed are those of what is sent, and by default those of the benchmarks.
func TestMeanSizes(t *testing.T) {
	for _, scattered := range []bool{false, true} {
		c := configured(func(c *Config) { c.Scattered = scattered })
		all := newTemplates(c)
		var spanBytes, bodies float64
		for index := range uint64(c.TraceSpans) {
			r := &request{template: all.of(index, uint64(c.Request)), traces: all.shape.traces, services: 1, index: index, now: 1e18}
			body := *r.render()
			bodies += float64(len(body))
			for s := range otlp.Spans(body) {
				spanBytes += float64(len(s.Framed))
			}
		}
		span, request := all.means()
		n := float64(c.TraceSpans)
		if math.Abs(span-spanBytes/n/float64(c.Request)) > 1e-6 || math.Abs(request-bodies/n) > 1e-6 {
			t.Errorf("scattered %v: means %v and %v, are %v and %v", scattered, span, request, spanBytes/n/float64(c.Request), bodies/n)
		}
		if math.Abs(span-463) > 0.5 {
			t.Errorf("scattered %v: a span has %v bytes by default, want 463", scattered, span)
		}
	}
}

// A rendered body that is used again holds nothing of the request before.
func TestBodiesAreUsedAgain(t *testing.T) {
	all := newTemplates(configured(nil))
	r := &request{template: all.first, traces: all.shape.traces, services: 4, index: 12_345_678, first: 1_234_567_801, now: uint64(time.Now().UnixNano())}
	one := r.render()
	all.first.free.Put(one)
	r.index, r.first, r.now = 0, 1, 1e18
	two := r.render()
	if one != two {
		t.Fatal("the body is another one")
	}
	fresh := bytes.Clone(all.first.body)
	all.first.patch(fresh, r)
	if !bytes.Equal(*two, fresh) {
		t.Errorf("%s\n%s", hex.Dump((*two)[:200]), hex.Dump(fresh[:200]))
	}
}

func TestRenderingAllocatesNothing(t *testing.T) {
	for _, protocol := range []Protocol{GRPC, HTTPJSON} {
		all := newTemplates(configured(func(c *Config) { c.Protocol = protocol }))
		r := &request{template: all.first, traces: all.shape.traces, services: 4, now: 1e18}
		all.first.free.Put(r.render())
		if n := testing.AllocsPerRun(100, func() { r.index++; all.first.free.Put(r.render()) }); n > 0 {
			t.Errorf("%s: %v allocations a request", protocol, n)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	all := newTemplates(configured(nil))
	r := &request{template: all.first, traces: all.shape.traces, services: 4, now: 1e18}
	for b.Loop() {
		r.index++
		all.first.free.Put(r.render())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/span")
}
