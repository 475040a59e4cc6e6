// Package throttle keeps trouble that repeats itself from filling the log.
package throttle

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Period is how often a Log speaks at most.
const Period = 10 * time.Second

// Log logs one kind of trouble at most once a Period, and then says how often it
// kept quiet. The zero value is ready; it may be used by any number of goroutines.
type Log struct {
	mu         sync.Mutex
	last       time.Time
	suppressed int
}

// Warn logs through logger, if it is time to.
func (l *Log) Warn(logger *slog.Logger, msg string, attrs ...slog.Attr) {
	l.mu.Lock()
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < Period {
		l.suppressed++
		l.mu.Unlock()
		return
	}
	if l.suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", l.suppressed))
	}
	l.last, l.suppressed = now, 0
	l.mu.Unlock()
	logger.LogAttrs(context.Background(), slog.LevelWarn, "ringtail: "+msg, attrs...)
}
