package collector

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/seglog"
)

// hanging is an exporter whose backend takes requests and never answers, until it is mended.
type hanging struct {
	scripted
	mended chan struct{}
}

func (e *hanging) Export(ctx context.Context, b *ringtail.Batch) error {
	select {
	case <-e.mended:
		return e.scripted.Export(ctx, b)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// With drop_oldest nothing is refused, however small the log is and however many backends
// hang with batches in flight that are larger than it: the oldest goes, memory is bounded,
// and each exporter counts what it missed.
func TestPipelineDropsOldestThoughBackendsHang(t *testing.T) {
	for _, exporters := range []int{1, 3} {
		t.Run(fmt.Sprint(exporters), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const bound, requests, spans = 4 << 20, 600, 1000 // of 38 KB: 23 MB
				var configs []ExporterConfig
				mended := make(chan struct{})
				hung := make([]*hanging, exporters)
				for i := range hung {
					hung[i] = &hanging{mended: mended}
					configs = append(configs, ExporterConfig{Name: fmt.Sprint("hung", i), Exporter: hung[i], MaxBatchSpans: 1 << 20, Linger: time.Second})
				}
				good := &scripted{}
				configs = append(configs, ExporterConfig{Name: "good", Exporter: good, Linger: time.Millisecond})
				p := pipelineOf(t, memoryLog(t, seglog.Options{MaxBytes: bound, WhenFull: seglog.DropOldest}), configs...)
				most := int64(0)
				for i := range requests {
					appendSpans(t, p, i*spans, spans)
					time.Sleep(10 * time.Millisecond)
					most = max(most, p.Stats().Log.MemoryBytes)
				}
				// A batch of 1 MiB lies in two or three chunks of 512 KiB.
				if inFlight := int64(exporters * 10 * 3 << 19); most > bound+inFlight {
					t.Errorf("%d bytes of memory", most)
				}
				t.Logf("at most %.1f MiB of memory", float64(most)/(1<<20))
				s := p.Stats()
				balanced(t, s)
				for _, e := range s.Exporters[:exporters] {
					if e.Delivered != 0 || e.Sending != 10 || e.InLog == 0 {
						t.Errorf("while it hangs: %+v", e)
					}
				}
				expect(t, s.Exporters[exporters], requests*spans, 0)
				close(mended)
				if err := p.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				s = p.Stats()
				balanced(t, s)
				for i, e := range s.Exporters[:exporters] {
					arrived, twice := hung[i].distinct()
					if uint64(arrived) != e.Delivered || twice != 0 || e.Dropped.Total() != 0 || e.InLog != 0 {
						t.Errorf("%d arrived, %d twice: %+v", arrived, twice, e)
					}
					if missed := e.Skipped[seglog.SkippedLimit]; missed == 0 || missed+e.Delivered != requests*spans {
						t.Errorf("%d delivered, %d missed", e.Delivered, missed)
					}
				}
			})
		})
	}
}
