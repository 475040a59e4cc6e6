package collector

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/seglog"
)

// keeping is an exporter that goes on reading some of its batches, as one does whose backend
// answers before it has read them.
type keeping struct {
	scripted
	mu      sync.Mutex
	kept    []leftover
	settled []leftover
}

// leftover is what the exporter still has of a batch.
type leftover struct {
	parts [][]byte
	was   []byte
}

func (l *leftover) intact() bool { return bytes.Equal(slices.Concat(l.parts...), l.was) }

func (e *keeping) Export(ctx context.Context, b *ringtail.Batch) error {
	e.mu.Lock()
	rest := leftover{b.Parts(), slices.Concat(b.Parts()...)}
	var failed error
	switch (len(e.kept) + len(e.settled)) % 20 {
	case 0: // the first attempt only
		failed = &export.RetryableError{Err: context.DeadlineExceeded}
		fallthrough
	case 1:
		b.Keep()
		e.kept = append(e.kept, rest)
	case 2: // in the middle, and what it has started goes on
		e.kept = append(e.kept, rest)
		e.mu.Unlock()
		panic("a bug")
	default:
		e.settled = append(e.settled, rest)
	}
	e.mu.Unlock()
	if failed != nil {
		return failed
	}
	return e.scripted.Export(ctx, b)
}

// What an exporter keeps, or has when it panics, stays as it is, while the log's other memory is used again.
func TestPipelineLeavesAloneWhatIsKept(t *testing.T) {
	e := &keeping{}
	p := pipelineOf(t, memoryLog(t, seglog.Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10}),
		ExporterConfig{Name: "keeping", Exporter: e, MaxBatchBytes: 3000, Concurrency: 1, Linger: time.Millisecond, Retry: export.RetryConfig{InitialInterval: 1, MaxInterval: 1}})
	const requests, spans = 300, 20
	for i := 0; i < requests; {
		_, err := p.Append(t.Context(), [][]byte{numbered(i*spans, spans)})
		if err == nil {
			i++
			continue
		}
		time.Sleep(time.Millisecond) // full
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _ := e.distinct(); n != requests*spans {
		t.Errorf("%d spans arrived", n)
	}
	for i := range e.kept {
		if !e.kept[i].intact() {
			t.Errorf("batch %d that is kept was written over", i)
		}
	}
	over := 0
	for i := range e.settled {
		if !e.settled[i].intact() {
			over++
		}
	}
	t.Logf("%d kept; of %d others %d were written over", len(e.kept), len(e.settled), over)
	if len(e.kept) == 0 || over == 0 {
		t.Error("the test has shown nothing")
	}
}
