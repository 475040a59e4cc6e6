package ringtail

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestOptionsValidation(t *testing.T) {
	for _, test := range []struct {
		option Option
		want   string // in the error; "" is a value of use
	}{
		{WithRingBits(5), "WithRingBits(5)"}, {WithRingBits(6), ""}, {WithRingBits(22), ""}, {WithRingBits(23), "WithRingBits(23): want 6 to 22"},
		{WithMaxProducers(0), "WithMaxProducers(0)"}, {WithMaxProducers(1), ""}, {WithMaxProducers(1<<16 + 1), "WithMaxProducers(65537)"},
		{WithMaxPoll(0), "WithMaxPoll(0)"}, {WithMaxPoll(1), ""},
		{WithBatchSpans(-1), "WithBatchSpans(-1)"}, {WithBatchSpans(1), ""},
		{WithBatchBytes(1023), "WithBatchBytes(1023)"}, {WithBatchBytes(1 << 30), ""}, {WithBatchBytes(1<<30 + 1), "WithBatchBytes("},
		{WithQueueBytes(0), "WithQueueBytes(0)"}, {WithQueueBytes(1 << 10), ""},
		{WithConcurrentExports(0), "WithConcurrentExports(0)"}, {WithConcurrentExports(1024), ""}, {WithConcurrentExports(1025), "WithConcurrentExports(1025)"},
		{WithInterval(0), "WithInterval(0s)"}, {WithInterval(time.Millisecond), ""}, {WithInterval(2 * time.Hour), "WithInterval(2h0m0s)"},
		{WithBatchAge(-1), "WithBatchAge(-1ns): want 1ms to 1h"}, {WithBatchAge(time.Hour), ""},
		{WithExportTimeout(time.Microsecond), "WithExportTimeout(1µs)"}, {WithExportTimeout(time.Second), ""},
		{nil, "option 0 is nil"},
		{LowLatency(), ""}, {HighThroughput(), ""}, {WithAdaptiveBatching(), ""},
		{WithResource(nil), ""}, {WithSampler(nil), ""}, {WithLogger(nil), ""},
	} {
		_, err := NewCore(test.option)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

func TestPresets(t *testing.T) {
	for name, test := range map[string]struct {
		preset                        Option
		ringSpans, maxPoll, producers int
		interval                      time.Duration
		ringBytes                     int
	}{
		"LowLatency":     {preset: LowLatency(), ringSpans: 4 << 10, maxPoll: 1000, producers: 16, interval: 50 * time.Millisecond, ringBytes: 1 << 20},
		"HighThroughput": {preset: HighThroughput(), ringSpans: 64 << 10, maxPoll: 10_000, producers: 32, interval: 200 * time.Millisecond, ringBytes: 16 << 20},
	} {
		c, err := newConfig([]Option{test.preset, WithLogger(slog.New(slog.DiscardHandler))})
		if err != nil {
			t.Fatal(err)
		}
		if 1<<c.ringBits != test.ringSpans || c.ringBytes() != test.ringBytes || c.maxPoll != test.maxPoll ||
			c.maxProducers != test.producers || c.interval != test.interval {
			t.Errorf("%s: %+v", name, c)
		}
		c, _ = newConfig([]Option{test.preset, WithMaxPoll(77)})
		if c.maxPoll != 77 || c.interval != test.interval {
			t.Errorf("%s, changed: %+v", name, c)
		}
	}
}

func TestStatsString(t *testing.T) {
	s := Stats{Submitted: 10, Exported: 5, InFlight: 2}
	if got := s.String(); got != "10 submitted = 5 exported + 0 dropped + 2 in flight" {
		t.Error(got)
	}
	s.Dropped[ReasonFull], s.Dropped[ReasonPanic] = 1, 2
	if got := s.String(); got != "10 submitted = 5 exported + 3 dropped (queue_full 1, panic 2) + 2 in flight" {
		t.Error(got)
	}
	if s.Dropped.Of(200) != 0 || Reason(200).String() != "Reason(200)" {
		t.Errorf("%d, %v", s.Dropped.Of(200), Reason(200))
	}
	for r, n := range s.Dropped.All() {
		if r != ReasonFull || n != 1 {
			t.Errorf("%v %d", r, n)
		}
		break
	}
	seen := make(map[string]bool)
	for r := range numReasons {
		if name := r.String(); name == "" || seen[name] {
			t.Errorf("reason %d is called %q", r, name)
		}
		seen[r.String()] = true
	}
}
