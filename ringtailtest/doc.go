// Package ringtailtest helps to test programs that use ringtail: a [Recorder] takes
// the exporter's place and fails on command, [TestExporter] checks an exporter of
// one's own against the contract of [ringtail.Exporter], and [NewBatch] makes the
// batches for it.
package ringtailtest
