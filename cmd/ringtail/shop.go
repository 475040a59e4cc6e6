package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// This file is the program that the demo instruments: a web shop, played by
// workers that each serve a few requests. What happens, and how long it takes, comes
// from a seeded generator; nothing here waits.

// The shop's instrumentation scopes.
var (
	webScope     = &ringtail.Scope{Name: "shop/web", Version: "1.4.0"}
	storeScope   = &ringtail.Scope{Name: "shop/store", Version: "1.4.0"}
	paymentScope = &ringtail.Scope{Name: "shop/payment", Version: "0.9.2"}
)

// shopResource describes the shop. It has no process in it, since the shop is not
// the one that runs.
var shopResource = &ringtail.Resource{Attributes: []attribute.KeyValue{
	attribute.String("service.name", "webshop"),
	attribute.String("service.version", "1.4.0"),
	attribute.String("deployment.environment.name", "demo"),
	attribute.String("telemetry.sdk.name", "ringtail"),
	attribute.String("telemetry.sdk.language", "go"),
	attribute.String("telemetry.sdk.version", ringtail.Version),
}}

// A worker plays one of the shop's workers. The same seed, number and clock give the
// same spans.
type worker struct {
	number int
	rng    *rand.Rand
	clock  time.Time
	emit   func(*ringtail.Span) error
	err    error // of the first emit that failed: the worker stops there
}

func newWorker(seed uint64, number int, clock time.Time, emit func(*ringtail.Span) error) *worker {
	return &worker{
		number: number,
		rng:    rand.New(rand.NewPCG(seed, uint64(number))),
		// Each begins a little later than the one before.
		clock: clock.Add(time.Duration(number) * 7 * time.Millisecond),
		emit:  emit,
	}
}

// work serves requests until exactly so many spans were emitted, or ctx ends.
func (w *worker) work(ctx context.Context, spans int) error {
	for spans > 0 && w.err == nil && ctx.Err() == nil {
		r := w.next(spans)
		w.serve(r)
		spans -= r.spans
		w.pause(2, 30)
	}
	if w.err == nil {
		return ctx.Err()
	}
	return w.err
}

// A request is a kind of request that the shop serves. It makes so many spans.
type request struct {
	spans         int
	serve         func(w *worker, root *open)
	method, route string
}

var requests = []request{
	{6, browse, "GET", "/products/{id}"},
	{11, checkout, "POST", "/checkout"},
	{8, search, "GET", "/search"},
	{4, cart, "GET", "/cart"},
}

// health makes up what is missing to a number of spans.
var health = request{1, func(w *worker, _ *open) { w.pause(0, 1) }, "GET", "/healthz"}

// next returns a request of at most so many spans.
func (w *worker) next(spans int) request {
	first := w.rng.IntN(len(requests))
	for i := range requests {
		if r := requests[(first+i)%len(requests)]; r.spans <= spans {
			return r
		}
	}
	return health
}

// serve plays one request.
func (w *worker) serve(r request) {
	var id trace.TraceID
	for i := range id {
		id[i] = byte(w.rng.Uint32())
	}
	id[0] |= 1 // never all zero
	root := w.begin(nil, r.method+" "+r.route, trace.SpanKindServer, webScope)
	root.span.TraceID = id
	root.set(attribute.String("http.request.method", r.method), attribute.String("http.route", r.route),
		attribute.Int("worker", w.number))
	r.serve(w, root)
	status := 200
	if root.span.Status.Code == codes.Error {
		status = 502
	}
	root.set(attribute.Int("http.response.status_code", status))
	w.end(root)
}

func browse(w *worker, root *open) {
	product := 1000 + w.rng.IntN(9000)
	root.set(attribute.String("url.path", fmt.Sprintf("/products/%d", product)))
	w.step(root, "authenticate", trace.SpanKindInternal, webScope, 0.2, 1)
	found := w.begin(root, "GET product:"+fmt.Sprint(product), trace.SpanKindClient, storeScope)
	w.pause(0.2, 1.5)
	hit := w.rng.IntN(3) > 0
	found.set(attribute.String("db.system.name", "redis"), attribute.Bool("cache.hit", hit))
	w.end(found)
	query := w.begin(root, "SELECT products", trace.SpanKindClient, storeScope)
	if !hit {
		w.pause(8, 40)
		query.event("slow query", w.clock, attribute.Int("rows.examined", 10_000+w.rng.IntN(90_000)))
	}
	w.pause(1, 6)
	query.set(attribute.String("db.system.name", "postgresql"), attribute.Int("db.response.returned_rows", 1))
	w.end(query)
	render := w.begin(root, "render", trace.SpanKindInternal, webScope)
	w.step(render, "template product.html", trace.SpanKindInternal, webScope, 1, 5)
	render.set(attribute.String("template", "product.html"))
	w.end(render)
}

func checkout(w *worker, root *open) {
	amount := float64(500+w.rng.IntN(30_000)) / 100
	root.set(attribute.Float64("order.total", amount), attribute.StringSlice("order.items", []string{"lamp", "rope"}[:1+w.rng.IntN(2)]))
	w.step(root, "authenticate", trace.SpanKindInternal, webScope, 0.2, 1)
	w.query(root, "redis", "GET cart", 0.3, 2)
	stock := w.begin(root, "reserve stock", trace.SpanKindInternal, storeScope)
	w.query(stock, "postgresql", "SELECT stock FOR UPDATE", 1, 9)
	w.query(stock, "postgresql", "UPDATE stock", 1, 5)
	w.end(stock)

	pay := w.begin(root, "charge card", trace.SpanKindInternal, paymentScope)
	declined, down := w.rng.IntN(4) == 0, w.rng.IntN(6) == 0
	call := w.begin(pay, "POST bank.example/charge", trace.SpanKindClient, paymentScope)
	call.set(attribute.String("server.address", "bank.example"), attribute.Int("server.port", 443))
	switch {
	case down:
		w.pause(200, 260)
		call.exception(w.clock, "net.Timeout", "bank.example did not answer within 200ms")
		call.fail("timeout")
		pay.fail("bank is unreachable")
		root.fail("payment failed")
	case declined:
		w.pause(30, 90)
		call.set(attribute.Int("http.response.status_code", 402))
		call.exception(w.clock, "CardDeclined", "insufficient funds")
		call.fail("402 Payment Required")
		pay.fail("card declined")
		root.fail("payment failed")
	default:
		w.pause(30, 90)
		call.set(attribute.Int("http.response.status_code", 200))
	}
	w.end(call)
	w.step(pay, "record attempt", trace.SpanKindInternal, paymentScope, 0.3, 2)
	w.end(pay)

	order := w.begin(root, "orders send", trace.SpanKindProducer, storeScope)
	order.set(attribute.String("messaging.system", "kafka"), attribute.String("messaging.destination.name", "orders"))
	w.pause(0.5, 3)
	w.end(order)
	w.step(root, "render receipt", trace.SpanKindInternal, webScope, 1, 3)
}

func search(w *worker, root *open) {
	root.set(attribute.String("search.query", []string{"lamp", "rope", "tent", "stove"}[w.rng.IntN(4)]))
	w.step(root, "parse query", trace.SpanKindInternal, webScope, 0.1, 0.5)
	fan := w.begin(root, "ask shards", trace.SpanKindInternal, storeScope)
	start, last := w.clock, w.clock
	for shard := range 3 { // all at once
		w.clock = start
		s := w.begin(fan, fmt.Sprintf("shard %d", shard), trace.SpanKindClient, storeScope)
		w.pause(3, 25)
		s.set(attribute.Int("hits", w.rng.IntN(40)))
		if w.rng.IntN(12) == 0 {
			s.exception(w.clock, "ShardUnavailable", "replica is catching up")
			s.fail("shard skipped")
		}
		w.end(s)
		if w.clock.After(last) {
			last = w.clock
		}
	}
	w.clock = last
	w.end(fan)
	w.step(root, "rank", trace.SpanKindInternal, webScope, 0.5, 4)
	w.step(root, "render", trace.SpanKindInternal, webScope, 1, 5)
}

func cart(w *worker, root *open) {
	w.step(root, "authenticate", trace.SpanKindInternal, webScope, 0.2, 1)
	w.query(root, "redis", "GET cart", 0.3, 2)
	w.step(root, "render", trace.SpanKindInternal, webScope, 1, 5)
}

// open is a span that has not ended.
type open struct{ span ringtail.Span }

func (o *open) set(kvs ...attribute.KeyValue) { o.span.Attributes = append(o.span.Attributes, kvs...) }

func (o *open) event(name string, at time.Time, kvs ...attribute.KeyValue) {
	o.span.Events = append(o.span.Events, ringtail.Event{Name: name, Time: at, Attributes: kvs})
}

func (o *open) exception(at time.Time, kind, message string) {
	o.event("exception", at, attribute.String("exception.type", kind), attribute.String("exception.message", message))
}

func (o *open) fail(why string) { o.span.Status = ringtail.Status{Code: codes.Error, Description: why} }

// begin starts a span; without a parent, a root whose trace id the caller sets.
func (w *worker) begin(parent *open, name string, kind trace.SpanKind, scope *ringtail.Scope) *open {
	o := &open{ringtail.Span{Name: name, Kind: kind, Start: w.clock, Flags: trace.FlagsSampled, Scope: scope}}
	for i := range o.span.SpanID {
		o.span.SpanID[i] = byte(w.rng.Uint32())
	}
	o.span.SpanID[0] |= 1
	if parent != nil {
		o.span.TraceID, o.span.ParentID = parent.span.TraceID, parent.span.SpanID
		w.pause(0.02, 0.2) // nothing begins the moment its parent does
		o.span.Start = w.clock
	}
	return o
}

// end ends a span and emits it. After a failure there is nothing more to emit.
func (w *worker) end(o *open) {
	o.span.End = w.clock
	if w.err == nil {
		w.err = w.emit(&o.span)
	}
}

func (w *worker) step(parent *open, name string, kind trace.SpanKind, scope *ringtail.Scope, least, most float64) {
	o := w.begin(parent, name, kind, scope)
	w.pause(least, most)
	w.end(o)
}

func (w *worker) query(parent *open, system, name string, least, most float64) {
	o := w.begin(parent, name, trace.SpanKindClient, storeScope)
	o.set(attribute.String("db.system.name", system))
	w.pause(least, most)
	w.end(o)
}

// pause moves the clock on by a random number of milliseconds.
func (w *worker) pause(least, most float64) {
	w.clock = w.clock.Add(time.Duration((least + w.rng.Float64()*(most-least)) * float64(time.Millisecond)).Round(time.Microsecond))
}
