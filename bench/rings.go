package main

import (
	"fmt"
	"runtime"
)

// Row 5: the typed ring alone, against a Go channel and the Rust crate rtrb
// (rivals/rtrb, which mirrors this file), and beside figures that RingMPSC's Rust port
// had elsewhere.

// value is 96 bytes. Its first word is its number.
type value [12]uint64

const (
	slots      = 4096    // of a ring or a channel of values, for each producer
	batchSlots = 1 << 16 // of a ring of u32
	batch      = 32_768
	spins      = 32 // tries before the others are let run
	few        = 64 // a poll that found less lets the others run
)

const ringFair = "The same work, capacity and way of waiting (try 32 times, then let others run) everywhere; all threads share 2 cores." +
	" “push”: one thread fills a queue of 4096, timed, and empties it, not timed. “push-pop”: the queue is empty after each pair." +
	" “count” takes the slices as they are, as the Rust port's own benchmark does, “sum” and “read” look at every value; a channel copies it out." +
	" The channel of slices hands over pointers, and the buffers come back through a second one, so that it copies nothing." +
	" mpsc: a ring of 4096 a producer, a channel of as many for all together; for rtrb, its rings polled in turn. A poll that found" +
	" fewer than 64 values lets others run: a consumer that looks all the time takes the cache line away from the producer."

func ringRows() []Row {
	const chanName, push = "Go channel, buffered", "SPSC.Push"
	out := []Row{
		{
			Description: Description{
				Name: "ring/push", Work: "push 96 bytes, nobody on the other side meanwhile",
				Bar:    "within 2.5 × the Rust port's 4.1 ns, ≥ 5 × a Go channel",
				Fair:   ringFair,
				Metric: "ns/push",
				Checks: []Check{{Contender: push, Metric: "ns/push", Limit: 2.5 * 4.1}, {Contender: chanName, Metric: "ns/push", AtLeast: true, Limit: 5, Times: push}},
			},
			Contenders: []Contender{
				{Name: push, Ours: true, Run: filled(pushOurs), Recorded: "RingMPSC's Rust port: 4.1 ns"},
				{Name: "SPSC.Reserve(1), write in place, Commit(1)", Ours: true, Run: filled(reserveOurs)},
				{Name: chanName, Run: filled(pushChan)},
				{Name: "rtrb push", Command: rtrb("push")},
			},
		},
		{
			Description: Description{
				Detail: true, Name: "ring/push-pop", Work: "push 96 bytes and pop them, by the same thread",
				Bar: "≥ 5 × a Go channel", Fair: ringFair,
				Metric: "ns/pair",
				Checks: []Check{{Contender: chanName, Metric: "ns/pair", AtLeast: true, Limit: 5, Times: "SPSC.Push, Pop"}},
			},
			Contenders: []Contender{
				{Name: "SPSC.Push, Pop", Ours: true, Run: pairs(pairOurs)},
				{Name: chanName, Run: pairs(pairChan)},
				{Name: "rtrb push, pop", Command: rtrb("push-pop")},
			},
		},
	}
	for _, n := range []int{1, 2} {
		out = append(out, batchRow(n))
	}
	for _, r := range []struct {
		producers int
		recorded  float64 // millions a second
	}{{1, 52}, {2, 85}, {4, 116}, {8, 248}} {
		out = append(out, mpscRow(r.producers, r.recorded))
	}
	return out
}

func batchRow(n int) Row {
	const ours, chanName = "Reserve, write each, Commit; count", "Go channel, buffered: value by value"
	return Row{
		Description: Description{
			Detail: n != 1, Name: fmt.Sprintf("ring/batches-%dx%d", n, n),
			Work:   fmt.Sprintf("u32 in batches of 32 768, %d × a producer, a ring of 65 536 and a consumer", n),
			Bar:    "≥ the Rust port's 2 900 M/s, ≥ 5 × a Go channel",
			Fair:   ringFair,
			Metric: "M values/s", More: true,
			Checks: []Check{
				{Contender: ours, Metric: "M values/s", AtLeast: true, Limit: 2900},
				{Contender: ours, Metric: "M values/s", AtLeast: true, Limit: 5, Times: chanName},
			},
		},
		Contenders: []Contender{
			{Name: ours, Ours: true, Run: batches(n, 1e9, batchOurs(false)), Recorded: "RingMPSC's Rust port: 2 900 to 3 200 M/s"},
			{Name: "Reserve, write each, Commit; sum", Ours: true, Run: batches(n, 1e9, batchOurs(true))},
			{Name: chanName, Run: batches(n, 5e6, batchChan)},
			{Name: "Go channel of slices; count", Run: batches(n, 1e9, batchSlices)},
			{Name: "rtrb write_chunk_uninit, read_chunk; count", Command: rtrb("batches", n, 0)},
			{Name: "rtrb write_chunk_uninit, read_chunk; sum", Command: rtrb("batches", n, 1)},
		},
	}
}

func mpscRow(producers int, recorded float64) Row {
	const ours, chanName = "MPSC: Push, ConsumeUpTo; count", "Go channel, buffered"
	return Row{
		Description: Description{
			Detail: producers != 2, Name: fmt.Sprintf("ring/mpsc-%d", producers),
			Work:   fmt.Sprintf("96 bytes pushed one by one to one consumer; producers: %d", producers),
			Bar:    fmt.Sprintf("within 2.5 × the Rust port's %s M/s, ≥ 5 × a Go channel", number(recorded)),
			Fair:   ringFair,
			Metric: "M values/s", More: true,
			Checks: []Check{
				{Contender: ours, Metric: "M values/s", AtLeast: true, Limit: recorded / 2.5},
				{Contender: ours, Metric: "M values/s", AtLeast: true, Limit: 5, Times: chanName},
			},
		},
		Contenders: []Contender{
			{Name: ours, Ours: true, Run: mpscOurs(producers, false), Recorded: fmt.Sprintf("RingMPSC's Rust port: %s M/s", number(recorded))},
			{Name: "MPSC: Push, ConsumeUpTo; read", Ours: true, Run: mpscOurs(producers, true)},
			{Name: chanName, Run: mpscChan(producers)},
			{Name: "rtrb push, read_chunk; count", Command: rtrb("mpsc", producers, 0)},
			{Name: "rtrb push, read_chunk; read", Command: rtrb("mpsc", producers, 1)},
		},
	}
}

// waiter waits for the other side of a queue.
type waiter int

func (w *waiter) wait() {
	if *w++; *w > spins {
		runtime.Gosched()
	}
}
