package main

import (
	"regexp"
	"slices"
)

// Description says what a row measures. It is recorded with the results, so that a
// recording explains itself, and its table can be made from it alone.
type Description struct {
	Name   string   `json:"name"`
	Work   string   `json:"work"`
	Bar    string   `json:"bar,omitempty"`    // what it should reach, in words
	Fair   string   `json:"fair"`             // why comparing is fair, or where it is not
	Metric string   `json:"metric"`           // the metric that the table compares
	More   bool     `json:"more,omitempty"`   // more of it is better
	Alone  bool     `json:"alone,omitempty"`  // a ratio between contenders says nothing
	Also   []string `json:"also,omitempty"`   // metrics that the table shows besides
	Checks []Check  `json:"checks,omitempty"` // the bar, as numbers
	Over   string   `json:"over,omitempty"`   // the contender whose figure is no cost; ratios are of what is beyond
	Detail bool     `json:"detail,omitempty"` // in RESULTS.md only: the README has enough rows
	Rounds int      `json:"rounds,omitempty"` // at most so many, where they take long or show little; 0: as many as asked for
}

// Check is one number of a bar: the contender's median may be at most, or must be
// at least, Limit, or Limit times the median of another contender. With Over, the
// median of a third one is subtracted from both before.
type Check struct {
	Contender string  `json:"contender"`
	Metric    string  `json:"metric"`
	AtLeast   bool    `json:"at_least,omitempty"` // else at most
	Limit     float64 `json:"limit"`
	Times     string  `json:"times,omitempty"` // the other contender
	Over      string  `json:"over,omitempty"`  // the third one
}

// Row is one piece of work, and those who do it.
type Row struct {
	Description
	Contenders []Contender
}

// Contender does a row's work in one way.
type Contender struct {
	Name     string
	Ours     bool
	Recorded string // a figure recorded elsewhere, not in this run

	// Run does the work once, in a process of its own, and returns what it
	// measured. An error means that the work was done wrongly.
	Run func(*Job) (Metrics, error)

	// Command, in place of Run, returns a program of another language, which
	// prints its metrics as JSON, or why there is none.
	Command func(quick bool) (argv []string, missing string)
}

// Metrics are what one run measured, by name with unit.
type Metrics map[string]float64

// Job tells a contender how much to do.
type Job struct {
	Quick bool // hardly anything: prove that it runs
	Soak  int  // spans of a soak, instead of the row's own number; 0: no soak
}

// pick returns how much to do.
func (j *Job) pick(full, quick int) int {
	if j.Quick {
		return quick
	}
	return full
}

// rows returns all rows, in the order of the table.
func rows() []Row {
	return slices.Concat(submitRows(), wireRows(),
		tracerRows(), []Row{tracerMetricsRow()}, tracerWireRows(), []Row{tracerGarbageRow(), tracerStallRow(), serviceRow()},
		ringRows(), memoryRows())
}

// soakRow is the only row of a soak.
const soakRow = "memory/soak"

// matching returns the rows whose name matches.
func matching(pattern string) ([]Row, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows(), func(r Row) bool { return !re.MatchString(r.Name) }), nil
}
