package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
)

// customer makes requests, as another instrumented service would.
type customer struct {
	tel       telemetry
	session   string
	service   *service
	client    *http.Client
	closeIdle func()
}

func newCustomer(session string, s *service, tel telemetry) *customer {
	transport, closeIdle := tel.transport()
	return &customer{tel, session, s, &http.Client{Transport: transport}, closeIdle}
}

// visit is something that a customer does. It returns what the customer sees of it.
type visit struct {
	name string
	do   func(ctx context.Context, c *customer) string
}

// visits are in an order that matters: later ones link to earlier ones.
var visits = []visit{
	{"look at a book", request(http.MethodGet, "/books/1")},
	{"look at a book that is not there", request(http.MethodGet, "/books/99")},
	{"look at what is no book", request(http.MethodGet, "/books/tea")},
	{"search", request(http.MethodGet, "/search")},
	{"ask for a similar book", request(http.MethodGet, "/books/1/similar")},
	{"read the news", request(http.MethodGet, "/news")},
	{"order", request(http.MethodPost, "/orders?book=1&copies=2")},
	{"order with a bad card", request(http.MethodPost, "/orders?book=2&copies=1")},
	{"order what is sold out", request(http.MethodPost, "/orders?book=3&copies=1")},
	{"look for receipts", request(http.MethodGet, "/receipts")},
	{"import", request(http.MethodPost, "/import")},
	{"meet a panic", request(http.MethodPost, "/crash")},
	{"come from a sampled trace", from(trace.FlagsSampled, request(http.MethodPost, "/orders?book=1&copies=1"))},
	{"come from a trace that is not sampled", from(0, request(http.MethodPost, "/orders?book=1&copies=1"))},
	{"leave during a download", leaveDownload},
	{"leave during a payment", leavePayment},
}

// visit does one of the visits, in a trace of its own.
func (c *customer) visit(ctx context.Context, v visit) string {
	ctx, span := c.tel.tracer().Start(ctx, v.name, trace.WithNewRoot(), trace.WithAttributes(attribute.String("session", c.session)))
	defer span.End()
	ctx = baggage.ContextWithBaggage(ctx, c.baggage())
	return v.do(ctx, c)
}

func (c *customer) baggage() baggage.Baggage {
	var members []baggage.Member
	for _, kv := range [][2]string{{"session.id", c.session}, {"customer.tier", "gold"}} {
		m, err := baggage.NewMemberRaw(kv[0], kv[1])
		if err != nil {
			panic(err) // the names are constants
		}
		members = append(members, m)
	}
	b, err := baggage.New(members...)
	if err != nil {
		panic(err)
	}
	return b
}

// seen is what the customer sees of an answer, in one line.
func seen(method, path string, code int, body []byte, err error) string {
	what := fmt.Sprintf("%d %s", code, strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "; "))
	if err != nil {
		what = err.Error()
	}
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		what = failed.Err.Error() // without the URL, which has a port
	}
	return fmt.Sprintf("%-4s %-24s %s", method, path, what)
}

func request(method, path string) func(context.Context, *customer) string {
	return func(ctx context.Context, c *customer) string {
		code, body, err := send(ctx, c.client, method, c.service.url+path)
		return seen(method, path, code, body, err)
	}
}

// from is do in a trace that began elsewhere.
func from(flags trace.TraceFlags, do func(context.Context, *customer) string) func(context.Context, *customer) string {
	return func(ctx context.Context, c *customer) string {
		state, err := trace.ParseTraceState("vendor=a:b,other=1")
		if err != nil {
			panic(err) // a constant
		}
		return do(trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{0xab, 15: 1}, SpanID: trace.SpanID{0xcd, 7: 2}, TraceFlags: flags, TraceState: state,
		})), c)
	}
}

// leaveDownload reads the first line of an endless answer.
func leaveDownload(ctx context.Context, c *customer) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.service.url+"/export", nil)
	if err != nil {
		panic(err) // a constant
	}
	response, err := c.client.Do(r)
	if err != nil {
		return seen(r.Method, r.URL.Path, 0, nil, err)
	}
	defer response.Body.Close()
	line := make([]byte, len(exportHeader))
	if _, err := io.ReadFull(response.Body, line); err != nil {
		return fmt.Sprint("cannot read the header: ", err)
	}
	cancel()
	_, err = io.ReadAll(response.Body)
	return seen(r.Method, r.URL.Path, response.StatusCode, fmt.Appendf(nil, "%s%v", line, err), nil)
}

// leavePayment goes away when the payment waits for a review.
func leavePayment(ctx context.Context, c *customer) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan string, 1)
	go func() { answered <- request(http.MethodPost, "/orders?book=4&copies=1")(ctx, c) }()
	select {
	case <-c.service.reviewing:
		cancel()
		return <-answered
	case answer := <-answered:
		return answer
	}
}
