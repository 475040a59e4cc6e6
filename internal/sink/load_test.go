package sink

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/internal/load"
	"github.com/ringtail-otel/ringtail/internal/load/numbers"
	"github.com/ringtail-otel/ringtail/otlp"
)

// send runs a small load.
func send(t *testing.T, change func(*load.Config)) load.Report {
	t.Helper()
	c := load.DefaultConfig()
	c.Duration, c.Spans, c.Request, c.TraceSpans = 0, 2042, 50, 7
	change(&c)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := load.Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != r.Acknowledged+r.Rejected+r.Refused+r.GivenUp || r.Cut {
		t.Errorf("the ledger: %+v", r)
	}
	return r
}

// Every way to send arrives, in valid requests, once.
func TestEverythingArrives(t *testing.T) {
	dir := t.TempDir()
	for _, unix := range []bool{false, true} {
		cfg := Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Validate: true}
		if unix {
			cfg.GRPC, cfg.HTTP = "unix:"+filepath.Join(dir, "g"), "unix:"+filepath.Join(dir, "h")
		}
		for _, protocol := range []load.Protocol{load.GRPC, load.HTTPProtobuf, load.HTTPJSON} {
			for _, compression := range []string{"none", "gzip", "zstd"} {
				for _, scattered := range []bool{false, true} {
					if unix && (compression != "none" || scattered) {
						continue
					}
					s, stop := start(t, cfg)
					var acked bytes.Buffer
					sent := send(t, func(c *load.Config) {
						c.Protocol, c.Compression, c.Scattered, c.Acked = protocol, compression, scattered, &acked
						c.Endpoint = s.HTTPAddr().String()
						if protocol == load.GRPC {
							c.Endpoint = s.GRPCAddr().String()
						}
						if unix {
							c.Endpoint = "unix:" + c.Endpoint
						}
					})
					got := stop()
					name := string(protocol) + " " + compression
					if sent.Acknowledged != 2042 || sent.Attempts != 41 || len(sent.Errors) > 0 {
						t.Errorf("%s: %+v", name, sent)
					}
					if len(got.Runs) != 1 || got.Runs[0].Run != sent.Run || got.Spans != 2042 || got.Seen() != 2042 || got.Duplicates() != 0 ||
						got.Lost() != 0 || got.Unnumbered != 0 || got.Requests != 41 || got.Malformed != 0 || !got.Exact {
						t.Errorf("%s: %+v", name, got)
					}
					sets, err := numbers.ReadRanges(&acked)
					if err != nil || len(sets) != 1 {
						t.Fatal(sets, err)
					}
					for _, set := range sets {
						if set.Len() != 2042 || set.Highest() != 2042 {
							t.Errorf("%s: %d acknowledged in the file", name, set.Len())
						}
					}
				}
			}
		}
	}
}

// A relay between them that loses and doubles requests: what the sink tells is what it did.
func TestLossAndDuplicatesAreTold(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	path := filepath.Join(t.TempDir(), "acked")
	s, stop := start(t, Config{HTTP: "127.0.0.1:0", Acked: []string{path}})
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 1))
	dropped, doubled := map[uint64]bool{}, map[uint64]bool{}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		times, note := 1, map[uint64]bool(nil)
		switch rng.IntN(5) {
		case 0:
			times, note = 0, dropped
		case 1:
			times, note = 2, doubled
		}
		for span := range otlp.Spans(body) {
			if view, err := otlp.ParseSpan(span.Body); err == nil && note != nil {
				_, number, _ := numbers.Of(view.TraceID[:], view.SpanID[:])
				note[number] = true
			}
		}
		mu.Unlock()
		for range times {
			resp, err := client.Post("http://"+s.HTTPAddr().String()+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		}
	}))
	defer relay.Close()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	send(t, func(c *load.Config) { c.Protocol, c.Endpoint, c.Acked = load.HTTPProtobuf, relay.URL, file })
	got := stop()
	run := got.Runs[0]
	if len(dropped) == 0 || len(doubled) == 0 {
		t.Fatal("the relay did nothing")
	}
	if got.Lost() != uint64(len(dropped)) || run.Duplicates != uint64(len(doubled)) || *run.Acked != 2042 || *run.Unacked != 0 || run.Seen != 2042-uint64(len(dropped)) {
		t.Errorf("%d dropped, %d doubled: %+v", len(dropped), len(doubled), run)
	}
	told := map[uint64]bool{}
	for _, r := range run.LostRanges {
		for n := r.First; n <= r.Last; n++ {
			told[n] = true
		}
	}
	if !maps.Equal(told, dropped) {
		t.Errorf("lost %v, told %v", dropped, run.LostRanges)
	}
	// Without the file, what is missing behind the highest is not known.
	if tail := 2042 - run.Highest; run.Missing != uint64(len(dropped))-tail {
		t.Errorf("%d missing up to %d, %d dropped", run.Missing, run.Highest, len(dropped))
	}
}

// What bad backends do is counted at both ends, and adds up.
func TestBadBackends(t *testing.T) {
	type counts struct {
		acknowledged, rejected, refused, givenUp uint64
		retries                                  bool
		code                                     string // for gRPC; and for HTTP
		http                                     string
		seen                                     uint64
	}
	all := counts{acknowledged: 2042, seen: 2042}
	with := func(c counts, f func(*counts)) counts { f(&c); return c }
	for _, test := range []struct {
		answers []string
		noRetry bool
		want    counts
	}{
		{[]string{"refuse=unavailable,retry=1ms,every=3"}, false, with(all, func(c *counts) { c.retries, c.code, c.http = true, "UNAVAILABLE", "503" })},
		{[]string{"refuse=429,every=4"}, true, counts{acknowledged: 2042 - 500, refused: 500, code: "RESOURCE_EXHAUSTED", http: "429", seen: 2042 - 500}},
		{[]string{"refuse=invalid_argument"}, false, counts{refused: 2042, code: "INVALID_ARGUMENT", http: "400"}},
		{[]string{"partial=10"}, false, counts{acknowledged: 2042 - 410, rejected: 410, seen: 2042 - 410}},
		{[]string{"garbage"}, false, with(all, func(c *counts) { c.code, c.http = "garbage", "garbage" })},
		{[]string{"delay=1ms"}, false, all},
		{[]string{"hang,every=20"}, true, counts{acknowledged: 2042 - 100, givenUp: 100, code: "timeout", http: "timeout", seen: 2042 - 100}},
		{[]string{"half,every=20"}, true, counts{acknowledged: 2042 - 100, givenUp: 100, code: "timeout", http: "timeout", seen: 2042 - 50}},
		{[]string{"hang,every=20"}, false, with(all, func(c *counts) { c.retries, c.code, c.http = true, "timeout", "timeout" })},
		{[]string{"flap=20ms/20ms"}, false, all},
		{[]string{"refuse=503,every=7", "refuse=aborted,retry=1ms,every=2"}, false, with(all, func(c *counts) { c.retries = true })},
	} {
		for _, protocol := range []load.Protocol{load.GRPC, load.HTTPProtobuf, load.HTTPJSON} {
			name := string(protocol) + " " + test.answers[0]
			if protocol != load.GRPC && test.answers[0] != "flap=20ms/20ms" && len(test.answers) == 1 && test.answers[0] == "refuse=unavailable,retry=1ms,every=3" {
				continue // Retry-After is whole seconds
			}
			if protocol != load.GRPC && len(test.answers) > 1 {
				continue // 409 is final
			}
			var cfg Config
			for _, text := range test.answers {
				a, err := ParseAnswer(text)
				if err != nil {
					t.Fatal(err)
				}
				cfg.Answers = append(cfg.Answers, a)
			}
			cfg.GRPC, cfg.HTTP = "127.0.0.1:0", "127.0.0.1:0"
			s, stop := start(t, cfg)
			sent := send(t, func(c *load.Config) {
				// In turn, so that each Nth request is known to be a full one.
				c.Protocol, c.Connections, c.InFlight, c.NoRetry = protocol, 1, 1, test.noRetry
				if test.want.code == "timeout" {
					c.Timeout = 500 * time.Millisecond
				}
				c.Endpoint = s.HTTPAddr().String()
				if protocol == load.GRPC {
					c.Endpoint = s.GRPCAddr().String()
				}
			})
			got := stop()
			w := test.want
			code := w.http
			if protocol == load.GRPC {
				code = w.code
			}
			if sent.Acknowledged != w.acknowledged || sent.Rejected != w.rejected || sent.Refused != w.refused || sent.GivenUp != w.givenUp ||
				w.retries && sent.Retries == 0 || code != "" && sent.Errors[code] == 0 {
				t.Errorf("%s: load: %+v", name, sent)
			}
			if got.Seen() != w.seen || got.Duplicates() > sent.Resent {
				t.Errorf("%s: sink: %+v; %d resent", name, got, sent.Resent)
			}
		}
	}
}

// Half a request is taken, there is no answer, and it comes again: half of it twice.
func TestHalfTakenComesTwice(t *testing.T) {
	a, err := ParseAnswer("half,every=10")
	if err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, Config{GRPC: "127.0.0.1:0", Answers: []Answer{a}})
	sent := send(t, func(c *load.Config) {
		c.Endpoint, c.Connections, c.InFlight, c.Timeout, c.Spans = s.GRPCAddr().String(), 1, 1, 500*time.Millisecond, 1000
	})
	got := stop()
	if sent.Acknowledged != 1000 || sent.Resent != 100 || got.Duplicates() != 50 || got.Seen() != 1000 || got.Hung != 2 {
		t.Errorf("%+v\n%+v", sent, got)
	}
}

// A receiver that goes and comes back at the same address: what was acknowledged is in one of the two.
func TestReceiverComesBack(t *testing.T) {
	for _, protocol := range []load.Protocol{load.GRPC, load.HTTPProtobuf} {
		first, stop := start(t, Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Spans: 1000})
		addr := Config{GRPC: first.GRPCAddr().String(), HTTP: first.HTTPAddr().String()}
		var again *Sink
		var stopAgain func() Report
		restarted := make(chan struct{})
		go func() {
			defer close(restarted)
			<-first.enough
			stop()
			again, stopAgain = start(t, addr)
		}()
		sent := send(t, func(c *load.Config) {
			c.Protocol, c.Spans, c.Rate, c.Endpoint = protocol, 4000, 8000, addr.HTTP
			if protocol == load.GRPC {
				c.Endpoint = addr.GRPC
			}
		})
		<-restarted
		one, two := stop(), stopAgain()
		if sent.Acknowledged != 4000 || again == nil {
			t.Fatalf("%+v", sent)
		}
		var union numbers.Set
		for _, s := range []*Sink{first, again} {
			for _, run := range s.tracker.Runs() {
				for r := range s.tracker.Run(run).Without(&union) {
					union.AddRange(r)
				}
			}
		}
		if union.Len() != 4000 || one.Seen()+two.Seen() > 4000+sent.Resent {
			t.Errorf("%s: %d arrived, %d + %d, %d resent", protocol, union.Len(), one.Seen(), two.Seen(), sent.Resent)
		}
	}
}

// Of a request that was rejected in part, nobody knows which spans were taken: none counts as acknowledged
// in the file.
func TestRejectedPartsAreNotAcked(t *testing.T) {
	a, err := ParseAnswer("partial=5,every=2")
	if err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, Config{GRPC: "127.0.0.1:0", Answers: []Answer{a}})
	var acked bytes.Buffer
	sent := send(t, func(c *load.Config) {
		c.Endpoint, c.Acked, c.Connections, c.InFlight, c.Spans = s.GRPCAddr().String(), &acked, 1, 1, 200
	})
	stop()
	if sent.Rejected != 10 || sent.Acknowledged != 190 || acked.String() != sent.Run+" 1 50\n"+sent.Run+" 101 150\n" {
		t.Errorf("%+v\n%s", sent, acked.String())
	}
}
