// Package export has the exporters that need no network, and wrappers for any
// exporter. Those that send OTLP are in packages of their own, otlpgrpc and otlphttp,
// so that a program's module graph holds only what it uses.
//
//	where spans end               around another exporter
//	Null     counted, forgotten   Retry      tries again, with pauses
//	Stdout   for people, or JSON  Breaker    stops trying what is down
//	File     OTLP JSON lines      RateLimit  waits for its turn
//	                              Fanout     several, independent of each other
//
// Wrappers nest. A backend behind all of them, the breaker inside so that it sees
// every attempt:
//
//	export.Retry(export.Breaker(export.RateLimit(backend, 10_000, 0), export.BreakerConfig{}), export.RetryConfig{})
//
// What holds for all of them: Export, Flush and Shutdown may be called from any
// goroutine. From the moment Shutdown is called, Export loses its spans for
// [ringtail.ReasonClosed]. A wrapper owns the exporter that it is given, shuts it
// down exactly once, and passes Flush on if that exporter is a [ringtail.Flusher]. A
// second Shutdown waits for the first, or for its own context, and returns the
// first one's error.
package export
