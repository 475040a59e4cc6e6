package otelsdk

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/internal/throttle"
)

var errInLog = errors.New("exports failed; the exporter's errors are in the log, and the reasons in Stats")

// dropLog logs refused spans at most once a [throttle.Period]. It is asked for every
// refused span, of which a stalled backend makes many: so the ones in between pay
// for a look at the clock, and take no lock. Their number is in the ledger.
type dropLog struct {
	next atomic.Int64 // when to speak again, since birth

	mu   sync.Mutex
	seen ringtail.Drops // what was logged before
}

// birth is what times are kept relative to.
var birth = time.Now()

func (l *dropLog) note(stats func() ringtail.Stats) {
	now, next := int64(time.Since(birth)), l.next.Load()
	if now < next || !l.next.CompareAndSwap(next, now+int64(throttle.Period)) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped := stats().Dropped
	var attrs []any
	for reason, n := range dropped.All() {
		if reason <= ringtail.ReasonCanceled && n > l.seen.Of(reason) {
			attrs = append(attrs, slog.Uint64(reason.String(), n-l.seen.Of(reason)))
		}
	}
	l.seen = dropped
	slog.Default().Warn("otelsdk: spans dropped", attrs...)
}
