package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// shop is the HTTP server: what a customer asks for.
type shop struct {
	tracer   trace.Tracer
	store    *store
	payments paymentsClient
	client   *http.Client // to other services
	self     string       // the URL under which this one is found
	viewed   sync.Map     // by session, the span in which a book was last looked at
}

func (s *shop) handler(tel telemetry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /books/{id}", s.book)
	mux.HandleFunc("GET /books/{id}/similar", s.similar)
	mux.HandleFunc("GET /search", s.search)
	mux.HandleFunc("POST /orders", s.order)
	mux.HandleFunc("GET /receipts", s.receipts)
	mux.HandleFunc("GET /export", s.export)
	mux.HandleFunc("GET /news", s.news)
	mux.HandleFunc("POST /import", s.bulk)
	mux.HandleFunc("POST /crash", s.crash)
	return otelhttp.NewHandler(mux, "shop", otelhttp.WithTracerProvider(tel.provider), otelhttp.WithPropagators(tel.propagator),
		otelhttp.WithMessageEvents(otelhttp.WriteEvents),
		// Anybody may ask for these: a trace of its own, with a link to the caller's.
		otelhttp.WithPublicEndpointFn(func(r *http.Request) bool { return r.URL.Path == "/receipts" }))
}

func (s *shop) book(w http.ResponseWriter, r *http.Request) {
	span := trace.SpanFromContext(r.Context())
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		span.RecordError(err)
		http.Error(w, "a book has a number", http.StatusBadRequest)
		return
	}
	span.SetAttributes(attribute.Int64("book.id", id), attribute.Bool("book.rare", id == 3))
	b, err := s.store.book(r.Context(), id)
	if err != nil {
		fail(w, r, err)
		return
	}
	if session := session(r.Context()); session != "" {
		s.viewed.Store(session, span.SpanContext())
	}
	_ = json.NewEncoder(w).Encode(b)
}

// similar asks another service, which happens to be this one.
func (s *shop) similar(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	code, body, err := get(r.Context(), s.client, s.self+"/books/"+strconv.Itoa(id%4+1))
	if err != nil || code != http.StatusOK {
		fail(w, r, errors.Join(fmt.Errorf("cannot get the similar book: status %d", code), err))
		return
	}
	_, _ = w.Write(body)
}

// news asks a service that is down.
func (s *shop) news(w http.ResponseWriter, r *http.Request) {
	if _, _, err := get(r.Context(), s.client, "http://127.0.0.1:1/news"); err != nil {
		http.Error(w, "no news", http.StatusBadGateway)
	}
}

// search looks at all shelves at once.
func (s *shop) search(w http.ResponseWriter, r *http.Request) {
	shelves := []string{"novels", "maps", "sets"}
	found := make([][]string, len(shelves))
	var wg sync.WaitGroup
	for i, shelf := range shelves {
		wg.Go(func() {
			// All set the same, on the same span at the same time.
			trace.SpanFromContext(r.Context()).SetAttributes(attribute.Int("shelves", len(shelves)))
			ctx, span := s.tracer.Start(r.Context(), "search "+shelf, trace.WithAttributes(attribute.String("shelf", shelf)))
			defer span.End()
			var err error
			if found[i], err = s.store.shelf(ctx, shelf); err != nil {
				span.RecordError(err)
				span.SetStatus(otelcodes.Error, "no shelf")
			}
			span.SetAttributes(attribute.StringSlice("titles", found[i]), attribute.Int("found", len(found[i])))
		})
	}
	wg.Wait()
	_ = json.NewEncoder(w).Encode(found)
}

func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	ctx, span := s.tracer.Start(r.Context(), "order", trace.WithAttributes(attribute.String("book", r.FormValue("book"))))
	defer span.End()
	if viewed, ok := s.viewed.Load(session(ctx)); ok {
		span.AddLink(trace.Link{SpanContext: viewed.(trace.SpanContext), Attributes: []attribute.KeyValue{attribute.String("why", "the customer looked at it")}})
	}
	id, _ := strconv.ParseInt(r.FormValue("book"), 10, 64)
	copies, _ := strconv.ParseInt(r.FormValue("copies"), 10, 64)
	b, err := s.store.book(ctx, id)
	if err != nil {
		fail(w, r, err)
		return
	}
	total := b.Cents * copies
	span.SetAttributes(
		attribute.Int64Slice("order.lines", []int64{id, copies, total}),
		attribute.Float64("order.total", float64(total)/100),
		attribute.BoolSlice("order.flags", []bool{copies > 1, total > declinedFrom}),
	)
	number, err := s.store.reserve(ctx, id, copies)
	if err != nil {
		span.RecordError(err, trace.WithAttributes(attribute.Int64("copies", copies)))
		span.SetStatus(otelcodes.Error, "out of stock")
		http.Error(w, "out of stock", http.StatusConflict)
		return
	}
	span.AddEvent("reserved", trace.WithAttributes(attribute.Int64("copies", copies)))
	receipt, err := s.payments.charge(ctx, total)
	if err != nil {
		span.RecordError(err, trace.WithStackTrace(true))
		span.SetStatus(otelcodes.Error, "not paid")
		// Also for a customer who has left.
		err = errors.Join(err, s.store.release(context.WithoutCancel(ctx), number, id, copies))
		fail(w, r, err)
		return
	}
	span.SetStatus(otelcodes.Ok, "paid")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, receipt)
}

func (s *shop) receipts(w http.ResponseWriter, r *http.Request) {
	span := trace.SpanFromContext(r.Context())
	err := s.payments.receipts(r.Context(), "Ada", func(receipt string) {
		span.AddEvent("receipt", trace.WithAttributes(attribute.String("text", receipt)))
		_, _ = fmt.Fprintln(w, receipt)
	})
	if err != nil {
		fail(w, r, err)
	}
}

// export writes until the customer goes away.
func (s *shop) export(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, exportHeader)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	trace.SpanFromContext(r.Context()).AddEvent("the customer has left")
}

const exportHeader = "id,title\n"

// bulk records more than a span may have.
func (s *shop) bulk(w http.ResponseWriter, r *http.Request) {
	_, span := s.tracer.Start(r.Context(), "import", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.ByteSlice("import.magic", []byte("BOOK\x00\xff")),
		attribute.Float64Slice("import.scores", []float64{0.5, -1, 1e9}),
		attribute.Map("import.source", attribute.String("file", "books.csv"), attribute.Bool("zipped", true)),
		attribute.Slice("import.columns", attribute.StringValue("title"), attribute.Int64Value(7)),
		attribute.String("", "has no key"),
	))
	defer span.End()
	for i := range 130 {
		key := fmt.Sprintf("row.%03d", i)
		span.SetAttributes(attribute.Int(key, i))
		span.AddEvent("row", trace.WithAttributes(attribute.Int("number", i), attribute.String("title", "a title that is rather long"), attribute.Bool("new", true)))
		id := trace.TraceID{1, 15: byte(i)}
		span.AddLink(trace.Link{
			SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{7: byte(i + 1)}}),
			Attributes:  []attribute.KeyValue{attribute.Int("number", i), attribute.Bool("linked", true), attribute.Bool("new", i > 5)},
		})
	}
	span.SetAttributes(attribute.String("row.000", "changed at the end"))
	span.SetName("import of 130 rows")
	w.WriteHeader(http.StatusNoContent)
}

// crash panics in a span of its own, inside that of the server.
func (s *shop) crash(_ http.ResponseWriter, r *http.Request) {
	_, span := s.tracer.Start(r.Context(), "divide")
	defer span.End(trace.WithStackTrace(true))
	panic("the shelf has fallen over")
}

// fail answers with what became of a request.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, errNoBook):
		code = http.StatusNotFound
	case status.Code(err) == codes.FailedPrecondition:
		code = http.StatusPaymentRequired
	case r.Context().Err() != nil:
		code = 499 // as nginx has it: the client has gone
	}
	http.Error(w, err.Error(), code)
}

// session returns the customer's session, which comes by baggage.
func session(ctx context.Context) string {
	return baggage.FromContext(ctx).Member("session.id").Value()
}

// get gets a URL.
func get(ctx context.Context, client *http.Client, url string) (code int, body []byte, err error) {
	return send(ctx, client, http.MethodGet, url)
}

// send sends a request without a body.
func send(ctx context.Context, client *http.Client, method, url string) (code int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}
