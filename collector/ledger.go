package collector

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/seglog"
)

// ledger is what became of the spans that a cursor has passed. It is committed with the
// cursor, as its state, so that the two never disagree, whatever happens.
type ledger struct {
	delivered uint64
	dropped   ringtail.Drops
	told      uint64 // lost, for whatever reason, at the last orderly end: somebody was told then
}

// openLedger reads the state of a cursor; a new one has none.
func openLedger(c *seglog.Cursor) (ledger, error) {
	state := c.State()
	if len(state) == 0 {
		return ledger{}, nil
	}
	return decodeLedger(state)
}

func (l *ledger) enter(s *shipment) {
	l.delivered += uint64(s.spans) - s.dropped.Total()
	for r, n := range s.dropped.All() {
		l.dropped[r] += n
	}
}

// ledgerState is a ledger as JSON, for `ringtail log ls` to show as it is. Reasons go by
// name: their numbers may change.
type ledgerState struct {
	Delivered uint64            `json:"delivered"`
	Dropped   map[string]uint64 `json:"dropped,omitempty"`
	Told      uint64            `json:"told,omitempty"`
}

// encode is called for each batch, and so does without package json.
func (l *ledger) encode() []byte {
	b := append(make([]byte, 0, 64), `{"delivered":`...)
	b = strconv.AppendUint(b, l.delivered, 10)
	open := `,"dropped":{`
	for r, n := range l.dropped.All() {
		b = append(b, open...)
		b = strconv.AppendQuote(b, r.String())
		b = append(b, ':')
		b = strconv.AppendUint(b, n, 10)
		open = ","
	}
	if open == "," {
		b = append(b, '}')
	}
	if l.told > 0 {
		b = append(b, `,"told":`...)
		b = strconv.AppendUint(b, l.told, 10)
	}
	return append(b, '}')
}

func decodeLedger(state []byte) (ledger, error) {
	var s ledgerState
	if err := json.Unmarshal(state, &s); err != nil {
		return ledger{}, fmt.Errorf("cannot read the ledger that its cursor has: %w", err)
	}
	l := ledger{delivered: s.Delivered, told: s.Told}
	for name, n := range s.Dropped {
		l.dropped[reasonOf(name)] += n
	}
	return l, nil
}

// reasonOf is the reverse of Reason.String. A name of a later version becomes
// ReasonExport, so that the sum stays right.
func reasonOf(name string) ringtail.Reason {
	for r := range ringtail.Reason(len(ringtail.Drops{})) {
		if r.String() == name {
			return r
		}
	}
	return ringtail.ReasonExport
}

// ExporterStats is the ledger of one exporter, and how it is doing. With [PipelineStats]
// taken while nothing is received
//
//	Received = Before + Delivered + Dropped.Total() + the sum of Skipped + InLog
//
// is exact, and with a log on disk it stays so across restarts and crashes.
type ExporterStats struct {
	Name string

	Before    uint64         // spans that were received before the exporter was there
	Delivered uint64         // the exporter said that the backend has them
	Dropped   ringtail.Drops // refused for good, or given up
	Skipped   [3]uint64      // left the log before they were sent, by [seglog.Skipped]
	InLog     uint64         // all others: waiting, or being sent
	LagBytes  uint64         // of the log, that these take
	Told      uint64         // of Dropped and Skipped: what an earlier process had lost when it ended in order

	Sending      int       // batches that are being sent, or wait to be sent again
	Attempts     uint64    // by this process
	Failures     uint64    // of these
	FailingSince time.Time // the first of the failures without a success since; zero: none
	LastError    string    // of these
}

// SkippedTotal is the sum of Skipped.
func (s *ExporterStats) SkippedTotal() (n uint64) {
	for _, k := range s.Skipped {
		n += k
	}
	return n
}

func (d *delivery) stats() ExporterStats {
	d.mu.Lock()
	defer d.mu.Unlock() // commits are made with the lock: ledger and cursor agree
	c := d.cursor.Stats()
	s := ExporterStats{
		Name: d.cfg.Name, Before: c.Start, Delivered: d.ledger.delivered, Dropped: d.ledger.dropped,
		Skipped: c.Skipped, InLog: c.LagCount, LagBytes: c.LagBytes, Told: d.told, Sending: len(d.slots),
		Attempts: d.attempts, Failures: d.failures, FailingSince: d.trouble.since,
	}
	if d.trouble.last != nil {
		s.LastError = d.trouble.last.Error()
	}
	return s
}
