package otlpgrpc

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

func TestExportDelivers(t *testing.T) {
	otlptest.NoLeaks(t)
	r := new(receiver).start(t)
	e := newTestExporter(t, "http://"+r.addr, WithHeaders(map[string]string{"X-Tenant": "blue"}), WithUserAgent("shop/1.2"))
	for i, pieces := range []int{1, 2, 10} {
		b := otlptest.Batch(t, 1+100*i, 100, 30)
		if err := e.Export(t.Context(), ringtail.JoinBatch(otlptest.Pieces(t, b, pieces), b.Len())); err != nil {
			t.Fatal(err)
		}
	}
	r.wantTaken(1, 300)
	for name, want := range map[string]string{
		"content-type": "application/grpc+proto",
		"user-agent":   "shop/1.2 ringtail/" + ringtail.Version + " (OTel-OTLP-Exporter-Go) grpc-go/" + grpc.Version,
		"x-tenant":     "blue",
	} {
		if got := r.headers.Get(name); len(got) != 1 || got[0] != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
}

func TestBackendThatIsDownAndComesBack(t *testing.T) {
	otlptest.NoLeaks(t)
	r := new(receiver).start(t)
	r.server.Stop()
	e := newTestExporter(t, r.addr, WithInsecure(), WithRetry(export.RetryConfig{InitialInterval: 20 * time.Millisecond, MaxInterval: 50 * time.Millisecond}))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := e.Export(ctx, otlptest.Batch(t, 1, 5, 0))
	if losses := ringtail.Losses(err, 5); losses.Total() != 5 || status.Code(err) != codes.Unavailable {
		t.Fatalf("down: %v", err)
	}
	exported := make(chan error, 1)
	go func() { exported <- e.Export(t.Context(), otlptest.Batch(t, 1, 5, 0)) }()
	back := (&receiver{addr: r.addr}).start(t)
	if err := <-exported; err != nil {
		t.Errorf("back: %v", err)
	}
	back.wantTaken(1, 5)
}

func TestBackendThatFlaps(t *testing.T) {
	otlptest.NoLeaks(t)
	var mu sync.Mutex
	n := 0
	r := (&receiver{answer: func(context.Context, []int) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%3 != 0 {
			return nil, status.Error(codes.Unavailable, "not now")
		}
		return nil, nil
	}}).start(t)
	e := newTestExporter(t, r.addr, WithInsecure(), quick)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				if err := e.Export(t.Context(), otlptest.Batch(t, 1+100*i+20*j, 20, 10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.wantTaken(1, 800)
}

func TestBackendThatHangs(t *testing.T) {
	otlptest.NoLeaks(t)
	r := (&receiver{answer: func(ctx context.Context, _ []int) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }}).start(t)
	e := newTestExporter(t, r.addr, WithInsecure(), WithTimeout(30*time.Millisecond), WithRetry(export.RetryConfig{InitialInterval: 1, MaxAttempts: 2}))
	err := e.Export(t.Context(), otlptest.Batch(t, 1, 5, 0))
	if losses := ringtail.Losses(err, 5); losses[ringtail.ReasonTimeout] != 5 || r.count() > 2 {
		t.Errorf("%v after %d calls", err, r.count())
	}
}

func TestLargeBatchesAreSplit(t *testing.T) {
	otlptest.NoLeaks(t)
	r := (&receiver{answer: func(_ context.Context, ids []int) ([]byte, error) {
		if slices.Contains(ids, 500) {
			return nil, status.Error(codes.InvalidArgument, "no")
		}
		return nil, nil
	}}).start(t, grpc.MaxRecvMsgSize(2000))
	e := newTestExporter(t, r.addr, WithInsecure(), WithMaxRequestBytes(2000), quick)
	err := e.Export(t.Context(), otlptest.Batch(t, 1, 1000, 50))
	losses := ringtail.Losses(err, 1000)
	lost := int(losses[ringtail.ReasonRejected])
	if lost == 0 || lost > 20 || lost != int(losses.Total()) || lost != 1000-r.spans() {
		t.Errorf("%d spans taken, %d lost: %v", r.spans(), lost, err)
	}
}

func TestASpanThatIsTooLargeIsTheOnlyOneLost(t *testing.T) {
	otlptest.NoLeaks(t)
	r := new(receiver).start(t, grpc.MaxRecvMsgSize(2000))
	small, large := otlptest.Batch(t, 1, 20, 50), otlptest.Batch(t, 21, 1, 5000)
	b, err := ringtail.NewBatch(slices.Concat(small.Bytes(), large.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	e := newTestExporter(t, r.addr, WithInsecure(), WithMaxRequestBytes(2000), quick)
	err = e.Export(t.Context(), b)
	if losses := ringtail.Losses(err, 21); losses[ringtail.ReasonRejected] != 1 || losses.Total() != 1 {
		t.Error(err)
	}
	r.wantTaken(1, 20)
}

func TestShutdown(t *testing.T) {
	otlptest.NoLeaks(t)
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	r := (&receiver{answer: func(ctx context.Context, ids []int) ([]byte, error) {
		entered <- struct{}{}
		switch {
		case ids[0] == 100:
			return nil, status.Error(codes.Unavailable, "not now")
		case ids[0] == 200:
			<-ctx.Done()
			return nil, ctx.Err()
		}
		<-leave
		return nil, nil
	}}).start(t)
	export := func(e *Exporter, first int) <-chan error {
		exported := make(chan error, 1)
		go func() { exported <- e.Export(t.Context(), otlptest.Batch(t, first, 5, 0)) }()
		<-entered
		return exported
	}

	// An export under way is waited for.
	e := newTestExporter(t, r.addr, WithInsecure())
	exported, ended := export(e, 1), make(chan error, 1)
	go func() { ended <- e.Shutdown(t.Context()) }()
	for e.Export(t.Context(), otlptest.Batch(t, 300, 0, 0)) == nil {
		err := e.Export(canceled(t), otlptest.Batch(t, 301, 1, 0))
		if losses := ringtail.Losses(err, 1); losses[ringtail.ReasonClosed] == 1 {
			break // Shutdown has begun
		}
	}
	select {
	case err := <-ended:
		t.Errorf("Shutdown did not wait: %v", err)
	default:
	}
	close(leave)
	if err := errors.Join(<-exported, <-ended); err != nil {
		t.Error(err)
	}
	r.wantTaken(1, 5)

	// A pause ends.
	e = newTestExporter(t, r.addr, WithInsecure(), WithRetry(pauseForAnHour))
	exported = export(e, 100)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-exported; status.Code(err) != codes.Unavailable {
		t.Error(err)
	}

	// An export that does not end is broken off.
	e = newTestExporter(t, r.addr, WithInsecure(), WithTimeout(time.Hour))
	exported = export(e, 200)
	if err := e.Shutdown(canceled(t)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-exported; err == nil {
		t.Error("exported")
	}
}

var pauseForAnHour = export.RetryConfig{InitialInterval: time.Hour, MaxInterval: time.Hour, MaxElapsed: -1}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
