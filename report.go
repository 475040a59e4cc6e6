package ringtail

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// reporter logs at most once a period, and then says how much it kept to itself.
type reporter struct {
	logger *slog.Logger
	every  time.Duration

	mu         sync.Mutex
	last       time.Time
	suppressed int
}

func (r *reporter) warn(msg string, attrs ...slog.Attr) {
	r.mu.Lock()
	now := time.Now()
	if !r.last.IsZero() && now.Sub(r.last) < r.every {
		r.suppressed++
		r.mu.Unlock()
		return
	}
	suppressed := r.suppressed
	r.last, r.suppressed = now, 0
	r.mu.Unlock()
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	r.logger.LogAttrs(context.Background(), slog.LevelWarn, "ringtail: "+msg, attrs...)
}
