package oteltrace_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// printer is an exporter that prints.
type printer struct{}

func (printer) Export(_ context.Context, b *ringtail.Batch) error {
	for s := range b.Spans() {
		fmt.Printf("%s: %s, root %v, %v, %d events, %s\n", s.Scope.Name, s.Name, !s.ParentID.IsValid(), s.Attributes, len(s.Events), s.Status.Code)
	}
	return nil
}

func (printer) Shutdown(context.Context) error { return nil }

func Example() {
	ctx := context.Background()
	collector, err := ringtail.New(printer{})
	if err != nil {
		fmt.Println(err)
		return
	}
	provider := oteltrace.NewTracerProvider(collector)
	// Usually: otel.SetTracerProvider(provider)
	tracer := provider.Tracer("shop")

	ctx, order := tracer.Start(ctx, "order", trace.WithSpanKind(trace.SpanKindServer))
	_, payment := tracer.Start(ctx, "payment", trace.WithAttributes(attribute.Int("cents", 1250)))
	payment.RecordError(fmt.Errorf("card %s declined", "…1234"))
	payment.SetStatus(codes.Error, "declined")
	payment.End()
	order.SetAttributes(attribute.Bool("paid", false))
	order.End()

	if err := provider.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// shop: payment, root false, [{"cents":1250}], 1 events, Error
	// shop: order, root true, [{"paid":false}], 0 events, Unset
}

// One trace in ten, whole, and what was decided before this process was asked.
func ExampleParentBased() {
	sampler := oteltrace.ParentBased(oteltrace.TraceIDRatioBased(0.1))
	provider := oteltrace.NewTracerProvider(nil, oteltrace.WithSampler(sampler))
	fmt.Println(sampler.Description())
	_, span := provider.Tracer("shop").Start(context.Background(), "order")
	span.End()
	// Output:
	// ParentBased{root:TraceIDRatioBased{0.1},remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}
}

// tenants is a processor that marks spans with a member of the baggage.
type tenants struct{}

func (tenants) OnStart(parent context.Context, s *oteltrace.ReadWriteSpan) {
	if tenant := baggage.FromContext(parent).Member("tenant").Value(); tenant != "" {
		s.SetAttributes(attribute.String("tenant", tenant))
	}
}

func (tenants) OnEnd(s *oteltrace.ReadWriteSpan) {
	span := s.Snapshot()
	fmt.Println(span.Name, span.Attributes, s.ChildCount(), "children")
}

func (tenants) ForceFlush(context.Context) error { return nil }
func (tenants) Shutdown(context.Context) error   { return nil }

// A processor sees every recording span as it begins and ends, here without a
// collector.
func ExampleWithSpanProcessor() {
	provider := oteltrace.NewTracerProvider(nil, oteltrace.WithSpanProcessor(tenants{}))
	tracer := provider.Tracer("shop")

	bag, err := baggage.Parse("tenant=acme")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, order := tracer.Start(baggage.ContextWithBaggage(context.Background(), bag), "order")
	_, payment := tracer.Start(ctx, "payment")
	payment.End()
	order.End()
	// Output:
	// payment [{"tenant":"acme"}] 0 children
	// order [{"tenant":"acme"}] 1 children
}
