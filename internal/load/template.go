package load

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ringtail-otel/ringtail/internal/load/numbers"
	"github.com/ringtail-otel/ringtail/otlp"
)

// A template is a request that is complete but for what differs from one to the next: ids, times and
// the name of the service, which are fields of fixed width at known places. It does not change
// once it is made.
type template struct {
	body      []byte
	json      bool
	service   int    // where the number of the service stands, four digits
	slots     []slot // one a span
	spanBytes int    // of all spans, as protobuf, tag and length included

	// free holds bodies of this template that have been sent: what is in them needs no copy,
	// only other ids.
	free freeBodies
}

// A slot is where the fields of a span stand in the body. parent is 0 for a root.
type slot struct {
	trace, span, parent, start, end int32
}

// A shape is what templates are made from.
type shape struct {
	traces         numbers.Traces
	run            numbers.Run
	attributes     int
	attributeBytes int
	operations     int
	json           bool
}

const spanKindServer, spanKindInternal = 2, 1

// template makes the request of so many spans. row says which of its roots there are when traces are
// scattered: 0, all are roots; otherwise none.
func (s *shape) template(spans, row int) *template {
	t := &template{json: s.json}
	var run []byte
	var starts []int // of the bodies of spans, in run
	for i := range spans {
		body := s.span(i, s.traces.Place(uint64(row), i).Index)
		run = otlp.AppendTag(run, 2, otlp.BytesType)
		run = otlp.AppendVarint(run, uint64(len(body)))
		starts = append(starts, len(run))
		run = append(run, body...)
	}
	t.spanBytes = len(run)
	var resource, scope []byte
	resource = otlp.AppendKeyValue(resource, 1, attribute.String("service.name", servicePrefix+"0000"))
	resource = otlp.AppendKeyValue(resource, 1, attribute.String("service.version", "1.4.2"))
	resource = otlp.AppendKeyValue(resource, 1, attribute.String("ringtail.load.run", s.run.String()))
	scope = otlp.AppendString(scope, 1, "ringtail/load")
	t.body = otlp.AppendRequest(nil, resource, "", otlp.ScopeRun{Scope: scope, Spans: run})
	if s.json {
		t.toJSON(spans)
		return t
	}
	t.service = bytes.Index(t.body, []byte(servicePrefix)) + len(servicePrefix)
	shift := bytes.Index(t.body, run)
	for _, at := range starts {
		t.slots = append(t.slots, slotAt(t.body, shift+at))
	}
	return t
}

const servicePrefix = "service-"

// span encodes a span without its ids and times; index is its place in the trace, 0 for a root.
func (s *shape) span(position, index int) []byte {
	var b []byte
	id := func(field int, width int) {
		b = otlp.AppendTag(b, field, otlp.BytesType)
		b = otlp.AppendVarint(b, uint64(width))
		b = append(b, make([]byte, width)...)
	}
	id(1, 16)
	// The first half of a trace id is the same for the whole run.
	trace := numbers.TraceID(s.run, 0)
	copy(b[2:10], trace[:])
	id(2, 8)
	kind := uint64(spanKindServer)
	if index > 0 {
		id(4, 8)
		kind = spanKindInternal
	}
	b = otlp.AppendString(b, 5, fmt.Sprintf("GET /resources/%05d", position%s.operations))
	b = otlp.AppendUint(b, 6, kind)
	for _, field := range []int{7, 8} {
		b = otlp.AppendTag(b, field, otlp.Fixed64Type)
		b = binary.LittleEndian.AppendUint64(b, 0)
	}
	rng := rand.New(rand.NewPCG(uint64(position), 1))
	for i := range s.attributes {
		b = otlp.AppendKeyValue(b, 9, s.attribute(i, rng))
	}
	b = otlp.AppendTag(b, 16, otlp.Fixed32Type)
	return binary.LittleEndian.AppendUint32(b, 1) // sampled
}

var keys = []string{"http.request.method", "http.route", "user_agent.original", "http.response.body.size", "server.address",
	"url.path", "client.address", "server.port", "enduser.id", "thread.name"}

var words = []string{"alpha", "bravo", "cargo", "delta", "ember", "fjord", "grove", "haven"}

// attribute makes an attribute: one of four is an integer, the others are strings, by turns of words
// that repeat and of digits that do not, since that is how well telemetry compresses.
func (s *shape) attribute(i int, rng *rand.Rand) attribute.KeyValue {
	key := fmt.Sprintf("app.attribute.%03d", i)
	if i < len(keys) {
		key = keys[i]
	}
	if i%4 == 3 {
		return attribute.Int64(key, 1<<14+rng.Int64N(1<<20)) // three bytes
	}
	value := make([]byte, 0, s.attributeBytes+16)
	for len(value) < s.attributeBytes {
		if i%2 == 0 {
			value = append(append(value, words[rng.IntN(len(words))]...), '-')
		} else {
			value = fmt.Appendf(value, "%016x", rng.Uint64())
		}
	}
	return attribute.String(key, string(value[:s.attributeBytes]))
}

// slotAt finds the fields of the span whose encoding, as span makes it, begins there.
func slotAt(b []byte, at int) slot {
	s := slot{trace: int32(at + 2), span: int32(at + 20)}
	at += 28
	if b[at] == 4<<3|otlp.BytesType {
		s.parent = int32(at + 2)
		at += 10
	}
	at += 2 + int(b[at+1]) + 2 // the name, whose length takes a byte, and the kind
	s.start, s.end = int32(at+1), int32(at+10)
	return s
}

// toJSON turns a template into one of OTLP JSON, with ids of as many digits as they will have.
func (t *template) toJSON(spans int) {
	// Fields in JSON are found in the order in which they stand, by values that they alone have.
	const at = uint64(1e18) // a time has nineteen digits now
	pb := t.body
	shift := 0
	for i := range spans {
		at0 := bytes.Index(pb[shift:], spanStart[:]) + shift
		s := slotAt(pb, at0)
		binary.BigEndian.PutUint64(pb[s.span:], uint64(i)+1)
		if s.parent > 0 {
			binary.BigEndian.PutUint64(pb[s.parent:], uint64(i)+1)
		}
		binary.LittleEndian.PutUint64(pb[s.start:], at)
		binary.LittleEndian.PutUint64(pb[s.end:], at)
		shift = int(s.end)
	}
	json, err := otlp.AppendJSON(nil, pb)
	if err != nil {
		panic("load: " + err.Error()) // it was made here
	}
	t.body = json
	pos := 0
	find := func(what string) int32 {
		i := bytes.Index(t.body[pos:], []byte(what))
		if i < 0 {
			panic("load: the JSON encoding has no " + what) // it always has these fields
		}
		pos += i + len(what)
		return int32(pos)
	}
	t.service = int(find(servicePrefix))
	for range spans {
		var s slot
		s.trace = find(`"traceId":"`)
		s.span = find(`"spanId":"`)
		if bytes.HasPrefix(t.body[pos+16:], []byte(`","parentSpanId":"`)) {
			s.parent = find(`"parentSpanId":"`)
		}
		s.start = find(`"startTimeUnixNano":"`)
		s.end = find(`"endTimeUnixNano":"`)
		t.slots = append(t.slots, s)
	}
}

// spanStart is how every span of ours begins: tag and length of its trace id, and the marking bytes.
var spanStart = func() (b [6]byte) {
	trace := numbers.TraceID(0, 0)
	b = [6]byte{1<<3 | otlp.BytesType, 16}
	copy(b[2:], trace[:4])
	return b
}()

// patch writes what differs from request to request into a body of the template.
func (t *template) patch(body []byte, r *request) {
	service := int(r.index % uint64(r.services))
	for i := range 4 {
		body[t.service+3-i] = byte('0' + service%10)
		service /= 10
	}
	if t.json {
		t.patchJSON(body, r)
		return
	}
	traces, number := r.traces, r.first
	for i := range t.slots {
		s := &t.slots[i]
		place := traces.Place(r.index, i)
		binary.BigEndian.PutUint64(body[s.trace+8:], numbers.MixTrace(place.Trace))
		binary.BigEndian.PutUint64(body[s.span:], number)
		if s.parent > 0 {
			binary.BigEndian.PutUint64(body[s.parent:], place.Root)
		}
		start, end := r.times(place.Index)
		binary.LittleEndian.PutUint64(body[s.start:], start)
		binary.LittleEndian.PutUint64(body[s.end:], end)
		number++
	}
}

func (t *template) patchJSON(body []byte, r *request) {
	id := func(at int32, n uint64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		hex.Encode(body[at:], b[:])
	}
	for i := range t.slots {
		s := &t.slots[i]
		place := r.traces.Place(r.index, i)
		id(s.trace+16, numbers.MixTrace(place.Trace))
		id(s.span, r.first+uint64(i))
		if s.parent > 0 {
			id(s.parent, place.Root)
		}
		start, end := r.times(place.Index)
		strconv.AppendUint(body[s.start:s.start], start, 10)
		strconv.AppendUint(body[s.end:s.end], end, 10)
	}
}

// A request is what is sent: a template, and what goes into it.
type request struct {
	template *template
	traces   numbers.Traces
	services int
	index    uint64 // from 0
	first    uint64 // number of the first span
	now      uint64 // when it was first sent, Unix time in nanoseconds
}

// spans returns how many there are.
func (r *request) spans() uint64 { return uint64(len(r.template.slots)) }

// Spans last no longer than this; it lies in the past when they are sent.
const rootNanos = 20e6

// times returns start and end of the span at a place in its trace. Those after the root begin one
// after another, and the root spans them all.
func (r *request) times(index int) (start, end uint64) {
	step := uint64(index%64) * 100_000
	return r.now - rootNanos + step, r.now - step
}

// render returns the body of r, which goes back to the template with put.
func (r *request) render() *[]byte {
	body := r.template.free.get()
	if body == nil {
		b := bytes.Clone(r.template.body)
		body = &b
	}
	r.template.patch(*body, r)
	return body
}
