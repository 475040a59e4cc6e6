package ringtail_test

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
)

// printer is an exporter: it needs two methods.
type printer struct{}

func (printer) Export(_ context.Context, b *ringtail.Batch) error {
	for s := range b.Spans() {
		fmt.Println(s.Name, s.End.Sub(s.Start), s.Attributes[0].Value.String())
	}
	return nil
}

func (printer) Shutdown(context.Context) error { return nil }

func newSpan(name string, id byte, took time.Duration) *ringtail.Span {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &ringtail.Span{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{id},
		Name: name, Kind: trace.SpanKindServer,
		Start: start, End: start.Add(took),
		Attributes: []attribute.KeyValue{attribute.Int("http.response.status_code", 200)},
	}
}

func ExampleNew() {
	ctx := context.Background()
	collector, err := ringtail.New(printer{}, ringtail.LowLatency())
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := collector.TrySubmit(newSpan("GET /users", 1, 20*time.Millisecond)); err != nil {
		fmt.Println("not taken:", err) // and counted
	}
	if err := collector.Shutdown(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(collector.Stats())
	// Output:
	// GET /users 20ms 200
	// 1 submitted = 1 exported + 0 dropped + 0 in flight
}

// A goroutine that makes many spans has a ring of its own.
func ExampleCollector_Register() {
	collector, err := ringtail.New(printer{})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() {
		producer, err := collector.Register()
		if err != nil {
			done <- err
			return
		}
		defer producer.Close()
		// The span may be used again as soon as the call has returned.
		span := newSpan("step", 1, time.Second)
		for i := byte(1); i <= 3; i++ {
			span.SpanID[0] = i
			span.End = span.Start.Add(time.Duration(i) * time.Second)
			if err := producer.Submit(context.Background(), span); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	if err := collector.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// step 1s 200
	// step 2s 200
	// step 3s 200
}

// A program with a loop of its own drives a Core by hand: no goroutine, no clock.
func ExampleCore() {
	core, err := ringtail.NewCore(ringtail.WithBatchSpans(2))
	if err != nil {
		fmt.Println(err)
		return
	}
	producer, err := core.Register()
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := byte(1); i <= 3; i++ {
		if err := producer.TrySubmit(newSpan("step", i, time.Second)); err != nil {
			fmt.Println(err)
		}
	}
	batch := core.NewBuilder()
	for core.ConsumeUpTo(100, batch) > 0 {
		fmt.Println(batch.Len(), "spans; full:", batch.Full())
		if err := (printer{}).Export(context.Background(), batch.Batch()); err != nil {
			fmt.Println(err)
		}
		batch.Reset()
	}
	// Output:
	// 2 spans; full: true
	// step 1s 200
	// step 1s 200
	// 1 spans; full: false
	// step 1s 200
}
