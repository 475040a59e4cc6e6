package sink

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

func TestParseAnswer(t *testing.T) {
	for text, want := range map[string]Answer{
		"delay=500ms":             {delay: 500 * time.Millisecond},
		"refuse=unavailable":      {refuse: codes.Unavailable, http: 503},
		"refuse=14,retry=2s":      {refuse: codes.Unavailable, http: 503, retry: 2 * time.Second},
		"refuse=502":              {refuse: codes.Unavailable, http: 502},
		"refuse=500":              {refuse: codes.Internal, http: 500},
		"refuse=418,every=3":      {refuse: codes.Unknown, http: 418, every: 3},
		"flap=5s/2s":              {refuse: codes.Unavailable, http: 503, up: 5 * time.Second, down: 2 * time.Second},
		"flap=5s/2s,hang":         {hang: true, up: 5 * time.Second, down: 2 * time.Second},
		"half,delay=1s,every=100": {half: true, delay: time.Second, every: 100},
		"partial=3":               {partial: 3}, "garbage": {garbage: true},
	} {
		if got, err := ParseAnswer(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                    `there is no ""`,
		"explode":             `there is no "explode"`,
		"delay":               "want a time",
		"delay=-1s":           "want a time",
		"hang=1s":             "takes no value",
		"every=0,hang":        "1 or more",
		"every=3":             "not what",
		"partial=x":           "want a number of spans",
		"refuse=0":            "want a gRPC code",
		"refuse=nothing":      "want a gRPC code",
		"refuse=200":          "want a gRPC code",
		"retry=1s":            "goes with refuse",
		"hang,half":           "choose one",
		"flap=5s":             "want two times",
		"hang,hang":           "twice",
		"delay=1s,retry=2s":   "goes with refuse",
		"flap=1s/0s,garbage":  "want two times",
		"refuse=503,partial=": "want a number",
	} {
		if got, err := ParseAnswer(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", text, got, err, want)
		}
	}
}

// The first answer that applies is used, by number and by time.
func TestChoose(t *testing.T) {
	answers := []Answer{{hang: true, every: 6}, {half: true, every: 2}, {garbage: true, up: time.Second, down: 2 * time.Second}}
	for _, test := range []struct {
		n     uint64
		since time.Duration
		want  Answer
	}{
		{6, 0, answers[0]}, {4, 0, answers[1]}, {5, 0, Answer{}}, {5, 999 * time.Millisecond, Answer{}},
		{5, time.Second, answers[2]}, {7, 2999 * time.Millisecond, answers[2]}, {7, 3 * time.Second, Answer{}}, {7, 4 * time.Second, answers[2]},
	} {
		if got := *choose(answers, test.n, test.since); got != test.want {
			t.Errorf("request %d after %v: %+v", test.n, test.since, got)
		}
	}
}
