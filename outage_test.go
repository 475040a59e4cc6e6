package ringtail_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
)

// away is a backend that cannot be reached until a certain time.
type away struct {
	until time.Time
	mu    sync.Mutex
	spans int
}

func (a *away) Export(_ context.Context, b *ringtail.Batch) error {
	if time.Now().Before(a.until) {
		return &export.RetryableError{Err: errors.New("connection refused")}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spans += b.Len()
	return nil
}

func (a *away) Shutdown(context.Context) error { return nil }

// TestBackendAwayForLong has an outage that is longer than OTLP's usual timeouts, and
// shorter than what the retries are allowed by default: with both defaults in
// their places, nothing is lost.
func TestBackendAwayForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &away{until: time.Now().Add(45 * time.Second)}
		c, err := ringtail.New(export.Retry(backend, export.RetryConfig{}))
		if err != nil {
			t.Fatal(err)
		}
		const spans = 500
		for i := range spans {
			if err := c.TrySubmit(newSpan("GET /", byte(i%255)+1, time.Second)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if s := c.Stats(); s.Exported != spans || backend.spans != spans {
			t.Errorf("the backend has %d of %d spans: %v", backend.spans, spans, s)
		}
	})
}
