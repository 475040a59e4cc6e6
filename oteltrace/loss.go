package oteltrace

import (
	"log/slog"

	"github.com/ringtail-otel/ringtail"
)

// lossy reports whether limits, or a missing key, have cost the span something.
func (r *record) lossy() bool {
	return r.out.DroppedAttributes|r.out.DroppedEvents|r.out.DroppedLinks|r.cut != 0
}

// logLoss is called when a span ends that has lost something: once a span, as the
// specification asks (Trace SDK, "Span Limits"), and the throttle bounds it further.
func (p *TracerProvider) logLoss(scope *ringtail.Scope, o *ringtail.Span, cut uint32) {
	p.losses.Warn(p.logger, "a span lost attributes, events or links, to its limits or for want of a key; WithSpanLimits and OTEL_SPAN_… set the limits",
		slog.String("span", o.Name), slog.String("scope", scope.Name),
		slog.Any("dropped_attributes", o.DroppedAttributes), slog.Any("dropped_events", o.DroppedEvents), slog.Any("dropped_links", o.DroppedLinks),
		slog.Any("dropped_attributes_of_these", cut))
}
