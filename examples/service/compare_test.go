package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// TestSameTraces runs the service twice, once with the official SDK and once with
// Ringtail, and compares every field of every span that the two have exported, but for
// what the comment at tree leaves out and the table of deliberate differences says.
func TestSameTraces(t *testing.T) {
	needed := make([]bool, len(deliberate))
	cases := []struct {
		name  string
		least int // spans, so that the comparison is of something
		env   map[string]string
	}{
		{"defaults", 150, nil},
		{"small limits", 150, map[string]string{
			"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT":  "9",
			"OTEL_SPAN_EVENT_COUNT_LIMIT":      "2",
			"OTEL_SPAN_LINK_COUNT_LIMIT":       "3",
			"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "2",
			"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT":  "1",
		}},
		{"short values", 150, map[string]string{valueLengthLimit: "12"}},
		{"only what was sampled before", 15, map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_always_off"}},
	}
	ran := 0 // fewer with go test -run
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ran++
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			official, ours := record(t, "sdk"), record(t, "ringtail")
			n := len(official.spans())
			t.Logf("%d spans of the official SDK, %d of Ringtail", n, len(ours.spans()))
			if n < c.least {
				t.Errorf("the official SDK has exported %d spans, want at least %d", n, c.least)
			}
			if d := diff(strings.Join(official.seen, "\n"), strings.Join(ours.seen, "\n")); d != "" {
				t.Errorf("customers see with the official SDK (-) and with Ringtail (+):\n%s", d)
			}
			if d := compare(official, ours, -1); d != "" {
				t.Errorf("traces of the official SDK, with the deliberate differences, (-) and of Ringtail (+):\n%s", d)
			}
			for i := range deliberate {
				needed[i] = needed[i] || compare(official, ours, i) != ""
			}
		})
	}
	for i, d := range deliberate {
		t.Logf("different on purpose: %s (%s)", d.what, d.why)
		if !needed[i] && ran == len(cases) && !t.Failed() {
			t.Errorf("this difference does not exist any more: %s", d.what)
		}
	}
}

// compare returns how what Ringtail exported differs from what it should have exported,
// that is, from the official SDK's with the deliberate differences, but one of them.
func compare(official, ours *recording, without int) string {
	official, ours = official.clone(), ours.clone()
	for i, d := range deliberate {
		if i != without {
			d.apply(official, ours)
		}
	}
	return diff(official.tree(), ours.tree())
}

const valueLengthLimit = "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"

// deliberate are the differences that there should be.
var deliberate = []struct {
	what, why string
	apply     func(official, ours *recording) // makes the official recording what ours has to be
}{
	{
		"traces that begin here have the Random flag",
		"W3C Trace Context level 2 and the OpenTelemetry specification ask for it; the official SDK does not set it",
		func(official, _ *recording) {
			const random = 0x2
			for _, s := range official.spans() {
				if !fromOutside(s.TraceId) {
					s.Flags |= random
				}
				for _, l := range s.Links {
					if !fromOutside(l.TraceId) {
						l.Flags |= random
					}
				}
			}
		},
	},
	{
		"a status that is unset is not written",
		"in OTLP a missing status is an unset one; it saves two bytes a span",
		func(official, _ *recording) {
			for _, s := range official.spans() {
				if s.Status.GetCode() == tracepb.Status_STATUS_CODE_UNSET && s.Status.GetMessage() == "" {
					s.Status = nil
				}
			}
		},
	},
	{
		"exception.type of a panic with a string is string",
		"the official SDK writes .string, as if there were a package in front of the dot",
		func(official, _ *recording) {
			for _, s := range official.spans() {
				for _, e := range s.Events {
					for _, kv := range e.Attributes {
						if kv.Key == "exception.type" && kv.GetValue().GetStringValue() == ".string" {
							kv.Value = stringValue("string")
						}
					}
				}
			}
		},
	},
	{
		"the limit for the length of values holds in events and links too",
		"the specification's common rules limit all attributes; the official SDK limits those of spans",
		func(official, _ *recording) {
			limit, err := strconv.Atoi(os.Getenv(valueLengthLimit))
			if err != nil {
				return
			}
			for _, s := range official.spans() {
				for _, e := range s.Events {
					shorten(e.Attributes, limit)
				}
				for _, l := range s.Links {
					shorten(l.Attributes, limit)
				}
			}
		},
	},
	{
		"the process is described by other resource attributes",
		"which ones is the provider's choice; the service's name and those of the environment are compared, in any order",
		func(official, ours *recording) {
			for _, r := range slices.Concat(official.exported, ours.exported) {
				withoutDetected(r)
			}
		},
	},
}
