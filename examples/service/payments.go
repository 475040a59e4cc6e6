package main

import (
	"context"
	"errors"
	"io"
	"net"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What a payment of so many cents leads to.
const (
	declinedFrom = 10_000  // the card is declined
	reviewedFrom = 100_000 // a person looks at it, for longer than anybody waits
)

// payments is a gRPC service. Its messages are protobuf's well-known types, so that it
// needs no generated code.
type payments struct {
	reviewing chan<- struct{} // told, if anybody listens, when a review begins
}

// Charge charges an amount in cents and returns a receipt.
func (p *payments) Charge(ctx context.Context, cents *wrapperspb.Int64Value) (*wrapperspb.StringValue, error) {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(
		attribute.Int64("payment.cents", cents.GetValue()),
		// From two services up, by baggage.
		attribute.String("customer.tier", baggage.FromContext(ctx).Member("customer.tier").Value()),
	)
	switch {
	case cents.GetValue() >= reviewedFrom:
		span.AddEvent("review requested", trace.WithAttributes(attribute.StringSlice("reviewers", []string{"Ada", "Grace"})))
		select {
		case p.reviewing <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	case cents.GetValue() >= declinedFrom:
		err := status.Error(codes.FailedPrecondition, "card declined")
		span.RecordError(err)
		return nil, err
	}
	return wrapperspb.String("receipt"), nil
}

// Receipts streams the receipts of a customer.
func (p *payments) Receipts(customer *wrapperspb.StringValue, stream grpc.ServerStream) error {
	for _, receipt := range []string{"books", "tea", "more books"} {
		if err := stream.SendMsg(wrapperspb.String(receipt + " for " + customer.GetValue())); err != nil {
			return err
		}
	}
	return nil
}

var paymentsDesc = grpc.ServiceDesc{
	ServiceName: "shop.Payments",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Charge",
		Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var cents wrapperspb.Int64Value
			if err := decode(&cents); err != nil {
				return nil, err
			}
			return srv.(*payments).Charge(ctx, &cents)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName:    "Receipts",
		ServerStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error {
			var customer wrapperspb.StringValue
			if err := stream.RecvMsg(&customer); err != nil {
				return err
			}
			return srv.(*payments).Receipts(&customer, stream)
		},
	}},
}

// servePayments starts the service; the caller stops the server.
func servePayments(listener net.Listener, p *payments, tel telemetry) *grpc.Server {
	server := grpc.NewServer(grpc.WaitForHandlers(true), grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(tel.provider), otelgrpc.WithPropagators(tel.propagator))))
	server.RegisterService(&paymentsDesc, p)
	go func() { _ = server.Serve(listener) }() // ends with Stop, without an error that matters
	return server
}

// paymentsClient calls the service.
type paymentsClient struct{ conn *grpc.ClientConn }

func newPaymentsClient(address string, tel telemetry) (paymentsClient, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(tel.provider), otelgrpc.WithPropagators(tel.propagator))))
	return paymentsClient{conn}, err
}

func (c paymentsClient) charge(ctx context.Context, cents int64) (receipt string, err error) {
	var out wrapperspb.StringValue
	err = c.conn.Invoke(ctx, "/shop.Payments/Charge", wrapperspb.Int64(cents), &out)
	return out.GetValue(), err
}

// receipts calls each with every receipt.
func (c paymentsClient) receipts(ctx context.Context, customer string, each func(string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.conn.NewStream(ctx, &paymentsDesc.Streams[0], "/shop.Payments/Receipts")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(wrapperspb.String(customer)); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		var receipt wrapperspb.StringValue
		switch err := stream.RecvMsg(&receipt); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		each(receipt.GetValue())
	}
}
