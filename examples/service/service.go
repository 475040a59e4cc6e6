package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

// scope is the name of the service's own tracer.
const scope = "github.com/ringtail-otel/ringtail/examples/service"

// telemetry is what every part of the service is instrumented with. A program with
// one provider can leave it to the global one; the tests run two.
type telemetry struct {
	provider   trace.TracerProvider
	propagator propagation.TextMapPropagator
}

func (t telemetry) tracer() trace.Tracer {
	return t.provider.Tracer(scope, trace.WithInstrumentationVersion("1.0.0"), trace.WithSchemaURL("https://opentelemetry.io/schemas/1.43.0"))
}

// transport returns an instrumented HTTP transport with connections of its own.
func (t telemetry) transport() (rt http.RoundTripper, closeIdle func()) {
	base := &http.Transport{MaxIdleConnsPerHost: 16}
	return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(t.propagator)), base.CloseIdleConnections
}

// service is the shop over HTTP, its payments over gRPC, and its database, all in
// this process.
type service struct {
	url       string
	grpcAddr  string
	reviewing <-chan struct{} // has something when a payment waits for a review

	http      *http.Server
	grpc      *grpc.Server
	payments  paymentsClient
	store     *store
	closeIdle func()
}

// start starts a service that listens on address, and for gRPC on any port of the loopback.
func start(ctx context.Context, address string, tel telemetry) (_ *service, err error) {
	ctx, span := tel.tracer().Start(ctx, "start")
	defer span.End()
	store, err := openStore(ctx, tel)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot listen for HTTP: %w", err), store.db.Close())
	}
	grpcListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot listen for gRPC: %w", err), listener.Close(), store.db.Close())
	}
	client, err := newPaymentsClient(grpcListener.Addr().String(), tel)
	if err != nil {
		return nil, errors.Join(err, grpcListener.Close(), listener.Close(), store.db.Close())
	}
	reviewing := make(chan struct{}, 1)
	transport, closeIdle := tel.transport()
	s := &service{
		url: "http://" + listener.Addr().String(), grpcAddr: grpcListener.Addr().String(), reviewing: reviewing,
		grpc:     servePayments(grpcListener, &payments{reviewing}, tel),
		payments: client, store: store, closeIdle: closeIdle,
	}
	shop := shop{tracer: tel.tracer(), store: store, payments: client, client: &http.Client{Transport: transport}, self: s.url}
	s.http = &http.Server{
		Handler:           shop.handler(tel),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // the panics, which are in the traces
	}
	go func() { _ = s.http.Serve(listener) }() // ends with Shutdown
	return s, nil
}

// stop lets the requests under way end, within ctx, and stops everything.
func (s *service) stop(ctx context.Context) error {
	s.closeIdle()
	err := s.http.Shutdown(ctx)
	err = errors.Join(err, s.payments.conn.Close())
	s.grpc.Stop() // waits for its handlers
	return errors.Join(err, s.store.db.Close())
}
