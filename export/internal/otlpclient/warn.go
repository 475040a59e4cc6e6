package otlpclient

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// warner logs at most once in ten seconds, and then says how much it kept to itself.
type warner struct {
	logger *slog.Logger

	mu         sync.Mutex
	last       time.Time
	suppressed int
}

func (w *warner) warn(msg string, attrs ...slog.Attr) {
	w.mu.Lock()
	now := time.Now()
	if !w.last.IsZero() && now.Sub(w.last) < 10*time.Second {
		w.suppressed++
		w.mu.Unlock()
		return
	}
	suppressed := w.suppressed
	w.last, w.suppressed = now, 0
	w.mu.Unlock()
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	w.logger.LogAttrs(context.Background(), slog.LevelWarn, "ringtail: "+msg, attrs...)
}
