package main

import (
	"fmt"
	"strings"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
)

// reasons says in words what the reasons of drops are, for those who see them the
// first time.
var reasons = map[ringtail.Reason]string{
	ringtail.ReasonInvalid:     "without a trace id or a span id",
	ringtail.ReasonTooLarge:    "larger than half a ring",
	ringtail.ReasonScopeLimit:  "too many instrumentation scopes",
	ringtail.ReasonSampled:     "left out by the sampler",
	ringtail.ReasonFull:        "no room: what comes in is faster than what goes out",
	ringtail.ReasonClosed:      "came after the end",
	ringtail.ReasonCanceled:    "whoever submitted it stopped waiting",
	ringtail.ReasonRejected:    "the backend refused it for good",
	ringtail.ReasonExport:      "sending failed, after all retries",
	ringtail.ReasonTimeout:     "sending took too long",
	ringtail.ReasonUnavailable: "a circuit breaker or rate limiter held it back",
	ringtail.ReasonPanic:       "the exporter panicked",
	ringtail.ReasonShutdown:    "not delivered before the end",
}

// printLedger prints what became of every span. A note stands behind a figure. refused
// spans are those whose owner was told, and that nobody promised to deliver.
func printLedger(p page, s ringtail.Stats, o *outlet, submittedNote string, refused uint64) {
	width := len(count(s.Submitted))
	entry := func(name string, n uint64, note string, style func(string) string) {
		line := fmt.Sprintf("  %-10s %*s", name, width, count(n))
		if style != nil {
			line = style(line)
		}
		if note != "" {
			line += "  " + p.dim(note)
		}
		fmt.Fprintln(p, strings.TrimRight(line, " "))
	}
	bad := func(n uint64) func(string) string {
		if n == 0 {
			return nil
		}
		return p.red
	}
	exported := "to " + strings.Join(o.names, ", ")
	if o.fanout != nil {
		exported = "handed on to the exporters below"
	}
	fmt.Fprintln(p, p.bold("Ledger"))
	entry("submitted", s.Submitted, submittedNote, nil)
	entry("exported", s.Exported, exported, nil)
	entry("dropped", s.Dropped.Total(), "", bad(s.Dropped.Total()))
	printDrops(p, "    ", &s.Dropped)
	if s.InFlight > 0 {
		entry("in flight", s.InFlight, "", p.red)
	}
	for _, b := range o.branches() {
		printBranch(p, b)
	}
	fmt.Fprint(p, "  "+verdictLine(p, s, o, refused)+"\n")
}

// verdictLine sums the ledger up.
func verdictLine(p page, s ringtail.Stats, o *outlet, refused uint64) string {
	if s.Submitted != s.Exported+s.Dropped.Total()+s.InFlight {
		return p.red("✗ the ledger does not balance: this is a bug in ringtail, please report it")
	}
	if s.Submitted == 0 {
		return p.dim("no spans came")
	}
	if lost := o.lost(s) - refused; lost > 0 {
		return p.red("✗ "+plural(lost, "span")+" did not arrive") + ", and the reasons are above"
	}
	if refused > 0 {
		return p.green("✓ every span that was taken arrived")
	}
	return p.green("✓ every span arrived")
}

func printBranch(p page, b export.BranchStats) {
	line := fmt.Sprintf("  %s: %s exported, %s dropped", b.Name, count(b.Exported), count(b.Dropped.Total()))
	if b.InFlight > 0 {
		line += fmt.Sprintf(", %s in flight", count(b.InFlight))
	}
	if b.Dropped.Total()+b.InFlight > 0 {
		line = p.red(line)
	}
	fmt.Fprintln(p, line)
	printDrops(p, "    ", &b.Dropped)
}

func printDrops(p page, indent string, d *ringtail.Drops) {
	for r, n := range d.All() {
		fmt.Fprintf(p, "%s%s %s  %s\n", indent, count(n), r, p.dim(reasons[r]))
	}
}

// remedy says what to look at when spans were lost.
func remedy(s ringtail.Stats, o *outlet) string {
	names := o.names
	drops := s.Dropped
	if o.fanout != nil {
		names = nil
	}
	for _, b := range o.branches() {
		if b.Dropped.Total()+b.InFlight > 0 {
			names = append(names, b.Name)
		}
		for r, n := range b.Dropped.All() {
			drops[r] += n
		}
	}
	if drops.Of(ringtail.ReasonExport)+drops.Of(ringtail.ReasonTimeout)+drops.Of(ringtail.ReasonShutdown) == 0 || len(names) == 0 {
		return ""
	}
	return ": is the backend up, and is this its address? " + strings.Join(names, ", ")
}
