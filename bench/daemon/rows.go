package main

import "time"

// Description says what a row measures. It is recorded with the results, so that a
// recording explains itself, and its table can be made from it alone.
type Description struct {
	Name   string   `json:"name"`
	Work   string   `json:"work"`
	Bar    string   `json:"bar"`              // what it should reach, in words
	Fair   string   `json:"fair"`             // why comparing is fair, or where it is not
	Metric string   `json:"metric"`           // the metric that the table compares
	More   bool     `json:"more,omitempty"`   // more of it is better
	Also   []string `json:"also,omitempty"`   // metrics that the table shows besides
	Checks []Check  `json:"checks,omitempty"` // the bar, as numbers
	Rival  string   `json:"rival,omitempty"`  // the contender that the others are compared with
	Rounds int      `json:"rounds,omitempty"` // at most so many; 0: as many as asked for
}

// Check is one number of a bar: the contender's median may be at most, or must be at least,
// Limit, or Limit times the median of another contender.
type Check struct {
	Contender string  `json:"contender"`
	Metric    string  `json:"metric"`
	AtLeast   bool    `json:"at_least,omitempty"` // else at most
	Limit     float64 `json:"limit"`
	Times     string  `json:"times,omitempty"` // the other contender
}

// Row is one piece of work, and those who do it.
type Row struct {
	Description
	Contenders []Contender
}

// Contender does a row's work in one way.
type Contender struct {
	Name  string
	Ours  bool
	Rival bool // the Collector
	// Run does the work once. An error means that it was done wrongly.
	Run func(*stage) (Metrics, error)
}

const theCollector = "OpenTelemetry Collector"

// rows returns all rows, in the order of the table.
func rows() []Row {
	return []Row{
		passRow("pass/grpc-100", "OTLP/gRPC in and out, no compression, 100 spans a request", 0.65, work{spans: 2_000_000, protocol: "grpc", request: 100}, true),
		passRow("pass/grpc-10", "the same, 10 spans a request", 2, work{spans: 1_000_000, protocol: "grpc", request: 10}, false),
		passRow("pass/grpc-500", "the same, 500 spans a request", 0, work{spans: 2_000_000, protocol: "grpc", request: 500}, false),
		passRow("pass/http", "OTLP/HTTP in, gRPC out, 100 spans a request", 0.8, work{spans: 2_000_000, protocol: "http/protobuf", request: 100}, false),
		passRow("pass/gzip-out", "gRPC in, gRPC with gzip out, 100 spans a request", 2.2, work{spans: 500_000, protocol: "grpc", request: 100, gzipOut: true}, false),
		passRow("pass/gzip", "gRPC with gzip in and out, 100 spans a request", 2.8, work{spans: 500_000, protocol: "grpc", request: 100, gzipIn: true, gzipOut: true}, false),
		syncedRow(), unsyncedRow(), exportersRow(), overloadRow(), drainRow(),
	}
}

const passFair = "All processes share the machine's cores, two at most each: load generator, daemon, and a sink that counts. What is" +
	" compared is processor time of the daemon's process, user and system, from the first request until the last span has arrived, for spans" +
	" of 463 bytes with 10 attributes, sent as fast as it goes with 8 requests in flight. Both daemons read the same configuration file:" +
	" memory_limiter (4000 MiB) and batch (its defaults), of which Ringtail needs neither, and 4 requests at a time to the backend, which is" +
	" Ringtail's default; the Collector's is 10. Ringtail's are at most 1 MiB, the Collector's 8192 spans or a little more, both by" +
	" default. The Collector is built without its own metrics, which spares it some" +
	" work. “TCP relay” passes the same bytes on through user space without looking at them: nobody who receives and sends can cost less. A" +
	" run whose acknowledged spans do not all arrive fails."

const gzipFair = "As above, but not quite the same work: Ringtail compresses at its library's fastest level, the Collector at the default" +
	" level of Go's own, for which its gRPC exporter has no setting. That costs it time and makes what it sends smaller: “bytes out a span” is" +
	" what each wrote to its sockets. What comes in is compressed at the fastest level for both."

func passRow(name, text string, bar float64, w work, relay bool) Row {
	r := Row{
		Description: Description{Name: name, Work: text, Bar: "none", Fair: passFair, Metric: cpu,
			Also: []string{system, rate, peak, latency, retries}, Rival: theCollector},
		Contenders: []Contender{
			{Name: "in memory", Ours: true, Run: passThrough(startRingtail, w)},
			{Name: theCollector, Rival: true, Run: passThrough(startCollector, w)},
		},
	}
	if bar > 0 {
		r.Bar = "≤ " + number(bar) + " CPU s/M spans"
		r.Checks = []Check{{Contender: "in memory", Metric: cpu, Limit: bar}}
	}
	if w.gzipOut {
		r.Fair, r.Also = gzipFair, append(r.Also, written)
	}
	if relay {
		r.Contenders = append(r.Contenders, Contender{Name: "TCP relay: the floor", Run: passThrough(startRelay, w)})
	}
	return r
}

func onDisk(storage string) work {
	return work{spans: 1_000_000, protocol: "grpc", request: 100, storage: storage}
}

func syncedRow() Row {
	return Row{
		Description: Description{
			Name: "disk/synced", Work: "OTLP/gRPC in and out, kept on disk, synced before the acknowledgement",
			Bar: "≤ 1.2 CPU s/M spans, ≥ 300 000 spans/s",
			Fair: "As above, with file_storage and fsync: true for both. They promise different things: Ringtail acknowledges when the request is on" +
				" disk; the Collector's batch processor acknowledges when it is in memory, and the queue behind it is on disk, so that a crash loses" +
				" up to 8192 spans that were acknowledged. Without that processor, or with a batcher behind the queue, each request would be a" +
				" transaction of its own.",
			Metric: cpu, Also: []string{system, rate, peak, latency, retries}, Rival: theCollector,
			Checks: []Check{{Contender: "on disk, synced", Metric: cpu, Limit: 1.2}, {Contender: "on disk, synced", Metric: rate, AtLeast: true, Limit: 300_000}},
		},
		Contenders: []Contender{
			{Name: "on disk, synced", Ours: true, Run: passThrough(startRingtail, onDisk("synced"))},
			{Name: theCollector, Rival: true, Run: passThrough(startCollector, onDisk("synced"))},
		},
	}
}

func unsyncedRow() Row {
	return Row{
		Description: Description{
			Name: "disk/unsynced", Work: "the same, never synced",
			Bar:    "none",
			Fair:   "As above, with fsync: false for both: what was acknowledged outlives the process and not the machine.",
			Metric: cpu, Also: []string{system, rate, peak, latency, retries}, Rival: theCollector,
		},
		Contenders: []Contender{
			{Name: "on disk, not synced", Ours: true, Run: passThrough(startRingtail, onDisk("unsynced"))},
			{Name: theCollector, Rival: true, Run: passThrough(startCollector, onDisk("unsynced"))},
		},
	}
}

func exportersRow() Row {
	w := work{spans: 1_000_000, protocol: "grpc", request: 100}
	three := w
	three.exporters = 3
	return Row{
		Description: Description{
			Name: "exporters/three", Work: "OTLP/gRPC in, three OTLP/gRPC exporters on one pipeline, no compression, 100 spans a request",
			Bar: "three ≤ 1.7 × one",
			Fair: "As above. Each exporter has a sink of its own, in a process of its own, where everything has to arrive; spans/s is the" +
				" slowest's. Spans are counted once, not three times.",
			Metric: cpu, Also: []string{system, rate, peak, retries}, Rival: theCollector + ", three exporters",
			Checks: []Check{{Contender: "three exporters", Metric: cpu, Limit: 1.7, Times: "one exporter"}},
		},
		Contenders: []Contender{
			{Name: "three exporters", Ours: true, Run: passThrough(startRingtail, three)},
			{Name: "one exporter", Ours: true, Run: passThrough(startRingtail, w)},
			{Name: theCollector + ", three exporters", Rival: true, Run: passThrough(startCollector, three)},
		},
	}
}

func overloadRow() Row {
	const second = time.Second
	one, three, fast := "in memory, offered 1 ×", "in memory, offered 3 ×", "in memory, as fast as it goes"
	byDefault := "in memory, batches of 1 MiB, offered 1 ×"
	disk, full := "on disk (4 GiB), offered 3 ×", "on disk (256 MiB), offered 3 ×"
	return Row{
		Description: Description{
			Name: "overload", Work: "the backend answers after 500 ms, and more is offered than it takes",
			Bar: "in memory ≤ 256 MiB, and at 3 × overload ≥ 95 % of the best throughput; every refusal retryable; on disk nothing refused until the limit",
			Fair: "The backend takes 4 requests of 8192 spans at a time, as many as both daemons send, and so 65 536 spans/s: that is 1 ×. Ringtail's batches" +
				" may have 4 MiB for that; with the 1 MiB that it allows by default they have some 2200 spans, and a backend as slow as this takes" +
				" that much less, which is a line of its own. By default the Collector sends 10 at a time and Ringtail 4. Spans/s is what" +
				" arrives while the load goes on, without its first 5 s. The load does not send again what is refused, so that what is offered stays" +
				" offered; of Ringtail, every refusal has to be one that may be sent again, and every span that was acknowledged has to arrive in the" +
				" end. The Collector's memory limit is 4000 MiB, and its queue is as large as it is by default; its backlog is not waited for," +
				" so that nothing is said of what it would lose. The disk of 4 GiB may refuse nothing; the one of 256 MiB shows how full it" +
				" is while it does.",
			Metric: rate, More: true, Also: []string{"offered spans/s", refused, peak, used, cores}, Rival: theCollector + ", as fast as it goes", Rounds: 1,
			Checks: []Check{
				{Contender: fast, Metric: peak, Limit: 256}, {Contender: three, Metric: peak, Limit: 256},
				{Contender: three, Metric: rate, AtLeast: true, Limit: 0.95, Times: one},
				{Contender: three, Metric: rate, AtLeast: true, Limit: 0.95, Times: fast},
				{Contender: fast, Metric: rate, AtLeast: true, Limit: 0.95, Times: one},
				{Contender: full, Metric: used, AtLeast: true, Limit: 80},
			},
		},
		Contenders: []Contender{
			{Name: one, Ours: true, Run: overload{start: startRingtail, times: 1, batch: largeBatch, lasts: 20 * second, quick: 2 * second}.run},
			{Name: three, Ours: true, Run: overload{start: startRingtail, times: 3, batch: largeBatch, lasts: 20 * second, quick: 2 * second}.run},
			{Name: fast, Ours: true, Run: overload{start: startRingtail, batch: largeBatch, lasts: 60 * second, quick: 2 * second}.run},
			{Name: byDefault, Ours: true, Run: overload{start: startRingtail, times: 1, lasts: 14 * second, quick: second}.run},
			{Name: disk, Ours: true, Run: overload{start: startRingtail, times: 3, batch: largeBatch, lasts: 14 * second, quick: second,
				storage: "synced", logBytes: 4 << 30, neverRefuses: true}.run},
			{Name: full, Ours: true, Run: overload{start: startRingtail, times: 3, batch: largeBatch, lasts: 14 * second, quick: second,
				storage: "synced", logBytes: 256 << 20}.run},
			{Name: theCollector + ", as fast as it goes", Rival: true, Run: overload{start: startCollector, lasts: 60 * second, quick: 2 * second, backlogStays: true}.run},
		},
	}
}

func drainRow() Row {
	large, huge, through := "backlog of 5 GB", "backlog of 10 GB", "no backlog, the same spans passed through"
	return Row{
		Description: Description{
			Name: "drain", Work: "the backend was down, a backlog waits on disk (synced), and the backend comes back",
			Bar: "constant memory; ≥ 80 % of the pass-through rate",
			Fair: "The log is filled over OTLP/gRPC while nothing listens at the backend's address. Spans/s is from the first span to the last one that" +
				" arrives; “s to the first span” is how long the daemon took to notice that the backend is back. Memory is the peak since the" +
				" daemon's start: 10 GB may take at most a quarter more than 5 GB. With less the heap, which hardly has garbage, does not become as" +
				" large as its collector lets it. The rate to reach is that of the same daemon with the same" +
				" configuration when the backend was never down. While it drains nothing is received, which makes this easier. A quick" +
				" run has 200 MB and 60 MB.",
			Metric: rate, More: true, Also: []string{peak, cpu, silence, "fill spans/s", duplicates}, Rounds: 1,
			Checks: []Check{{Contender: large, Metric: rate, AtLeast: true, Limit: 0.8, Times: through}, {Contender: huge, Metric: peak, Limit: 1.25, Times: large}},
		},
		Contenders: []Contender{
			{Name: through, Ours: true, Run: passThrough(startRingtail, onDisk("synced"))},
			{Name: large, Ours: true, Run: drain(5e9, 60e6)},
			{Name: huge, Ours: true, Run: drain(10e9, 200e6)},
		},
	}
}
