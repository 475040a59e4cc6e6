package sink

import (
	"context"
	"testing"

	"github.com/ringtail-otel/ringtail/internal/load"
)

// Load and sink in one process over loopback: what both cost together, and for -cpuprofile. Their
// costs apart are what the commands print.
func BenchmarkLoadToSink(b *testing.B) {
	for _, protocol := range []load.Protocol{load.GRPC, load.HTTPProtobuf} {
		b.Run(string(protocol), func(b *testing.B) {
			s, stop := start(b, Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
			c := load.DefaultConfig()
			c.Protocol, c.Endpoint = protocol, s.GRPCAddr().String()
			if protocol != load.GRPC {
				c.Endpoint = s.HTTPAddr().String()
			}
			c.Duration, c.Spans = 0, uint64(b.N)
			report, err := load.Run(context.Background(), c)
			if err != nil || report.Acknowledged != uint64(b.N) {
				b.Errorf("%d of %d spans, %v", report.Acknowledged, b.N, err)
			}
			if got := stop(); got.Seen() != uint64(b.N) || got.Lost()+got.Duplicates() > 0 {
				b.Errorf("%+v", got)
			}
		})
	}
}

// start runs a sink until stop, which returns its report.
func start(t testing.TB, cfg Config) (s *Sink, stop func() Report) {
	t.Helper()
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	type result struct {
		report Report
		err    error
	}
	ended := make(chan result, 1)
	go func() {
		r, err := s.Run(ctx)
		ended <- result{r, err}
		close(ended)
	}()
	stop = func() Report {
		t.Helper()
		cancel()
		r := <-ended
		if r.err != nil {
			t.Error(r.err)
		}
		return r.report
	}
	t.Cleanup(func() { cancel(); <-ended })
	return s, stop
}
