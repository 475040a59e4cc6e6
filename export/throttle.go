package export

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// throttle logs one kind of trouble at most every ten seconds, and then says how
// often it kept quiet.
type throttle struct {
	mu         sync.Mutex
	last       time.Time
	suppressed int
}

func (t *throttle) warn(logger *slog.Logger, msg string, attrs ...slog.Attr) {
	t.mu.Lock()
	now := time.Now()
	if !t.last.IsZero() && now.Sub(t.last) < 10*time.Second {
		t.suppressed++
		t.mu.Unlock()
		return
	}
	if t.suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", t.suppressed))
	}
	t.last, t.suppressed = now, 0
	t.mu.Unlock()
	logger.LogAttrs(context.Background(), slog.LevelWarn, "ringtail: "+msg, attrs...)
}
