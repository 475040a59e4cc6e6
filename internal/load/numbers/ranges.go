package numbers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// A Writer appends acknowledged ranges to a file, a line each: the run in hexadecimal, the first
// number, the last.
//
//	5f3a91c2 1 400
//	5f3a91c2 501 600
//
// Lines are written whole, so that several runs may append to one file, and a run that is killed
// leaves what it has flushed. It may be used by several goroutines.
type Writer struct {
	mu      sync.Mutex
	w       io.Writer
	run     Run
	pending Range // not yet in buf; empty when First is 0
	buf     []byte
	err     error
}

// NewWriter returns a writer of one run. The caller calls Flush: now and then, and at the end.
func NewWriter(w io.Writer, run Run) *Writer { return &Writer{w: w, run: run} }

// writeAt is how many bytes are gathered at most.
const writeAt = 32 << 10

// Add notes a range. Ranges that follow one another are joined.
func (w *Writer) Add(r Range) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending.First != 0 && r.First == w.pending.Last+1 {
		w.pending.Last = r.Last
		return
	}
	w.format()
	w.pending = r
	if len(w.buf) >= writeAt {
		w.write()
	}
}

func (w *Writer) format() {
	if w.pending.First == 0 {
		return
	}
	w.buf = fmt.Appendf(w.buf, "%08x %d %d\n", uint32(w.run), w.pending.First, w.pending.Last)
	w.pending = Range{}
}

func (w *Writer) write() {
	if len(w.buf) > 0 && w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// Flush writes what was added, and returns the first error there has been. After an error nothing more
// is written.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.format()
	w.write()
	return w.err
}

// ReadRanges reads what Writers have written, by run. An unfinished last line is left out: its writer
// was still writing, or was killed. Errors name the line.
func ReadRanges(r io.Reader) (map[Run]*Set, error) {
	sets := make(map[Run]*Set)
	in := bufio.NewReader(r)
	for line := 1; ; line++ {
		text, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return sets, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read line %d: %w", line, err)
		}
		run, span, err := parseLine(strings.TrimSuffix(text, "\n"))
		if err != nil {
			return nil, fmt.Errorf("cannot read line %d, %.60q: %w", line, text, err)
		}
		if sets[run] == nil {
			sets[run] = new(Set)
		}
		sets[run].AddRange(span)
	}
}

func parseLine(s string) (Run, Range, error) {
	f := strings.Fields(s)
	if len(f) != 3 {
		return 0, Range{}, errors.New("want a run, a first and a last number")
	}
	run, err := ParseRun(f[0])
	if err != nil {
		return 0, Range{}, err
	}
	first, err1 := strconv.ParseUint(f[1], 10, 64)
	last, err2 := strconv.ParseUint(f[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, Range{}, err
	}
	if first < 1 || last < first || last > Max {
		return 0, Range{}, fmt.Errorf("numbers are 1 to %d, the first not above the last", uint64(Max))
	}
	return run, Range{first, last}, nil
}

// ParseRun reads a run as String prints it.
func ParseRun(s string) (Run, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no run: want up to eight hexadecimal digits", s)
	}
	return Run(n), nil
}

// String prints a run in hexadecimal.
func (r Run) String() string { return fmt.Sprintf("%08x", uint32(r)) }
