package collector

import (
	"encoding/json"
	"testing"

	"github.com/ringtail-otel/ringtail"
)

// The ledger that a cursor has is JSON, and says the same when it is read again.
func TestLedgerIsReadAgain(t *testing.T) {
	var all ringtail.Drops
	for r := range all {
		all[r] = uint64(r) + 7
	}
	for want, l := range map[string]ledger{
		`{"delivered":0}`: {},
		`{"delivered":18446744073709551615,"told":5}`: {delivered: 1<<64 - 1, told: 5},
		`{"delivered":3,"dropped":{"rejected":2}}`:    {delivered: 3, dropped: ringtail.Drops{ringtail.ReasonRejected: 2}},
		"": {delivered: 1, dropped: all, told: 2},
	} {
		state := l.encode()
		if got, err := decodeLedger(state); err != nil || got != l {
			t.Errorf("%s: %+v, %v", state, got, err)
		}
		if !json.Valid(state) || want != "" && string(state) != want {
			t.Errorf("%s, want %s", state, want)
		}
	}
}
